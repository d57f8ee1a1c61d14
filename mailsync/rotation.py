"""Rotates the webhook's secret without a lost delivery: a second webhook, both secrets, then away with the first.

Nylas' own rotation makes the old secret useless at once, and a delivery that meets a 401 is not repeated (its page on
notifications, read 2026-11). While both webhooks are there each event is told twice, which changes nothing. A run that
broke off is gone on with by the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mailsync.errors import ArgumentError, MailSyncError, TransientError
from mailsync.nylas.webhooks import ACTIVE, Endpoint, Webhook, Webhooks, chosen, mark_of, second_url

CONFIRMATIONS = 5
"""Deliveries in a row that the app must take: several instances may be at work, and one may not know the secret yet."""
PAUSE = 2.0
"""Seconds between two deliveries of our own."""


class NotConfirmedYetError(MailSyncError):
    """The app does not know the new secret yet."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What NYLAS_WEBHOOK_SECRET is to hold, and how it is kept and told."""

    known: Callable[[], tuple[str, ...]]
    """Those of the deployment now, as far as they can be known; the newest last."""
    keep: Callable[[tuple[str, ...]], None]
    """Keep these, the oldest first: in a vault, or before the eyes of a person."""


class Rotation:
    """One rotation."""

    def __init__(
        self,
        *,
        webhooks: Webhooks,
        endpoint: Endpoint,
        secrets: Secrets,
        clock: Callable[[], float],
        pause: Callable[[float], None],
        tell: Callable[[str], None],
    ) -> None:
        self._webhooks = webhooks
        self._endpoint = endpoint
        self._secrets = secrets
        self._clock = clock
        self._pause = pause
        self._tell = tell

    def rotate(self, named: str | None, *, patience: float) -> Webhook:
        """Do it all; returns the webhook that stays.

        Raises NotConfirmedYetError when the app does not know the new secret within `patience` seconds: both webhooks
        are there then, nothing is lost, and the next run goes on.
        """
        first, second, secret = self._begun(named)
        self._wait(second.webhook_url, secret, patience)
        self._webhooks.remove(first.id)
        self._tell(f"removed the first webhook {first.id}")
        self._secrets.keep((secret,))
        self._tell("the old secret is taken out")
        return second

    def _begun(self, named: str | None) -> tuple[Webhook, Webhook, str]:
        """The old webhook, the new one and its secret: made now, or by a run that broke off."""
        everyone = self._webhooks.all()
        pair = self._pair(everyone, named)
        known = self._secrets.known()
        if pair is not None:
            self._tell(f"going on with the second webhook {pair[1].id}")
            return (*pair, _secret_of(pair[1], known))
        first = chosen(everyone, named)
        if not known:
            raise ArgumentError(
                "the present secret is known nowhere: give it in NYLAS_WEBHOOK_SECRET or --key-vault, so that the app "
                "goes on to know it",
                reason="secret_unknown",
            )
        second = self._webhooks.create(
            second_url(first.webhook_url, (one.webhook_url for one in everyone)),
            emails=first.notification_email_addresses or (),
            compressed=first.compressed_delivery is not False,
        )
        self._tell(f"registered a second webhook {second.id} at {second.webhook_url}")
        self._secrets.keep((*known, second.webhook_secret))
        self._webhooks.mark(second)
        return first, second, second.webhook_secret

    def _pair(self, everyone: tuple[Webhook, ...], named: str | None) -> tuple[Webhook, Webhook] | None:
        """Two webhooks of one endpoint, in the order in which they were made."""
        ours = [one for one in everyone if one.is_ours and one.status in {ACTIVE, "failing", "failed"}]
        if named is not None:
            ours = [one for one in ours if one.is_of(chosen(everyone, named).webhook_url)]
        if len(ours) != 2 or not ours[0].is_of(ours[1].webhook_url):
            return None
        return ours[0], ours[1]

    def _wait(self, url: str, secret: str, patience: float) -> None:
        """Until the app takes deliveries signed with the new secret, several times in a row."""
        deadline = self._clock() + patience
        self._tell("waiting until the app knows both secrets")
        in_a_row = 0
        while True:
            in_a_row = in_a_row + 1 if self._is_known(url, secret) else 0
            if in_a_row >= CONFIRMATIONS:
                self._tell("the app takes what is signed with the new secret")
                return
            if not in_a_row and self._clock() >= deadline:
                raise NotConfirmedYetError(
                    "the app does not take the new secret yet; both webhooks are there and nothing is lost. See that "
                    "the app has the new setting, then run this again",
                    reason="secret_not_known_yet",
                )
            self._pause(PAUSE)

    def _is_known(self, url: str, secret: str) -> bool:
        try:
            return self._endpoint.status(url, secret, now=int(self._clock())) == 200
        except TransientError:
            return False


def _secret_of(webhook: Webhook, known: tuple[str, ...]) -> str:
    """The known secret that a webhook was made with; the newest, where nobody noted which that is."""
    marked = [secret for secret in known if webhook.mark == mark_of(secret)]
    if marked or (not webhook.mark and len(known) > 1):
        return (marked or known)[-1]
    raise ArgumentError(
        f"two webhooks lead to this endpoint, and the secret of the second ({webhook.id}) is known nowhere: give both "
        "in NYLAS_WEBHOOK_SECRET or --key-vault, or remove it and rotate anew",
        reason="secret_unknown",
    )
