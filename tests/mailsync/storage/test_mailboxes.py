"""The connected mailboxes: a lease lets one sweep at a time move a watermark, and only forwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mailsync.storage.account import StorageAccount
from mailsync.storage.mailboxes import Lease, Mailbox, Mailboxes, Progress
from mailsync.storage.tables import Table
from tests.mailsync.parts import NOW, in_threads, new_address, new_id

SECONDS = 420


@pytest.fixture
def mailbox(mailboxes: Mailboxes) -> Mailbox:
    """A mailbox that was just heard of."""
    one = Mailbox(grant=new_id(), email=new_address(), provider="google", status="valid", connected=NOW - 100)
    mailboxes.note_listed(one)
    return one


def lease(mailboxes: Mailboxes, mailbox: Mailbox, now: int = NOW) -> Lease:
    got = mailboxes.lease(mailbox.grant, now=now, seconds=SECONDS)
    assert got is not None
    return got


# who they are


def test_a_mailbox_reads_back_as_it_was_listed(mailboxes: Mailboxes, mailbox: Mailbox) -> None:
    assert mailboxes.get(mailbox.grant) == mailbox
    assert mailbox in mailboxes.all()


def test_one_never_heard_of(mailboxes: Mailboxes) -> None:
    assert mailboxes.get(new_id()) is None


def test_a_listing_changes_what_it_tells_and_nothing_else(mailboxes: Mailboxes, mailbox: Mailbox) -> None:
    mailboxes.note_aliases(mailbox.grant, ["b@contoso.example", "a@contoso.example"], NOW)
    mailboxes.advance(lease(mailboxes, mailbox), watermark=NOW, now=NOW)
    mailboxes.note_listed(Mailbox(grant=mailbox.grant, email=mailbox.email, provider="microsoft", status="invalid"))
    found = mailboxes.get(mailbox.grant)
    assert found == replace(
        mailbox,
        provider="microsoft",
        status="invalid",
        connected=None,
        aliases=("a@contoso.example", "b@contoso.example"),
        aliases_read=NOW,
        watermark=NOW,
        swept=NOW,
        lag=0,
    )


def test_an_expiry_is_recorded_and_taken_back(mailboxes: Mailboxes, mailbox: Mailbox) -> None:
    mailboxes.note_status(mailbox.grant, "invalid", expired=NOW)
    assert mailboxes.get(mailbox.grant) == replace(mailbox, status="invalid", expired=NOW)
    mailboxes.note_status(mailbox.grant, "valid", expired=None)
    assert mailboxes.get(mailbox.grant) == mailbox


def test_the_end_of_a_mailbox_nobody_heard_of_is_recorded_too(mailboxes: Mailboxes) -> None:
    grant = new_id()
    mailboxes.note_status(grant, "deleted", expired=None)
    assert mailboxes.get(grant) == Mailbox(grant=grant, status="deleted")


def test_that_messages_wait_for_a_grant_is_recorded_and_taken_back(mailboxes: Mailboxes, mailbox: Mailbox) -> None:
    mailboxes.note_waiting(mailbox.grant)
    waiting = mailboxes.get(mailbox.grant)
    assert waiting is not None
    assert waiting.waiting
    mailboxes.note_returned(waiting)
    assert mailboxes.get(mailbox.grant) == mailbox


# leases


def test_a_lease_keeps_every_other_sweep_out_until_it_runs_out(mailboxes: Mailboxes, mailbox: Mailbox) -> None:
    assert lease(mailboxes, mailbox).mailbox == mailbox
    assert mailboxes.lease(mailbox.grant, now=NOW + SECONDS - 1, seconds=SECONDS) is None
    assert mailboxes.lease(mailbox.grant, now=NOW + SECONDS, seconds=SECONDS) is not None


def test_one_of_many_gets_it(mailboxes: Mailboxes, mailbox: Mailbox) -> None:
    got = in_threads(6, lambda: mailboxes.lease(mailbox.grant, now=NOW, seconds=SECONDS))
    assert sum(isinstance(one, Lease) for one in got) == 1
    assert sum(one is None for one in got) == 5


def test_one_is_got_though_others_note_things_of_the_mailbox_at_the_same_moment(
    mailboxes: Mailboxes, mailbox: Mailbox
) -> None:
    """Else a sweep would be dropped just because its grant was renewed."""
    for _ in range(10):
        places = iter(range(4))

        def lease_or_note(places: Iterator[int] = places) -> Lease | None:
            if next(places) == 0:
                return mailboxes.lease(mailbox.grant, now=NOW, seconds=SECONDS)
            mailboxes.note_waiting(mailbox.grant)
            return None

        (got,) = (one for one in in_threads(4, lease_or_note) if one is not None)
        assert isinstance(got, Lease)
        mailboxes.release(got, unfinished=False)


@pytest.mark.parametrize("end", ["advance", "release"])
def test_a_lease_that_ended_is_free(mailboxes: Mailboxes, mailbox: Mailbox, end: str) -> None:
    held = lease(mailboxes, mailbox)
    done = (
        mailboxes.release(held, unfinished=False)
        if end == "release"
        else mailboxes.advance(held, watermark=NOW, now=NOW)
    )
    assert done
    assert mailboxes.lease(mailbox.grant, now=NOW, seconds=SECONDS) is not None


def test_a_mailbox_nobody_heard_of_cannot_be_leased(mailboxes: Mailboxes) -> None:
    assert mailboxes.lease(new_id(), now=NOW, seconds=SECONDS) is None


@pytest.mark.parametrize("end", ["advance", "release"])
def test_a_lost_lease_moves_nothing(mailboxes: Mailboxes, mailbox: Mailbox, end: str) -> None:
    lost = lease(mailboxes, mailbox)
    held = lease(mailboxes, mailbox, NOW + SECONDS)
    done = (
        mailboxes.release(lost, unfinished=False)
        if end == "release"
        else mailboxes.advance(lost, watermark=NOW + 9, now=NOW)
    )
    assert not done
    assert mailboxes.lease(mailbox.grant, now=NOW + SECONDS, seconds=SECONDS) is None
    assert mailboxes.advance(held, watermark=NOW + 5, now=NOW + SECONDS)
    assert mailboxes.get(mailbox.grant) == replace(mailbox, watermark=NOW + 5, swept=NOW + SECONDS, lag=0)


def test_a_lease_that_ran_out_and_that_nobody_took_is_still_good(mailboxes: Mailboxes, mailbox: Mailbox) -> None:
    held = lease(mailboxes, mailbox)
    assert mailboxes.advance(held, watermark=NOW, now=NOW + 10 * SECONDS)


def test_a_watermark_moves_only_forwards(mailboxes: Mailboxes, mailbox: Mailbox) -> None:
    for watermark, stands in ((NOW, NOW), (NOW - 50, NOW), (NOW + 50, NOW + 50)):
        assert mailboxes.advance(lease(mailboxes, mailbox), watermark=watermark, now=NOW)
        found = mailboxes.get(mailbox.grant)
        assert found is not None
        assert found.watermark == stands


def test_a_wide_sweep_is_noted_as_one(mailboxes: Mailboxes, mailbox: Mailbox) -> None:
    mailboxes.advance(lease(mailboxes, mailbox), watermark=NOW, now=NOW, wide=True)
    mailboxes.advance(lease(mailboxes, mailbox), watermark=NOW + 5, now=NOW + 5)
    found = mailboxes.get(mailbox.grant)
    assert found is not None
    assert (found.swept, found.swept_wide) == (NOW + 5, NOW)


def test_a_lease_holds_though_others_note_things_of_the_mailbox(mailboxes: Mailboxes, mailbox: Mailbox) -> None:
    held = lease(mailboxes, mailbox)
    mailboxes.note_listed(replace(mailbox, provider="microsoft"))
    mailboxes.note_aliases(mailbox.grant, [], NOW)
    assert mailboxes.lease(mailbox.grant, now=NOW + 1, seconds=SECONDS) is None
    assert mailboxes.advance(held, watermark=NOW, now=NOW)


# how far they are


def advanced(
    mailboxes: Mailboxes, mailbox: Mailbox, progress: Progress, *, watermark: int = NOW, now: int = NOW
) -> Mailbox:
    assert mailboxes.advance(lease(mailboxes, mailbox), watermark=watermark, now=now, progress=progress)
    found = mailboxes.get(mailbox.grant)
    assert found is not None
    return found


def test_what_a_sweep_learned_is_kept_and_the_newest_moves_only_forwards(
    mailboxes: Mailboxes, mailbox: Mailbox
) -> None:
    first = advanced(mailboxes, mailbox, Progress(newest_listed=NOW - 9, newest_done=NOW - 20, lag=11))
    assert (first.newest_listed, first.newest_done, first.lag) == (NOW - 9, NOW - 20, 11)
    quiet = advanced(mailboxes, mailbox, Progress())
    assert (quiet.newest_listed, quiet.newest_done, quiet.lag) == (NOW - 9, NOW - 20, 0)
    older = advanced(mailboxes, mailbox, Progress(newest_listed=NOW - 500, newest_done=NOW - 10))
    assert (older.newest_listed, older.newest_done) == (NOW - 9, NOW - 10)


def test_mail_is_accounted_for_up_to_what_waits_longest_and_never_beyond_the_watermark(
    mailboxes: Mailboxes, mailbox: Mailbox
) -> None:
    assert mailbox.settled_until is None
    assert advanced(mailboxes, mailbox, Progress(), now=NOW + 3).settled_until == NOW
    assert advanced(mailboxes, mailbox, Progress(lag=70), now=NOW + 3).settled_until == NOW - 67


def test_when_emails_were_last_written_is_noted_for_many_mailboxes_and_changes_nothing_else(
    mailboxes: Mailboxes, mailbox: Mailbox
) -> None:
    held = lease(mailboxes, mailbox)
    mailboxes.note_written({**{new_id(): NOW - 1 for _ in range(120)}, mailbox.grant: NOW})
    found = mailboxes.get(mailbox.grant)
    assert found == replace(mailbox, last_written=NOW)
    assert mailboxes.advance(held, watermark=NOW, now=NOW)
    mailboxes.note_written({})


# the first start


@pytest.fixture
def no_first_start(account: StorageAccount, mailboxes: Mailboxes) -> Iterator[None]:
    """An installation that never started."""
    table = Table(account, "mailboxes")
    before = mailboxes.first_start(NOW)
    table.delete("installation", "first_start")
    yield
    table.put({"PartitionKey": "installation", "RowKey": "first_start", "at": str(before)})


@pytest.mark.usefixtures("no_first_start")
def test_the_first_start_is_recorded_once(mailboxes: Mailboxes) -> None:
    assert [mailboxes.first_start(NOW + later) for later in (0, 100, -100)] == [NOW] * 3


@pytest.mark.usefixtures("no_first_start")
def test_whoever_asks_first_decides_for_all(mailboxes: Mailboxes) -> None:
    moments = list(range(NOW, NOW + 6))
    got = in_threads(6, lambda: mailboxes.first_start(moments.pop()))
    assert len(set(got)) == 1
    assert not any(one.grant == "first_start" for one in mailboxes.all())
