"""An attempt may end at any step, with what it asked for done or not: the next one ends with one whole email."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mailsync.dataverse.attachments import BLOCK
from mailsync.dataverse.creation import Put, Written
from mailsync.errors import FileMissingError, TransientError
from mapping.attachments import Limits, Why
from mapping.email_activity import EmailActivity
from mapping.owner import Owner
from mapping.records import Record
from sandbox.faults import Act, DropAfter, DropBefore, Fault
from tests.mailsync.dataverse.room import LARGEST, Mailbox, Room, activity, allow, attached, row, trips
from tests.mailsync.parts import DataverseServed

WIDE = Limits(largest=LARGEST)
BODIES = {"a.txt": b"a", "b.mp4": bytes(range(256)) * (BLOCK // 256) + b"the rest", "c.txt": b"c"}
STEPS = (
    "the email", "a file", "the beginning of an upload", "a block", "another block", "its end", "another file",
    "completion", "the queue's item",
)  # fmt: skip
"""The requests that write an email with these files into a queue."""
ACTS = pytest.mark.parametrize("act", [DropBefore(), DropAfter()], ids=["before it was done", "after it was done"])
AT = pytest.mark.parametrize("step", range(len(STEPS)), ids=STEPS)


@pytest.fixture
def wide(dataverse: DataverseServed) -> DataverseServed:
    allow(dataverse, maxuploadfilesize=LARGEST)
    return dataverse


def ended_by(attempt: Callable[[], object]) -> str | None:
    """The trouble in which an attempt ended, if it did."""
    try:
        attempt()
    except TransientError as error:
        return error.reason
    return None


class Letter:
    """An email with files that goes into a queue and is owned by a team, and the one way it must stand in the end."""

    def __init__(self, dataverse: DataverseServed, *, without: Why | None = None) -> None:
        self.dataverse, self.mailbox = dataverse, Mailbox()
        self.owner, self.queue = (Record(one, dataverse.stand_in.add(one)) for one in ("team", "queue"))
        files = [self.mailbox.file(name, body) for name, body in BODIES.items()]
        self.bodies = dict(BODIES)
        self.email: EmailActivity = activity(files=files, owner=Owner(self.owner, "queue"), queue=self.queue)
        self.whole = self.email
        if without is not None:
            self.mailbox.hold(files[0], FileMissingError(without))
            del self.bodies["a.txt"]
            self.whole = self.email.without({files[0]: without})

    def put(self, check_time: Callable[[], None] = lambda: None) -> Written:
        """One attempt, by a process of its own."""
        return Room(self.dataverse).put(self.email, content=self.mailbox, limits=WIDE, check_time=check_time)

    def resume(self) -> Written:
        return Room(self.dataverse).resume(self.email, content=self.mailbox, limits=WIDE)

    def dies(self, attempt: Callable[[], object]) -> bool:
        """Whether an attempt ended in trouble; there is none from then on."""
        reason = ended_by(attempt)
        self.dataverse.faults.clear()
        assert reason in {None, "dataverse_unreachable"}
        return reason is not None

    def dying_at(self, step: int, act: Act) -> None:
        """Lose the connection at a request, and once more when it is sent again."""
        self.dataverse.faults.add(Fault(act, skip=step, times=2))

    def stands_whole(self) -> None:
        stand_in = self.dataverse.stand_in
        assert stand_in.count("email") == 1
        stands = row(self.dataverse, self.email.activityid)
        assert (stands["statecode"], stands["statuscode"], stands["attachmentcount"]) == (1, 4, len(self.bodies))
        assert (stands["description"], stands["notifications"]) == (
            self.whole.description.html,
            1 if self.whole is not self.email else 0,
        )
        assert stands["_ownerid_value"] == self.owner.id
        assert attached(self.dataverse, self.email) == sorted(self.bodies.items())
        (item,) = stand_in.rows("queueitem")
        assert (item["_queueid_value"], item["statecode"]) == (self.queue.id, 0)


@pytest.fixture
def letter(wide: DataverseServed) -> Letter:
    return Letter(wide)


def test_the_steps_are_those_of_an_undisturbed_attempt(letter: Letter) -> None:
    assert trips(letter.dataverse, letter.put) == len(STEPS)
    letter.stands_whole()


@ACTS
@AT
def test_a_second_attempt_ends_what_a_first_one_began(letter: Letter, step: int, act: Act) -> None:
    letter.dying_at(step, act)
    assert letter.dies(letter.put)
    opened = step > 0 or isinstance(act, DropAfter)
    assert letter.put() == Written(Put.ALREADY_THERE if opened else Put.CREATED, str(letter.email.activityid))
    letter.stands_whole()


@ACTS
@AT
def test_or_goes_on_with_what_it_finds_open(letter: Letter, step: int, act: Act) -> None:
    letter.dying_at(step, act)
    assert letter.dies(letter.put)
    if letter.dataverse.stand_in.count("email", statecode=0):
        assert letter.resume().put is Put.ALREADY_THERE
    else:
        letter.put()
    letter.stands_whole()


@AT
def test_an_answer_that_was_lost_heals_within_the_attempt(letter: Letter, step: int) -> None:
    """What was done is asked for once more and refused: that is no refusal."""
    letter.dataverse.faults.add(Fault(DropAfter(), skip=step, times=1))
    assert not letter.dies(letter.put)
    letter.stands_whole()


@ACTS
@AT
def test_what_is_missing_for_good_is_told_whichever_attempt_finds_it(
    wide: DataverseServed, step: int, act: Act
) -> None:
    letter = Letter(wide, without=Why.NOT_THERE)
    letter.dying_at(step, act)
    letter.dies(letter.put)
    letter.put()
    letter.stands_whole()


@ACTS
@AT
def test_a_second_attempt_that_ends_early_too_leaves_it_to_the_third(letter: Letter, step: int, act: Act) -> None:
    """Ended at each of its own steps in turn, every attempt a process that remembers nothing."""
    letter.dying_at(step, act)
    assert letter.dies(letter.put)
    for later in range(20):
        letter.dying_at(later, act)
        if not letter.dies(letter.put):
            break
    else:
        pytest.fail("it never came to an end")
    letter.stands_whole()


def test_attempts_with_little_time_each_come_to_an_end(letter: Letter) -> None:
    """Each attempt leaves at least one file more there; one that was begun goes up to its end."""

    def until_looked_at(times: int) -> Callable[[], None]:
        left = iter(range(times))

        def check() -> None:
            if next(left, None) is None:
                raise TransientError("time is up", reason="out_of_time")

        return check

    ends = []
    while None not in ends and len(ends) < 10:
        ends.append(ended_by(lambda: letter.put(until_looked_at(2))))
    assert ends == ["out_of_time"] * 2 + [None]
    letter.stands_whole()


# together


@pytest.fixture
def together(dataverse: DataverseServed) -> Iterator[Letter]:
    """The same without the large file: it goes in one round trip."""
    letter = Letter(dataverse)
    del letter.bodies["b.mp4"]
    small = tuple(file for file in letter.email.files.carried if file.name != "b.mp4")
    letter.email = letter.whole = activity(files=small, owner=letter.email.owner, queue=letter.queue)
    yield letter
    letter.stands_whole()


@ACTS
def test_of_what_goes_together_nothing_or_all_is_there(together: Letter, act: Act) -> None:
    together.dying_at(0, act)
    assert together.dies(together.put)
    done = isinstance(act, DropAfter)
    assert together.dataverse.stand_in.count("email", statecode=1) == together.dataverse.stand_in.count("email") == done
    assert together.put().put is (Put.ALREADY_THERE if done else Put.CREATED)


def test_an_answer_lost_to_what_goes_together_heals_within_the_attempt(together: Letter) -> None:
    together.dataverse.faults.add(Fault(DropAfter(), times=1))
    assert together.put().put is Put.ALREADY_THERE


def test_a_file_that_was_there_before_is_not_fetched_again(letter: Letter) -> None:
    letter.dying_at(STEPS.index("another file"), DropBefore())
    assert letter.dies(letter.put)
    letter.mailbox.opened.clear()
    letter.resume()
    assert letter.mailbox.opened == ["c.txt"]
    letter.stands_whole()
