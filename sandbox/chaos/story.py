"""The chaos: mail arrives while vendors fail and instances are killed; then the weather clears, and all is judged.

Everything random follows from the seed but the interleaving of processes, which no seed can fix.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from threading import Timer
from typing import Any

from sandbox.chaos.books import POISON, QUEUES, Books
from sandbox.chaos.clock import FastClock
from sandbox.chaos.correspondence import REFUSED, Arrival, Correspondence, Letter
from sandbox.chaos.instances import Every, Instances, until
from sandbox.chaos.people import people, settle
from sandbox.chaos.verdict import PENDING, Judge, Verdict, leaks
from sandbox.chaos.weather import Weather
from sandbox.nylas import NylasStandIn
from sandbox.webhooks import Mischief
from sandbox.world import APP, World

HURRIED = APP / "sandbox" / "hurried"
SWEEP_EVERY = 300.0
"""Seconds of the app's time."""
COMPARED = ("emails expected", "emails found", "missing", "doubled", "open", "unexpected")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything."""

    seed: int
    messages: int = 3000
    minutes: float = 8.0
    hurry: float = 12.0
    kills: int = 24
    refused: int = 10
    outage: float = 10.0
    """Real seconds that each vendor is out."""
    deepest: int = 400
    """Messages on the queues while mail is fed: the emulator's own cost grows with their number."""
    rate: float = 25.0
    """Copies that arrive in a second, at most."""
    spell: float = 5.0
    """Real seconds of the same weather."""


