"""Compares what stands in Dataverse, and what the app wrote down, with what the generator promised of each letter.

The rules are told here a second time, in the words of the mail: who is whose record, which way it went, what it is
about. Where the order of arrival may decide (a reply that came before its parent), every right answer is allowed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, KeysView
from dataclasses import dataclass, field
from typing import Any

from sandbox.chaos.books import PENDING, POISON, Books
from sandbox.chaos.correspondence import Correspondence, Letter
from sandbox.chaos.people import Cast
from sandbox.dataverse import DataverseStandIn
from sandbox.dataverse.refusals import PLUG_IN

Row = dict[str, Any]
SENT, RECEIVED = 3, 4
ABOUT = ("contact", "account", "lead")
"""What a mail is about, the first table with a row of somebody outside."""
DONE = frozenset({"written", "already_there"})
MOST_NAMED = 40


@dataclass(slots=True)
class Verdict:
    """What was expected, what was found, and everything that is wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything is as promised."""
        return not self.problems

    def object(self, what: str, letter: Letter | None, why: str) -> None:
        """Note that a promise is broken."""
        self.counts[what] += 1
        about = f" ({letter.kind}: {letter.subject!r})" if letter is not None else ""
        self.problems.append(f"{what}: {why}{about}")


class Judge:
    """Knows what was promised."""

    def __init__(self, letters: Correspondence, dataverse: DataverseStandIn, tracked: dict[str, int]) -> None:
        self._letters = letters.letters
        self._cast = letters.cast
        self._dataverse = dataverse
        self._tracked = tracked
        """Of emails that another tool had put there: activityid and version."""

    def verdict(self, books: Books, *, refused: bool) -> Verdict:
        """The whole comparison; `refused` says whether what can't be written still can't."""
        found = Verdict()
        arrived = [letter for letter in self._letters if letter.messages]
        expected = {letter.subject: letter for letter in arrived if self._lands(letter, refused=refused)}
        emails: dict[str, list[Row]] = {}
        for row in self._dataverse.rows("email"):
            emails.setdefault(str(row["subject"]), []).append(row)
        parties = self._parties()
        found.counts["emails expected"] = len(expected)
        found.counts["emails found"] = sum(map(len, emails.values()))
        for subject, rows in emails.items():
            if subject not in expected:
                found.object("unexpected", None, f"{len(rows)} emails {subject!r}")
        standing = {subject: rows[0] for subject, rows in emails.items() if rows}
        for subject, letter in expected.items():
            rows = emails.get(subject, [])
            if len(rows) != 1:
                found.object("doubled" if rows else "missing", letter, f"it stands there {len(rows)} times")
            for row in rows:
                self._compare(found, letter, row, parties.get(str(row["activityid"]), []), standing)
        self._check_ids(found, emails)
        self._check_journal(found, arrived, books.journal(), refused=refused)
        self._check_aside(found, arrived, books.aside(), refused=refused)
        if stuck := books.depth(*POISON):
            found.object("poison", None, f"{stuck} messages lie in the poison queues")
        return found

    def _lands(self, letter: Letter, *, refused: bool) -> bool:
        return letter.skipped is None and not (refused and letter.is_refused)

    def _parties(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in self._dataverse.rows("activityparty"):
            if row["participationtypemask"] in {1, 2, 3, 4}:
                found.setdefault(str(row["_activityid_value"]), []).append(row)
        return found

    def _compare(self, found: Verdict, letter: Letter, row: Row, parties: list[Row], standing: dict[str, Row]) -> None:
        if letter.kind == "tracked already":
            if self._tracked.get(str(row["activityid"])) != row["versionnumber"]:
                found.object("adopted and changed", letter, "another tool's email was replaced or changed")
            return
        if row["statecode"] != 1:
            found.object("open", letter, "it was never completed")
        outgoing = self._cast.is_ours(letter.sender)
        right = {"directioncode": outgoing, "statuscode": SENT if outgoing else RECEIVED}
        for column, value in right.items():
            if row[column] != value:
                found.object("wrong", letter, f"{column} is {row[column]}, not {value}")
        if row["messageid"] != letter.mail.message_id and letter.kind != "id used again":
            found.object("wrong", letter, f"messageid is {row['messageid']}, not {letter.mail.message_id}")
        self._compare_parties(found, letter, parties)
        self._compare_thread(found, letter, row, standing)

    def _compare_parties(self, found: Verdict, letter: Letter, parties: list[Row]) -> None:
        shown = Counter((row["participationtypemask"], row["addressused"], row["_partyid_value"]) for row in parties)
        right = Counter(self._promised(letter))
        if shown == right:
            return
        blind = Counter(party for party in self._promised(letter) if party[0] == 4)
        if blind and len(letter.lies_in) > 1 and shown == right - blind:
            # a colleague's copy was written after minutes in which the sender's own did not come
            found.counts["Bcc not known in time"] += 1
            return
        told = f"missing {sorted(map(str, right - shown))}, too many {sorted(map(str, shown - right))}"
        found.object("wrong parties", letter, told)

    def _promised(self, letter: Letter) -> Iterator[tuple[int, str | None, str | None]]:
        for mask, person in letter.people():
            record = self._cast.records.get(person.email or "")
            yield mask, person.email, record[1] if record else None

    def _compare_thread(self, found: Verdict, letter: Letter, row: Row, standing: dict[str, Row]) -> None:
        above = [standing[one.subject] for one in letter.before if one.subject in standing]
        nearest = above[0]["activityid"] if above else None
        if row["_parentactivityid_value"] != nearest:
            found.object("wrong parent", letter, f"it hangs from {row['_parentactivityid_value']}, not {nearest}")
        elif nearest is not None:
            found.counts["replies that hang from their parent"] += 1
        right = self._regardings(letter, standing)
        if row["_regardingobjectid_value"] not in right:
            found.object(
                "wrong regarding", letter, f"{row['_regardingobjectid_value']} is none of {sorted(map(str, right))}"
            )

    def _regardings(self, letter: Letter, standing: dict[str, Row]) -> set[str | None]:
        """What it may be about: its own first contact outside, else account, else lead; or what a mail above is, or one
        beside it that came before any above."""
        named = [self._outside(letter, but=mask) for mask in ((0, 4) if len(letter.lies_in) > 1 else (0,))]
        own = {self._first_record(some) for some in named}
        above = [
            standing[one.subject]["_regardingobjectid_value"]
            for one in (*letter.before, *self._beside(letter))
            if one.subject in standing and not self._outside(letter).isdisjoint(self._outside(one))
        ]
        if own == {None} and len(letter.before) == 1 and above:
            return set(above)
        return {*own, *above}

    def _beside(self, letter: Letter) -> list[Letter]:
        """The mails that answer one which this one answers as well."""
        answered = {one.subject for one in letter.before}
        return [
            one
            for one in self._letters
            if one.subject != letter.subject and not answered.isdisjoint(above.subject for above in one.before)
        ]

    def _first_record(self, addresses: Iterable[str]) -> str | None:
        known = [record for record in map(self._cast.records.get, addresses) if record]
        return next((row for table in ABOUT for its, row in known if its == table), None)

    def _outside(self, letter: Letter, *, but: int = 0) -> KeysView[str]:
        """The addresses outside, in their order; `but` leaves one role out."""
        people = (person.email or "" for mask, person in letter.people() if mask != but)
        return dict.fromkeys(address for address in people if not self._cast.is_ours(address)).keys()

    def _check_ids(self, found: Verdict, emails: dict[str, list[Row]]) -> None:
        """No two emails under one Message-ID, and none under one that nobody sent."""
        sent = {letter.mail.message_id for letter in self._letters}
        shown = Counter(row["messageid"] for rows in emails.values() for row in rows if row["messageid"] is not None)
        for message_id, number in shown.items():
            if message_id not in sent:
                found.object("unexpected", None, f"nobody sent {message_id}")
            if number > 1:
                found.object("doubled", None, f"{number} emails carry {message_id}")

    def _check_journal(
        self, found: Verdict, arrived: Iterable[Letter], journal: dict[tuple[str, str], Row], *, refused: bool
    ) -> None:
        for letter in arrived:
            for place, message in enumerate(letter.messages):
                row = journal.get(message, {})
                kind = row.get("kind", "never seen")
                if kind not in self._outcomes(letter, refused=refused):
                    told = f"copy {place + 1} is {kind} {row.get('reason', '')}"
                    found.object("pending" if kind in PENDING else "journal", letter, told)
                elif kind == "skipped" and row["reason"] != letter.skipped:
                    found.object("journal", letter, f"skipped for {row['reason']}, not {letter.skipped}")

    def _outcomes(self, letter: Letter, *, refused: bool) -> frozenset[str]:
        if letter.skipped is not None:
            return frozenset({"skipped"})
        if refused and letter.is_refused:
            return frozenset({"put_aside"})
        return frozenset({"adopted"}) if letter.kind == "tracked already" else DONE

    def _check_aside(self, found: Verdict, arrived: Iterable[Letter], rows: list[Row], *, refused: bool) -> None:
        wanted = {message for letter in arrived if refused and letter.is_refused for _, message in letter.messages}
        for row in rows:
            about = next((message for message in wanted if f'"{message}"' in row["envelope"]), None)
            if about is None:
                found.object("put aside", None, f"{row['RowKey']} for {row['reason']} {row['code']}: {row['envelope']}")
            elif row["code"] != PLUG_IN:
                found.object("put aside", None, f"{about} for {row['reason']} {row['code']}, not {PLUG_IN}")
            wanted.discard(about or "")
        for message in wanted:
            found.object("put aside", None, f"{message} is not in the table aside")
        found.counts["put aside"] = len(rows)


def leaks(cast: Cast, lines: Iterable[str]) -> Iterator[str]:
    """The lines of a log that hold what no log may: somebody's address."""
    addresses = [address for one in cast.everybody for address in (one.email, *one.aliases)]
    return (line for line in lines if "@" in line and any(address in line for address in addresses))
