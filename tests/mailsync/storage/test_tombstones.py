"""What was erased is known to every process a minute later, at no storage call for each message; another key is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mailsync.errors import ConfigurationError
from mailsync.settings import StorageSettings
from mailsync.storage.account import StorageAccount
from mailsync.storage.journal import hash_of
from mailsync.storage.pseudonyms import Pseudonyms
from mailsync.storage.tables import Row
from mailsync.storage.tombstones import LIFE, OVERLAP, Tombstones, of_look
from sandbox.azurite import Azurite
from tests.mailsync.parts import NOW, PSEUDONYMS, Clock, Line, new_id

DAY = 86_400
OTHER = Pseudonyms(bytes(32))


@pytest.fixture
def other_account(azurite: Azurite) -> Iterator[StorageAccount]:
    """An account whose table of tombstones belongs to one test."""
    account = StorageAccount(StorageSettings(azurite.connection_strings[16]), None)
    yield account
    account.table("tombstones").delete_table()


@pytest.fixture
def watched(azurite: Azurite) -> Iterator[tuple[StorageAccount, Line]]:
    """An account over a line whose requests are seen."""
    string = azurite.connection_string
    port = int(string.partition("TableEndpoint=http://127.0.0.1:")[2].partition("/")[0])
    with Line(port) as line:
        over = string.replace(f"TableEndpoint=http://127.0.0.1:{port}", f"TableEndpoint=http://127.0.0.1:{line.port}")
        yield StorageAccount(StorageSettings(over), None), line


def made(account: StorageAccount, clock: Clock, pseudonyms: Pseudonyms | None = PSEUDONYMS) -> Tombstones:
    return Tombstones(account, pseudonyms, clock=clock)


def test_what_was_erased_is_known_to_whoever_asks_next(account: StorageAccount, clock: Clock) -> None:
    grant, mail = new_id(), new_id()
    assert made(account, clock).add([PSEUDONYMS.of_copy(grant, hash_of("m")), PSEUDONYMS.of_mail(mail)]) == 2
    later = made(account, clock)
    assert later.has_erased(mail)
    assert later.has_erased(mail.upper())
    assert later.has_erased_copy(grant, hash_of("m"))
    assert not later.has_erased_copy(grant, hash_of("n"))
    assert not later.has_erased(new_id())


def test_a_process_that_runs_already_knows_a_minute_later(account: StorageAccount, clock: Clock) -> None:
    mine, mail = made(account, clock), new_id()
    assert not mine.has_erased(mail)
    made(account, clock).add([PSEUDONYMS.of_mail(mail)])
    assert not mine.has_erased(mail)
    clock.now += LIFE
    assert mine.has_erased(mail)


def test_a_clock_that_is_behind_hides_nothing(account: StorageAccount, clock: Clock) -> None:
    """Whoever erases notes it no earlier than what is there."""
    mine, mail = made(account, clock), new_id()
    made(account, clock).add([PSEUDONYMS.of_mail(new_id())])
    assert not mine.has_erased(mail)
    made(account, Clock(NOW - 30 * DAY)).add([PSEUDONYMS.of_mail(mail)])
    clock.now += LIFE
    assert mine.has_erased(mail)


def test_the_same_is_noted_once(account: StorageAccount, clock: Clock) -> None:
    mark = PSEUDONYMS.of_mail(new_id())
    assert made(account, clock).add([mark, mark]) == 1
    assert made(account, clock).add([mark]) == 0


def test_of_a_mail_whose_look_is_known_that_look_alone_is_erased(account: StorageAccount, clock: Clock) -> None:
    mine, mail = made(account, clock), new_id()
    marks = [of_look(PSEUDONYMS.of_mail(mail), PSEUDONYMS.of_guard(mail, guard)) for guard in ("one", "two")]
    assert mine.add(marks) == 2
    assert mine.add([PSEUDONYMS.of_mail(mail)]) == 0, "nor is it noted whatever its look, once one is known"
    for tombstones in (mine, made(account, clock)):
        assert tombstones.has_erased(mail)
        assert tombstones.has_erased(mail, lambda: "two")
        assert not tombstones.has_erased(mail, lambda: "three")


def test_a_mail_whose_look_nobody_knew_is_erased_whatever_it_looks_like(account: StorageAccount, clock: Clock) -> None:
    tombstones, mail = made(account, clock), new_id()
    tombstones.add([PSEUDONYMS.of_mail(mail)])
    assert tombstones.has_erased(mail, lambda: "one")
    assert tombstones.add([of_look(PSEUDONYMS.of_mail(mail), PSEUDONYMS.of_guard(mail, "one"))]) == 0


def test_hundreds_are_noted_together(account: StorageAccount, clock: Clock) -> None:
    mails = [new_id() for _ in range(250)]
    assert made(account, clock).add(map(PSEUDONYMS.of_mail, mails)) == 250
    later = made(account, clock)
    assert all(map(later.has_erased, mails))


def test_a_thousand_messages_cost_one_storage_call_a_minute(watched: tuple[StorageAccount, Line], clock: Clock) -> None:
    account, line = watched
    tombstones = made(account, clock)
    for minute in (1, 2):
        for _ in range(1000):
            tombstones.has_erased(new_id())
            tombstones.may_hold(new_id(), hash_of("m"), NOW)
        assert len(line.requests) == minute
        clock.now += LIFE


def test_what_was_read_an_hour_ago_is_not_read_again(other_account: StorageAccount, clock: Clock) -> None:
    mine = made(other_account, clock)
    mails = [new_id() for _ in range(30)]
    mine.add(map(PSEUDONYMS.of_mail, mails))
    read: list[str] = []

    class Counting(Tombstones):
        def _learn(self, row: Row) -> None:
            read.append(row["RowKey"])
            super()._learn(row)

    running = Counting(other_account, PSEUDONYMS, clock=clock)
    assert running.has_erased(mails[0])
    assert len(read) == 30
    clock.now += OVERLAP + LIFE
    assert running.has_erased(mails[0])
    read.clear()
    clock.now += LIFE
    assert running.has_erased(mails[29])
    assert read == []


def test_one_whose_clock_is_late_is_heard_of_all_the_same(account: StorageAccount, clock: Clock) -> None:
    running, mail = made(account, clock), new_id()
    clock.now += OVERLAP + LIFE
    assert not running.has_erased(mail)
    made(account, late := Clock(clock.now - OVERLAP / 2)).add([PSEUDONYMS.of_mail(mail)])
    assert late.now < clock.now
    clock.now += LIFE
    assert running.has_erased(mail)


def test_without_a_key_nothing_is_known_and_nobody_asks(watched: tuple[StorageAccount, Line], clock: Clock) -> None:
    account, line = watched
    tombstones = made(account, clock, None)
    assert not tombstones.has_erased(new_id())
    assert not tombstones.may_hold(new_id(), hash_of("m"), None)
    assert line.requests == []
    with pytest.raises(ConfigurationError) as error:
        tombstones.claim()
    assert error.value.reason == "erasure_key"


def test_another_key_than_the_first_one_is_told_and_holds_no_mail_up(
    other_account: StorageAccount, clock: Clock
) -> None:
    first = made(other_account, clock)
    assert first.claim() is first.pseudonyms
    first.add([PSEUDONYMS.of_mail(mail := new_id())])
    changed = made(other_account, clock, OTHER)
    assert changed.pseudonyms is None
    assert not changed.has_erased(mail)
    with pytest.raises(ConfigurationError) as error:
        changed.claim()
    assert error.value.reason == "erasure_key"
    assert made(other_account, clock).claim() is PSEUDONYMS, "the first one still fits"


def test_two_who_begin_at_once_with_two_keys_do_not_both_begin(other_account: StorageAccount, clock: Clock) -> None:
    one, other = made(other_account, clock), made(other_account, clock, OTHER)
    assert one.pseudonyms is PSEUDONYMS
    assert other.pseudonyms is OTHER
    one.claim()
    with pytest.raises(ConfigurationError):
        other.claim()


@pytest.mark.parametrize(
    ("date", "looked_for"), [(NOW - DAY - 1, True), (NOW - DAY, False), (NOW, False), (None, True)], ids=str
)
def test_only_of_an_old_message_a_shortened_record_is_looked_for(
    other_account: StorageAccount, clock: Clock, date: int | None, looked_for: bool
) -> None:
    tombstones = made(other_account, clock)
    assert not tombstones.may_hold(new_id(), hash_of("m"), date)
    assert tombstones.bound is None
    tombstones.move_bound(NOW - DAY)
    assert tombstones.bound == (NOW - DAY, NOW)
    assert tombstones.may_hold(new_id(), hash_of("m"), date) is looked_for


def test_of_an_erased_message_its_tombstone_is_looked_for_whatever_its_date(
    account: StorageAccount, clock: Clock
) -> None:
    tombstones, grant = made(account, clock), new_id()
    tombstones.add([PSEUDONYMS.of_copy(grant, hash_of("m"))])
    assert tombstones.may_hold(grant, hash_of("m"), NOW)
