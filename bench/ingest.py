"""How long Nylas waits: signed notifications at a steady rate over kept connections."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from urllib.parse import urlsplit

from bench.mail import deliver
from sandbox.world import World

RATE = 100
"""Notifications per second."""
BUSY_RATE = 20
"""The same while emails are written: about as many as are written."""
CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of the notifications, and how long each took."""

    codes: Counter[int]
    seconds: tuple[float, ...]
    """From the moment a notification was due, so that one that had to wait its turn counts in full."""
    begun: float = 0.0
    """When the first was due, by `time.perf_counter`; each later one was so at the rate."""

    def percentile(self, which: int) -> float:
        """Milliseconds."""
        return quantiles(self.seconds, n=100, method="inclusive")[which - 1] * 1000


def notifications(world: World, number: int) -> list[bytes]:
    """The bodies of so many notifications, each of a message of its own."""
    fresh = deliver(world, number)
    shown = {
        message["id"]: message for grant in {one.grant for one in fresh} for message in world.nylas.messages(grant)
    }
    return [_notification(shown[one.message]) for one in fresh]


def ingest(url: str, secret: str, bodies: Sequence[bytes], *, rate: int) -> Ingested:
    """Post these, so many a second, whether or not the earlier ones are answered."""
    codes: Counter[int] = Counter()
    seconds: list[float] = []
    lock = threading.Lock()
    signed = [(body, hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()) for body in bodies]
    begun = time.perf_counter() + 0.1
    waiting = iter([(begun + number / rate, *one) for number, one in enumerate(signed)])
    where = urlsplit(url)

    def work() -> None:
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        while True:
            with lock:
                due, body, signature = next(waiting, (0.0, b"", ""))
            if not body:
                break
            time.sleep(max(0.0, due - time.perf_counter()))
            headers = {"Content-Type": "application/json", "x-nylas-signature": signature}
            connection.request("POST", "/api/webhooks/nylas", body, headers)
            answer = connection.getresponse()
            answer.read()
            with lock:
                codes[answer.status] += 1
                seconds.append(time.perf_counter() - due)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Ingested(codes, tuple(seconds), begun)


def _notification(message: dict[str, object]) -> bytes:
    shown = {name: value for name, value in message.items() if name != "headers"}
    return json.dumps(
        {
            "specversion": "1.0",
            "type": "message.created",
            "source": "/google/emails/realtime",
            "id": str(uuid.uuid4()),
            "time": int(time.time()),
            "webhook_delivery_attempt": 1,
            "data": {"application_id": str(uuid.uuid4()), "object": shown},
        }
    ).encode()
