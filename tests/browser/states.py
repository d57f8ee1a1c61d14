"""Worlds for the status page to tell of, each laid into a storage account of its own through the app's own tables.

What a state is like is told here once; the tests look at it, and so does whoever makes pictures of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from azure.data.tables import UpdateMode

from mailsync.errors import Evidence, MessageError
from mailsync.outcome import Kind
from mailsync.settings import StorageSettings
from mailsync.storage import counts
from mailsync.storage.account import StorageAccount
from mailsync.storage.aside import Aside
from mailsync.storage.counts import Counts
from mailsync.storage.envelope import MessageItem
from mailsync.storage.instances import Budget, Instance, Instances, Trouble
from mailsync.storage.journal import Entry, Journal
from mailsync.storage.mailboxes import PARTITION
from mailsync.storage.queues import Queues
from mailsync.storage.tables import Table

MINUTE, HOUR, DAY = 60, 3600, 86_400
OUTCOMES = (
    ("written", "contact", 0.55),
    ("written", "reply", 0.25),
    ("already_there", "", 0.08),
    ("skipped", "internal_only", 0.3),
    ("skipped", "junk", 0.07),
)
PROVIDERS = ("google", "microsoft", "microsoft", "imap", "ews", "icloud", "yahoo")
BUSY = (2, 1, 1, 1, 1, 2, 5, 14, 31, 42, 38, 35, 29, 33, 40, 36, 30, 22, 12, 8, 6, 5, 4, 3)
"""How much mail an office has in each hour of the day."""
NAMES = ("ida", "marcus", "noor", "tomas", "kenji", "greta", "sam", "ines", "paul", "lena", "omar", "ruth")


@dataclass
class Box:
    """One mailbox of a world. Ages are seconds."""

    grant: str
    address: str
    provider: str
    status: str = "valid"
    since: int | None = None
    connected: int = 90 * DAY
    swept: int | None = 2 * MINUTE
    written: int | None = 4 * MINUTE
    lag: int = 0
    waiting: bool = False
    proved: int | None = 9 * HOUR
    unexplained: int = 0
    doubled: int = 0
    busy: float = 1.0
    trouble: Sequence[tuple[str, str, int]] = ()
    """What was counted of it today besides, as kind, reason and how often."""


@dataclass
class Scene:
    """A world while it is laid out."""

    account: StorageAccount
    now: int
    random: Random
    boxes: list[Box] = field(default_factory=list)

    def box(self, **about: object) -> Box:
        """One more mailbox."""
        number = len(self.boxes)
        name = NAMES[number % len(NAMES)] + (str(number // len(NAMES)) if number >= len(NAMES) else "")
        given: dict[str, object] = {
            "grant": str(uuid.UUID(int=self.random.getrandbits(128), version=4)),
            "address": f"{name}@fjordlight.example",
            "provider": PROVIDERS[number % len(PROVIDERS)],
            "swept": 40 + self.random.randrange(200),
            "written": 30 + self.random.randrange(3 * HOUR),
            "busy": 0.2 + self.random.random(),
            **about,
        }
        made = Box(**given)  # type: ignore[arg-type]
        self.boxes.append(made)
        return made

    def lay(self) -> None:
        """Write what is known of the mailboxes: their rows, their proofs, and what was counted."""
        rows = Table(self.account, "mailboxes")
        told = [self._row(box) for box in self.boxes]
        for start in range(0, len(told), 100):
            rows.change(("upsert", row, {"mode": UpdateMode.REPLACE}) for row in told[start : start + 100])
        proven = Table(self.account, "proofs")
        proofs = [row for box in self.boxes if (row := self._proof(box)) is not None]
        for start in range(0, len(proofs), 100):
            proven.change(("upsert", row, {"mode": UpdateMode.REPLACE}) for row in proofs[start : start + 100])
        self._count()

    def _row(self, box: Box) -> Mapping[str, str]:
        swept = self.now - box.swept if box.swept is not None else None
        return {
            "PartitionKey": PARTITION,
            "RowKey": box.grant,
            "email": box.address,
            "provider": box.provider,
            "status": box.status,
            "connected": str(self.now - box.connected),
            "since": "" if box.since is None else str(self.now - box.since),
            "watermark": "" if swept is None else str(swept),
            "swept": "" if swept is None else str(swept),
            "lag": str(box.lag),
            "last_written": "" if box.written is None else str(self.now - box.written),
            "waiting": "yes" if box.waiting else "",
        }

    def _proof(self, box: Box) -> Mapping[str, str] | None:
        if box.proved is None:
            return None
        made = self.now - box.proved
        return {
            "PartitionKey": "mailbox",
            "RowKey": box.grant,
            "tried": str(made),
            "made": str(made),
            "since": str(made - 7 * DAY),
            "until": str(made),
            "seen": str(round(900 * box.busy)),
            "unexplained": str(box.unexplained),
            "doubled": str(box.doubled),
            "left_open": "0",
            "listing": "listed",
            "span": "",
        }

    def _count(self) -> None:
        """Six days with a tally each and the last day hour by hour, as a sweep's timer leaves them: added up."""
        today = self.now // DAY * DAY
        counted = Counts(self.account, clock=lambda: self.now, after=3600)
        for day in range(today - 6 * DAY, today - DAY, DAY):
            self._note(counted, day + 12 * HOUR, weight=sum(BUSY), weekend=(day // DAY + 4) % 7 in {0, 6})
        step = HOUR if len(self.boxes) < 100 else 4 * HOUR  # of hundreds a part tells as much
        for hour in range(self.now // HOUR * HOUR - 23 * HOUR, self.now + 1, step):
            self._note(counted, hour, weight=BUSY[hour // HOUR % 24])
        for box in self.boxes:
            for kind, reason, times in box.trouble:
                counted.note(grant=box.grant, kind=kind, reason=reason, at=self.now, times=times)
        days: dict[str, dict[str, counts.Numbers]] = {}
        for hour, one in counted._hours.items():
            for name, numbers in one.rows.items():
                counts._add(days.setdefault(counts._day_of(hour), {}).setdefault(name, {}), numbers)
        table = Table(self.account, "counts")
        for day, rows in days.items():
            table.change(("upsert", counts._row(day, name, numbers)) for name, numbers in rows.items())

    def _note(self, counted: Counts, at: int, *, weight: int, weekend: bool = False) -> None:
        counted._clock = lambda: at
        for box in self.boxes:
            if self.now - box.connected > at or box.status != "valid":
                continue
            share = weight * box.busy * (0.15 if weekend else 1.0)
            for kind, reason, part in OUTCOMES:
                times = int(share * part * (0.7 + 0.6 * self.random.random()) + self.random.random())
                if times:
                    took = 1.2 + 2.5 * self.random.random() if kind == "written" else None
                    counted.note(grant=box.grant, kind=kind, reason=reason, at=at, times=times, from_notification=took)

    def instance(self, **about: object) -> None:
        """A process that told of itself just now."""
        given: dict[str, object] = {
            "process": uuid.UUID(int=self.random.getrandbits(128), version=4).hex[:12],
            "started": self.now - DAY,
            "noted": self.now - 9,
            "done": {"message": self.now - 12, "sweep": self.now - 40, "timer": self.now - 50},
            "budget": Budget(at=self.now - 12, requests_left=5_412, seconds_left=1_087.5, hint=12, at_once=12),
            **about,
        }
        Instances(self.account).put(Instance(**given))  # type: ignore[arg-type]

    def trouble(self, reason: str, advice: str, evidence: str, *, since: int, work: str = "message") -> Trouble:
        """What stands in the way since some seconds."""
        return Trouble(
            reason=reason, work=work, advice=advice, evidence=evidence, since=self.now - since, at=self.now - 20
        )

    def put_aside(self, box: Box, reason: str, advice: str, evidence: Evidence, *, ago: int) -> None:
        """A message of a mailbox that could not be written."""
        item = MessageItem(
            grant=box.grant,
            message=uuid.UUID(int=self.random.getrandbits(128), version=4).hex[:16],
            source="message.created",
            first_seen=self.now - ago,
        )
        error = MessageError(advice, reason=reason, evidence=evidence)
        Aside(self.account).put(item, error, now=self.now - ago)
        Journal(self.account).put(
            Entry(
                grant=box.grant,
                message=item.message,
                kind=Kind.PUT_ASIDE,
                noted=self.now - ago,
                first_seen=item.first_seen,
                reason=reason[:60],
                source=item.source,
                detail=str(evidence)[:200],
            ),
            None,
        )

    def queued(self, number: int, *, ago: int = 3) -> None:
        """Messages that wait on their queue."""
        queues = Queues(self.account)
        for _ in range(number):
            grant = self.random.choice(self.boxes).grant
            queues.send(MessageItem(grant=grant, message="m", source="message.created", first_seen=self.now - ago))


REFUSED = Evidence("dataverse", 400, "0x80044331", "7f1c0f5e-6a3e-4f4e-9c55-1f0e9f0f7b11")
ADVICE = "Dataverse refuses this email as it is; its code says why"


def flowing(scene: Scene) -> None:
    """Twelve mailboxes, and nothing to be done."""
    scene.box(written=14)
    for _ in range(11):
        scene.box()
    scene.lay()
    scene.instance()
    scene.queued(3)


def attention(scene: Scene) -> None:
    """Mail flows; an owner must sign in, another has just done so, three messages wait, two are unexplained."""
    for _ in range(9):
        scene.box()
    scene.box(status="invalid", since=2 * DAY + 5 * HOUR, swept=2 * DAY + 5 * HOUR, written=2 * DAY + 6 * HOUR)
    scene.box(swept=29 * HOUR, written=30 * HOUR, waiting=True)
    scene.box(unexplained=2)
    scene.box(proved=None, connected=3 * HOUR)
    scene.box(status="deleted", since=11 * DAY, swept=11 * DAY, written=11 * DAY)
    first, second, third = scene.boxes[:3]
    first.trouble = (("put_aside", "dataverse_refused_row", 2), ("deferred", "dataverse_throttled", 31))
    second.trouble = (("put_aside", "mapping_failed", 1), ("deferred", "mailbox_paced", 12))
    third.trouble = (("deferred", "nylas_throttled", 4), ("deferred", "awaits_senders_copy", 9))
    scene.lay()
    scene.instance(budget=Budget(at=scene.now - 30, requests_left=2_105, seconds_left=341.0, hint=6, at_once=6))
    scene.instance(budget=Budget(at=scene.now - 70, requests_left=2_240, seconds_left=362.0, hint=6, at_once=6))
    scene.put_aside(first, "dataverse_refused_row", ADVICE, REFUSED, ago=50 * MINUTE)
    scene.put_aside(first, "dataverse_refused_row", ADVICE, REFUSED, ago=3 * HOUR)
    scene.put_aside(second, "mapping_failed", "the mapper failed; please report it", Evidence(), ago=26 * HOUR)
    scene.queued(14, ago=70)


def stopped(scene: Scene) -> None:
    """Dataverse refuses the app since forty minutes; mail waits."""
    for _ in range(6):
        scene.box(written=40 * MINUTE, lag=40 * MINUTE)
    for box in scene.boxes:
        box.trouble = (("deferred", "dataverse_refused_identity", 40), ("deferred", "dataverse_closed", 7))
    scene.lay()
    advice = "Dataverse knows the app, and it has no security role there; give it the role"
    evidence = "vendor=dataverse status=403 code=0x80040220 request=1b7f"
    scene.instance(
        done={"message": scene.now - 40 * MINUTE, "sweep": scene.now - 40, "timer": scene.now - 50},
        troubles=(scene.trouble("dataverse_refused_identity", advice, evidence, since=40 * MINUTE),),
        closed={"dataverse": scene.now + 45},
    )
    scene.queued(40, ago=38 * MINUTE)


def starting(scene: Scene) -> None:
    """Connected an hour ago: mail arrives, nothing is proved yet."""
    for _ in range(2):
        scene.box(connected=HOUR, proved=None)
    scene.lay()
    scene.instance()


def empty(scene: Scene) -> None:
    """Installed, and nothing else."""


def crowd(scene: Scene) -> None:
    """Five hundred mailboxes, some of them in trouble of each kind."""
    for number in range(500):
        if number % 97 == 3:
            since = (1 + number % 9) * DAY
            scene.box(status="invalid", since=since, swept=since, written=since + HOUR)
        elif number % 61 == 5:
            scene.box(swept=5 * HOUR + number * 30)
        elif number % 83 == 7:
            scene.box(unexplained=1 + number % 3)
        elif number % 120 == 11:
            scene.box(status="deleted", since=30 * DAY, swept=30 * DAY, written=30 * DAY)
        else:
            scene.box()
    scene.lay()
    scene.instance()
    for box in scene.boxes[20:40]:
        scene.put_aside(box, "dataverse_refused_row", ADVICE, REFUSED, ago=20 * MINUTE + scene.random.randrange(DAY))


def hostile(scene: Scene) -> None:
    """Texts from outside that would like to be markup."""
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    box = scene.box(grant=f"g{evil}".replace("/", "|").replace("#", "").replace("?", ""), provider=evil)
    box.trouble = (("deferred", evil, 3), ("skipped", evil, 2))
    scene.lay()
    scene.put_aside(box, evil, f"advice {evil}", Evidence(evil, 400, evil, evil), ago=60)
    scene.instance(done={}, troubles=(scene.trouble(evil, evil, evil, since=60),), closed={evil: scene.now + 60})


STATES: Mapping[str, Callable[[Scene], None]] = {
    one.__name__: one for one in (flowing, attention, stopped, starting, empty, crowd, hostile)
}


def laid_out(name: str, connection_string: str, now: int) -> Scene:
    """Lay a state into a storage account."""
    scene = Scene(StorageAccount(StorageSettings(connection_string), None), now, Random(7))
    STATES[name](scene)
    return scene
