"""Whether Nylas delivers to the app, by its own word: a webhook that it gave up is as silent as a quiet day."""

from __future__ import annotations

from collections.abc import Callable

from mailsync.errors import ConfigurationError, MailSyncError, Scope
from mailsync.nylas.webhooks import ACTIVE, Webhooks, leading_to
from mailsync.pulse import WEBHOOK, Pulse
from mailsync.telemetry import emit

MISSING = "missing"
"""The status of a webhook that is not there."""


def watch(webhooks: Callable[[], Webhooks], url: str, pulse: Pulse) -> None:
    """Say so where no webhook to `url` is active; where Nylas does not answer, what was known before stands.

    One of two is enough, as during a rotation. Where none leads to `url` itself, those to another name of an app of
    this product count: a domain of one's own, or a proxy before it.
    """
    try:
        status = _status(webhooks(), url)
    except MailSyncError as error:
        emit("webhook_not_looked_at", reason=error.reason, evidence=error.evidence)
        return
    if status == ACTIVE:
        pulse.went_well(WEBHOOK)
        return
    trouble = _trouble(status, url)
    emit("webhook_unwell", status=status, reason=trouble.reason, advice=trouble)
    pulse.went_ill(WEBHOOK, trouble)


def _status(webhooks: Webhooks, url: str) -> str:
    ours = leading_to(webhooks.all(), url)
    statuses = {one.status for one in [one for one in ours if one.is_of(url)] or ours}
    return ACTIVE if ACTIVE in statuses else ",".join(sorted(statuses)) or MISSING


def _trouble(status: str, url: str) -> ConfigurationError:
    if status == MISSING:
        said = f"no webhook at Nylas leads to the app; make one: `python -m mailsync webhook register {url}`"
    else:
        said = f"Nylas calls the webhook {status}; `python -m mailsync doctor` says why, then `webhook resume`"
    return ConfigurationError(said, reason="webhook_unwell", scope=Scope.ORGANISATION)
