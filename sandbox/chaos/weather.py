"""What goes wrong at the vendors: spells of bad weather, each with some faults of every kind, and outages.

Responsible for which faults there are and when; `sandbox.faults` carries them out. Retry-After is in seconds of the
app's hurried time.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping
from random import Random

from sandbox.faults import Act, Answer, Delay, DropAfter, DropBefore, Fault, Faults, Hold, HoldAfter

HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502</h1>nginx</body></html>"
AS_HTML = {"content-type": "text/html"}


def _odata(code: str, message: str = "chaos") -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()


def _nylas(kind: str) -> bytes:
    return json.dumps({"request_id": "chaos", "error": {"type": kind, "message": "chaos"}}).encode()


def _throttled(code: str) -> Answer:
    return Answer(429, {"retry-after": "30"}, _odata(code))


DATAVERSE: Mapping[str, Act] = {
    "429 number of requests": _throttled("0x80072322"),
    "429 execution time": _throttled("0x80072321"),
    "429 concurrent requests": _throttled("0x80072326"),
    "503 with Retry-After": Answer(503, {"retry-after": "20"}, _odata("0x80040216")),
    "500": Answer(500, {}, _odata("0x80040216")),
    "SQL time-out": Answer(500, {}, _odata("0x80044151")),
    "502 in HTML": Answer(502, AS_HTML, HTML),
    "200 in HTML": Answer(200, AS_HTML, HTML),
    "401 once": Answer(401, {}, b""),
    "dropped before": DropBefore(),
    "dropped after": DropAfter(),
    "timed out before": Hold(),
    "timed out after": HoldAfter(),
    "slow": Delay(1.5),
}
NYLAS: Mapping[str, Act] = {
    "429 with Retry-After": Answer(429, {"retry-after": "20"}, _nylas("rate_limit_error")),
    "429 without": Answer(429, {}, b"too many requests"),
    "403 quota": Answer(403, {}, _nylas("quota_exceeded_error")),
    "500": Answer(500, {}, b""),
    "502 in HTML": Answer(502, AS_HTML, HTML),
    "504 provider": Answer(504, {}, _nylas("provider_error")),
    "200 in HTML": Answer(200, AS_HTML, HTML),
    "dropped before": DropBefore(),
    "dropped after": DropAfter(),
    "timed out": Hold(),
    "slow": Delay(1.5),
}
ENTRA: Mapping[str, Act] = {
    "503": Answer(503, {}, b""),
    "dropped before": DropBefore(),
    "slow": Delay(1.0),
}


KINDS = {"dataverse": DATAVERSE, "nylas": NYLAS, "entra": ENTRA}
SCARCE = 0.05
"""The most that time-outs strike of all requests: each stops a worker for seconds."""


class Weather:
    """The faults of one world."""

    def __init__(self, faults: Mapping[str, Faults], random: Random) -> None:
        self._faults = faults
        self._random = random
        self._names: dict[Fault, str] = {}
        self._struck: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._out: set[str] = set()
        self.clear()

    def spell(self) -> None:
        """Let other faults strike than before."""
        with self._lock:
            for vendor, kinds in KINDS.items():
                self._begin(vendor)
                some = self._random.sample(list(kinds.items()), k=self._random.choice((0, 1, 2, 3)))
                for name, act in some:
                    share = self._random.choice((0.02, 0.05, 0.15, 0.4))
                    scarce = isinstance(act, Hold | HoldAfter)
                    self._add(vendor, name, Fault(act, probability=min(share, SCARCE) if scarce else share))

    def clear(self) -> None:
        """Fine weather, but for what is out."""
        with self._lock:
            for vendor in self._faults:
                self._begin(vendor)

    def out(self, *vendors: str) -> None:
        """Let these vendors be out of reach, and all others back."""
        with self._lock:
            self._out = set(vendors)
            for vendor in self._faults:
                self._begin(vendor)

    def struck(self) -> Counter[str]:
        """How often each kind of fault struck, so far."""
        return Counter(self._names[hit.fault] for faults in self._faults.values() for hit in tuple(faults.hits))

    def _begin(self, vendor: str) -> None:
        faults = self._faults[vendor]
        faults.clear()
        if vendor in self._out:
            for act, share in ((DropBefore(), 0.5), (Answer(503, AS_HTML, HTML), 1.0)):
                self._add(vendor, "outage", Fault(act, probability=share))

    def _add(self, vendor: str, name: str, fault: Fault) -> None:
        self._faults[vendor].add(self._named(f"{vendor}: {name}", fault))

    def _named(self, name: str, fault: Fault) -> Fault:
        self._names[fault] = name
        return fault
