"""Whether Nylas knows us, reads the mailboxes, and delivers to the app with a secret that the app knows."""

from __future__ import annotations

import secrets as random_secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mailsync.doctor.findings import Finding, Findings, bad, clock_finding, good, looked, named, unknown, warning
from mailsync.errors import TransientError
from mailsync.nylas.grants import Grant
from mailsync.nylas.webhooks import ACTIVE, Endpoint, Webhook, Webhooks, leading_to, mark_of
from mailsync.storage.mailboxes import VALID

TOPIC = "nylas"
STATES = {
    "failing": ("Nylas gets hardly anything but refusals from the app", "mend what the delivery below shows, soon"),
    "failed": ("Nylas has given up and delivers nothing", "mend what the delivery below shows, then `webhook resume`"),
    "pause": ("somebody paused it, nothing is delivered", "`webhook resume`"),
}
ANSWERS = {
    401: ("the app does not know this secret", "give the app the secret, or make a new one: `webhook rotate`"),
    404: ("there is no such function at this address", "deploy the app; the URL ends with /api/webhooks/nylas"),
    503: ("the app can't take notifications", "mend its settings and storage: see its log, event=ingest_unavailable"),
}


@dataclass(frozen=True, slots=True)
class NylasSide:
    """What is asked; each raises where it can't be."""

    grants: Callable[[], tuple[Grant, ...]]
    webhooks: Callable[[], Webhooks]
    endpoint: Callable[[], Endpoint]
    secrets: Callable[[], tuple[str, ...]]
    url: str
    """The app's own endpoint as far as it is known here; empty where it is not."""


def examine_nylas(side: NylasSide, *, now: float) -> Findings:
    """Key, grants, webhook, and a delivery of our own."""
    yield from looked(TOPIC, "grants", lambda: _grants(side.grants()))
    webhooks: list[Webhook] = []
    date: list[str] = []

    def asked() -> Findings:
        found = side.webhooks()
        webhooks.extend(leading_to(found.all(), side.url))
        date.append(found.date)
        yield from _webhooks(webhooks, side)

    yield from looked(TOPIC, "webhook", asked)
    for webhook in webhooks:
        yield from _webhook(webhook)
    yield from looked(TOPIC, "delivery", lambda: _deliveries(webhooks, side, now))
    for told in date:
        yield from clock_finding(TOPIC, told, now)


def _grants(grants: tuple[Grant, ...]) -> Findings:
    valid = [one for one in grants if one.status == VALID]
    if not valid:
        yield bad(TOPIC, "grants", f"none of {len(grants)} is valid", "connect mailboxes through Nylas' hosted sign-in")
    else:
        by = ", ".join(
            f"{provider} {number}" for provider, number in sorted(Counter(g.provider for g in valid).items())
        )
        yield good(TOPIC, "grants", f"the key is good, {len(valid)} mailboxes are connected: {by}")
    expired = [one.id for one in grants if one.status != VALID]
    if expired:
        yield warning(
            TOPIC,
            "grants",
            f"{len(expired)} have expired: {named(expired)}",
            "their owners sign in again; what they received meanwhile is found then",
        )


def _webhooks(webhooks: list[Webhook], side: NylasSide) -> Findings:
    if not webhooks:
        yield bad(
            TOPIC,
            "webhook",
            "none leads to the app: mail is found by the sweep alone",
            f"`webhook register {side.url or 'https://<app>/api/webhooks/nylas'}`",
        )
    elif side.url and not any(one.is_of(side.url) for one in webhooks):
        yield warning(
            TOPIC,
            "webhook",
            f"none leads to {side.url} itself, though one to the same path",
            "is this the deployment that is meant? Else `webhook register`",
        )
    if len(webhooks) > 1:
        yield warning(
            TOPIC,
            "webhook",
            f"{len(webhooks)} lead to the app",
            "a rotation was broken off: run `webhook rotate` again",
        )


def _webhook(webhook: Webhook) -> Findings:
    checked = f"webhook {webhook.id}"
    if webhook.status == ACTIVE:
        yield good(TOPIC, checked, f"active, {'zipped' if webhook.compressed_delivery else 'not zipped'}")
    else:
        says, todo = STATES.get(webhook.status, (f"its state is {webhook.status}", "see Nylas' dashboard"))
        yield bad(TOPIC, checked, f"{webhook.status}: {says}", todo)
    if webhook.missing_triggers:
        yield bad(
            TOPIC,
            checked,
            f"it lacks the triggers {', '.join(webhook.missing_triggers)}",
            f"`webhook register {webhook.webhook_url}` adds them",
        )
    else:
        yield good(TOPIC, checked, "it has every trigger")
    if not webhook.notification_email_addresses:
        yield warning(
            TOPIC,
            checked,
            "Nylas writes to nobody when deliveries fail",
            f"`webhook register {webhook.webhook_url} --notify ADDRESS`",
        )


def _deliveries(webhooks: Iterable[Webhook], side: NylasSide, now: float) -> Findings:
    """Signed with each secret known here, and with one that is nobody's."""
    secrets = side.secrets()
    for webhook in webhooks:
        checked = f"delivery to {webhook.id}"
        if not secrets:
            yield unknown(TOPIC, checked, "NYLAS_WEBHOOK_SECRET is not known here")
            continue
        marked = [secret for secret in secrets if webhook.mark == mark_of(secret)]
        if webhook.mark and not marked:
            yield bad(
                TOPIC,
                checked,
                "NYLAS_WEBHOOK_SECRET does not hold the secret this webhook was made with",
                "give it, or make a new one: `webhook rotate`",
            )
        for secret in marked or secrets:
            yield _delivered(side.endpoint(), webhook, secret, checked, now)
        yield _refused(side.endpoint(), webhook, checked, now)


def _delivered(endpoint: Endpoint, webhook: Webhook, secret: str, checked: str, now: float) -> Finding:
    try:
        status = endpoint.status(webhook.webhook_url, secret, now=int(now))
    except TransientError as error:
        return bad(TOPIC, checked, f"{error}", "does the app run, and is it reached from here?")
    if status == 200:
        return good(TOPIC, checked, "what is signed with the secret is taken")
    says, todo = ANSWERS.get(status, (f"the app answers {status}", "see the app's log of this moment"))
    return bad(TOPIC, checked, f"{status}: {says}", todo)


def _refused(endpoint: Endpoint, webhook: Webhook, checked: str, now: float) -> Finding:
    try:
        status = endpoint.status(webhook.webhook_url, random_secrets.token_hex(16), now=int(now))
    except TransientError:
        return unknown(TOPIC, checked, "a wrongly signed delivery got no answer")
    if status == 401:
        return good(TOPIC, checked, "what is wrongly signed is refused")
    if status == 200:
        return bad(TOPIC, checked, "the app takes what nobody signed", "this is no app of ours, or a changed one")
    return unknown(TOPIC, checked, f"a wrongly signed delivery is answered {status}")
