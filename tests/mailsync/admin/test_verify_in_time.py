"""`verify`: what is on its way, what is overdue, and what was gone before it was read."""

from __future__ import annotations

import pytest

from mailsync.outcome import Kind
from mailsync.storage.envelope import MessageItem
from mailsync.storage.journal import Entry
from mailsync.trouble import GONE_AFTER
from tests.mailsync.admin.desk import HOUR, MINUTE, Desk
from tests.mailsync.parts import new_id

MANY = 300


def queued(desk: Desk, grant: str) -> str:
    """A message whose webhook was lost and that a sweep enqueued; then it was lost from its queue too."""
    message = desk.deliver(grant, desk.mail(grant, ago=MINUTE))
    desk.sweep_without_writing()
    return message


def test_a_message_lost_from_its_queue_is_overdue_after_the_grace_and_repair_lands_it(desk: Desk) -> None:
    grant = desk.connect()
    lost = queued(desk, grant)
    assert desk.verified()["reasons"]["on_the_way"] == {"queued": 1}
    desk.clock.ahead = 16 * MINUTE
    assert desk.verified("--grace", "60")["reasons"]["on_the_way"] == {"queued": 1}

    told = desk.told("verify", "--repair", exit_code=1)
    assert told["total"]["reasons"]["unexplained"] == {"overdue": 1}
    assert [one["message"] for one in told["mailboxes"][0]["named"]] == [lost]
    assert told["repaired"] == 1
    assert desk.verified()["reasons"]["on_the_way"] == {"queued": 1}
    desk.work()
    assert desk.verified()["written"] == 1
    assert [row["statecode"] for row in desk.emails()] == [1]


def test_repairing_twice_writes_one_email(desk: Desk) -> None:
    desk.deliver(desk.connect())
    desk.run("verify", "--repair")
    assert desk.told("verify", "--repair")["repaired"] == 0, "it is on its way"
    desk.clock.ahead = HOUR
    assert desk.told("verify", "--repair", exit_code=1)["repaired"] == 1
    assert desk.work() == 2
    assert len(desk.emails()) == 1


def test_mail_deleted_before_it_was_read_is_counted_as_gone(desk: Desk) -> None:
    """Whether Nylas told of its deletion, or no longer found it as often as we ask."""
    grant = desk.connect()
    told_of, not_found = queued(desk, grant), queued(desk, grant)
    for message in (told_of, not_found):
        desk.nylas.delete(grant, message, notify=False)
    desk.notify(grant, told_of, "message.deleted")
    last = MessageItem(grant=grant, message=not_found, source="sweep", first_seen=desk.clock.now, misses=GONE_AFTER - 1)
    desk.app.queues.send(last)
    desk.work()
    desk.clock.ahead = HOUR
    total = desk.verified()
    assert (total["seen"], total["gone"], sum(total["reasons"]["gone"].values())) == (2, 2, 2)


def test_mail_that_was_gone_and_is_listed_again_is_unexplained_and_repaired(desk: Desk) -> None:
    grant = desk.connect()
    message = queued(desk, grant)
    shown = desk.mail(grant, ago=MINUTE)
    desk.nylas.delete(grant, message, notify=False)
    desk.notify(grant, message, "message.deleted")
    desk.work()
    desk.deliver(grant, shown, message_id=message)
    assert desk.verified()["gone"] == 1, "a listing may lag behind"

    desk.clock.ahead = HOUR
    told = desk.told("verify", "--repair", exit_code=1)
    assert told["total"]["reasons"]["unexplained"] == {"gone_but_listed": 1}
    desk.work()
    assert desk.verified()["written"] == 1


def test_many_messages_cost_few_requests(desk: Desk) -> None:
    """Pages and lists, and no request for any one message."""
    grant = desk.connect()
    now, written = desk.clock.now, []
    for number in range(MANY):
        mail = desk.mail(grant, ago=HOUR + number)
        email = desk.dataverse.add("email", messageid=mail.message_id, directioncode=False, statecode=1)
        message = desk.deliver(grant, mail)
        written.append(
            Entry(
                grant=grant,
                message=message,
                kind=Kind.WRITTEN,
                noted=now,
                first_seen=now,
                date=now - HOUR - number,
                activityid=email,
            )
        )
    desk.app._journal.note_queued(written)
    desk.nylas.calls.clear()
    desk.dataverse.clear_log()

    total = desk.verified()

    assert (total["seen"], total["written"], total["doubled"]) == (MANY, MANY, [])
    assert sum(desk.nylas.calls.values()) <= MANY // 20
    assert len(desk.dataverse.log) <= MANY // 20


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--since", "1d", "--until", "2d"), "--since"),
        (("--since", "long ago"), "--since"),
        (("--until", "2026-13-01"), "--until"),
        (("--grace", "-1"), "--grace"),
        (("--grace", "soon"), "--grace"),
        (("--report", "no/such/folder/proof.json"), "--report"),
        (("--report", "."), "--report"),
        (("--recreate", "--json"), "--yes"),
        (("--everything",), "--everything"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else None,
)
def test_an_option_that_cannot_be_used_is_named_and_nothing_is_done(
    idle_desk: Desk, words: tuple[str, ...], complaint: str
) -> None:
    idle_desk.nylas.calls.clear()
    refused = idle_desk.run("verify", *words)
    assert refused.exit_code == 2
    assert complaint in refused.stderr
    assert not idle_desk.nylas.calls


def test_a_setting_that_is_missing_is_named(desk: Desk) -> None:
    del desk.settings["DATAVERSE_URL"]
    refused = desk.run("verify")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "DATAVERSE_URL" in refused.stderr
    assert "DATAVERSE_URL" in desk.told("verify", exit_code=2)["error"]["advice"]


def test_a_mailbox_nobody_knows_is_no_proof(idle_desk: Desk) -> None:
    assert idle_desk.told("verify", "--mailbox", new_id(), exit_code=2)["error"]["reason"] == "unknown_mailbox"


def test_nothing_is_listed_of_the_time_to_come(desk: Desk) -> None:
    """A slip in a year costs no request for each day until then."""
    desk.connect()
    desk.nylas.calls.clear()
    told = desk.told("verify", "--until", "9999-12-31")
    assert told["until"] <= told["made"]
    assert sum(desk.nylas.calls.values()) <= 3