@dataclass(slots=True)
class Result:
    """What happened, and what was wrong in the end."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    """Every line that the instances wrote."""
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Story:
    """One run of the chaos."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        self._random = Random(plan.seed)
        self._began = time.monotonic()
        self._deadline = self._began + plan.minutes * 60
        self._clock = FastClock(plan.hurry)
        cast = people(self._random)
        self._letters = Correspondence(cast, self._random, messages=plan.messages, refused=plan.refused)
        self._tracked: dict[str, int] = {}
        self._killing = Random(plan.seed + 3)
        self._delivered = 0
        self._refuses = True
        self.result = Result()

    def run(self) -> Result:
        """Play it to the end."""
        nylas = NylasStandIn(f"nyk_{self._plan.seed}", clock=self._clock, seed=self._plan.seed)
        settings = {**self._clock.settings(), "INSTANCE_COUNT": "2"}
        with World(app=HURRIED, settings=settings, nylas=nylas, visibility=4, max_poll=0.3) as world:
            self._world = world
            world.dataverse.dop_hint = 12
            world.dataverse.behaviour.plug_in = self._refusal
            self._instances = Instances(world.host, world.another_host(), lead=self._lead)
            try:
                with Books(world.storage) as books:
                    self._books = books
                    self._play()
            finally:
                self._instances.stop()
        self.result.seconds = time.monotonic() - self._began
        return self.result

    def _play(self) -> None:
        world = self._world
        self._grants = settle(self._letters.cast, world)
        world.wait("the mailboxes to be known", lambda: len(self._books.swept()) == len(self._grants))
        world.nylas.webhooks.retry_scale = 1 / self._plan.hurry
        world.nylas.webhooks.mischief = Mischief(lose=0.05, duplicate=0.3, relabel=0.05, shuffle=2.0)
        self._weather = Weather(world.faults, Random(self._plan.seed + 1))
        self._judge = Judge(self._letters, world.dataverse, self._tracked)
        self._live_through()
        self._calm_down()
        self._report(self._judge.verdict(self._books, refused=True))
        self._mend()
        self._count()

    def _lead(self, url: str) -> None:
        """Lead webhooks to this instance, as the front of the function app leads to one that lives."""
        self._world.webhook.url = f"{url}/api/webhooks/nylas"

    def _refusal(self, table: str, values: Mapping[str, object]) -> str | None:
        """What the organisation's plug-in has against a row: it refuses those letters, until somebody mends that."""
        if not (self._refuses and table == "email" and str(values.get("subject")).endswith(REFUSED)):
            return None
        self.result.faults["dataverse: row refused"] += 1
        return "this customer is on hold"

    # mail and mischief

    def _live_through(self) -> None:
        """Mail arrives while everything goes wrong."""
        arrivals = self._letters.arrivals()
        troubles = [
            Every(self._plan.spell, self._weather.spell),
            Every(SWEEP_EVERY / self._plan.hurry, self._instances.sweep),
        ]
        try:
            with ThreadPoolExecutor(1) as killer:
                kills = [killer.submit(self._kill_at, place) for place in self._killing_places(len(arrivals))]
                try:
                    self._feed(arrivals)
                finally:
                    self._delivered = len(arrivals)
                for kill in kills:
                    kill.result()
        finally:
            for trouble in troubles:
                trouble.end()

    def _killing_places(self, arrivals: int) -> list[int]:
        return sorted(Random(self._plan.seed + 2).sample(range(arrivals), k=min(self._plan.kills, arrivals)))

    def _kill_at(self, place: int) -> None:
        """Kill an instance when so many copies have arrived."""
        until(self._deadline, lambda: self._delivered >= place, pause=0.05)
        self._instances.kill_one(self._killing)

    def _feed(self, arrivals: list[Arrival]) -> None:
        """Lay copy after copy into the mailboxes, with the great troubles in between."""
        marcus = self._letters.cast.ours[1].email
        troubles: dict[int, tuple[str, Callable[[], object]]] = {
            len(arrivals) * 2 // 10: ("Nylas is out", lambda: self._out("nylas")),
            len(arrivals) * 4 // 10: ("a grant expires", lambda: self._world.nylas.expire(marcus)),
            len(arrivals) * 5 // 10: ("Dataverse is out", lambda: self._out("dataverse")),
            len(arrivals) * 7 // 10: ("the grant is renewed", lambda: self._world.nylas.reauthenticate(marcus)),
        }
        for place, arrival in enumerate(arrivals):
            if place in troubles:
                told, happens = troubles[place]
                self._tell(told)
                happens()
            self._deliver(arrival)
            self._delivered = place
            self._keep_pace(place)
            if place % max(1, len(arrivals) // 10) == 0:
                self._tell(f"{place} of {len(arrivals)} copies delivered")
            if time.monotonic() > self._deadline:
                self.result.problems.append(f"the time was over when {place} of {len(arrivals)} copies had arrived")
                return

    def _keep_pace(self, place: int) -> None:
        time.sleep(1 / self._plan.rate)
        if place % 10 == 0:
            until(self._deadline, lambda: self._books.depth(*QUEUES) < self._plan.deepest)

    def _out(self, vendor: str) -> None:
        """Take a vendor away for a while; mail arrives all the same."""
        self._weather.out(vendor)
        self._back = Timer(self._plan.outage, self._weather.out)
        self._back.daemon = True
        self._back.start()

    def _deliver(self, arrival: Arrival) -> None:
        letter, nylas = arrival.letter, self._world.nylas
        if letter.kind == "tracked already" and not letter.messages:
            self._track(letter)
        message = nylas.deliver(arrival.mailbox, letter.mail, arrival.folder)
        letter.messages.append((self._grants[arrival.mailbox], message))

    def _track(self, letter: Letter) -> None:
        """Let another tool put this mail into Dataverse first."""
        row = self._world.dataverse.add(
            "email",
            subject=letter.subject,
            description=letter.mail.body,
            messageid=letter.mail.message_id,
            directioncode=False,
            statecode=1,
            statuscode=4,
            email_activity_parties=[
                {"participationtypemask": mask, "addressused": person.email} for mask, person in letter.people()
            ],
        )
        (made,) = self._world.dataverse.rows("email", activityid=row)
        self._tracked[row] = int(str(made["versionnumber"]))

    # calm

    def _calm_down(self) -> None:
        """Fine weather: sweep until nobody has anything left to do."""
        self._tell("fine weather; sweeping until all is quiet")
        self._back.join()
        self._weather.out()
        self._world.nylas.webhooks.mischief = Mischief()
        if not self._is_quiet_in_time():
            told = f"on the queues {self._books.depth(*QUEUES)}, in the journal {dict(self._books.outcomes())}"
            self.result.problems.append(f"it never became quiet: {told}")

    def _is_quiet_in_time(self) -> bool:
        for _ in range(2):  # the second sweep finds what the first one's work left behind
            since = self._clock()
            while not self._is_quiet(since):
                if time.monotonic() > self._deadline:
                    return False
                self._instances.sweep()
                time.sleep(min(5.0, SWEEP_EVERY / self._plan.hurry))
        return True

    def _is_quiet(self, since: float) -> bool:
        swept = self._books.swept()
        return (
            all(swept.get(grant, 0) > since for grant in self._grants.values())
            and self._books.depth(*QUEUES, *POISON) == 0
            and not PENDING & self._books.outcomes().keys()
        )

    # judgement

    def _mend(self) -> None:
        """Let Dataverse take what it refused, try it again, and judge once more; then let the app prove itself."""
        self._tell(f"what Dataverse refused is mended; {len(self._books.aside())} put aside are tried again")
        self._refuses = False
        self._command("aside", "replay", "--all")
        until(self._deadline, lambda: self._books.depth(*QUEUES) == 0 and not PENDING & self._books.outcomes().keys())
        self._report(self._judge.verdict(self._books, refused=False), suffix=" after mending")
        told = self._command("verify", "--since", _moment(self._clock.since), "--until", _moment(self._clock() + 60))
        self.result.counts["verify: unexplained"] = told.get("total", {}).get("unexplained", -1)
        if not told.get("holds") or told["total"]["on_the_way"]:
            self.result.problems.append(f"verify does not hold: {json.dumps(told.get('total', told))[:600]}")

    def _command(self, *words: str) -> dict[str, Any]:
        """Run one of the operator's commands; returns its JSON."""
        env = {**os.environ, **self._world.settings()}
        done = subprocess.run(
            [sys.executable, "-m", "mailsync", *words, "--json"],
            cwd=APP,
            env={name: value for name, value in env.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        try:
            return dict(json.loads(done.stdout))
        except ValueError:
            self.result.problems.append(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-600:]}")
            return {}

    def _report(self, verdict: Verdict, suffix: str = "") -> None:
        self.result.counts.update({f"{name}{suffix}": number for name, number in verdict.counts.items()})
        for name in COMPARED:
            self.result.counts.setdefault(f"{name}{suffix}", 0)
        self.result.problems += [f"{problem}{suffix}" for problem in verdict.problems]

    def _count(self) -> None:
        counts, deliveries = self.result.counts, self._world.nylas.deliveries
        first = Counter(one.notification for one in deliveries if one.attempt == 1)
        counts["messages"] = sum(len(letter.messages) for letter in self._letters.letters)
        counts["mails"] = sum(bool(letter.messages) for letter in self._letters.letters)
        counts["notifications sent"] = len(deliveries)
        counts["sent twice"] = sum(number - 1 for number in first.values())
        counts["webhooks never sent"] = len(self._world.nylas.webhooks.lost)
        counts["webhooks without answer"] = sum(one.status is None for one in deliveries)
        counts["kills"] = self._instances.kills
        self.result.faults += self._weather.struck()
        log = self.result.log = self._instances.log
        self.result.problems += [f"unforeseen: {line}" for line in log if "event=unexpected_failure" in line][:10]
        self.result.problems += [f"an address in the log: {line}" for line in leaks(self._letters.cast, log)][:10]

    def _tell(self, what: str) -> None:
        standing = self._world.dataverse.count("email", statecode=1)
        self._say(f"{time.monotonic() - self._began:5.0f} s  {what}; {standing} emails, {self._instances.kills} kills")


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
