"""Which mailboxes are ours and what their folders are: asked seldom, and never of the wrong mailbox."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailsync.connected import (
    FOLDERS_LIFE,
    FOLDERS_PAUSE,
    REFUSED_LIFE,
    SNAPSHOT_LIFE,
    Connected,
)
from mailsync.errors import ConfigurationError, GrantError, MessageError, MessageGoneError, TransientError
from mailsync.storage.mailboxes import Mailbox, Mailboxes
from sandbox.faults import Answer, Fault
from tests.mailsync.parts import NOW, Clock, NylasServed, in_threads, mail, new_address, new_id


def connected(
    nylas: NylasServed,
    mailboxes: Mailboxes,
    clock: Clock,
    *,
    own_domains: frozenset[str] | None = None,
    api_key: str | None = None,
) -> Connected:
    reader = nylas.reader(api_key) if api_key else nylas.reader()
    return Connected(mailboxes=mailboxes, reader=reader, own_domains=own_domains, clock=clock)


@pytest.fixture
def ours(nylas: NylasServed, mailboxes: Mailboxes, clock: Clock) -> Connected:
    return connected(nylas, mailboxes, clock)


def asked(nylas: NylasServed) -> dict[str, int]:
    """The requests so far by kind; they are forgotten then."""
    told = dict(nylas.stand_in.calls)
    nylas.stand_in.calls.clear()
    return told


# the mailbox


def test_a_mailbox_not_heard_of_is_asked_for_once_and_kept(
    nylas: NylasServed, ours: Connected, mailboxes: Mailboxes, clock: Clock
) -> None:
    address = new_address()
    grant = nylas.stand_in.connect(
        address, "google", aliases=["Info@Contoso.example", "info@contoso.example"], created_at=NOW
    )
    mailbox = ours.mailbox(grant)
    assert mailbox == Mailbox(
        grant=grant,
        email=address,
        provider="google",
        status="valid",
        connected=NOW,
        aliases=("info@contoso.example",),
        aliases_read=NOW,
        since=NOW,
    )
    assert ours.mailbox(grant) == mailbox
    assert connected(nylas, mailboxes, clock).mailbox(grant) == mailbox
    assert asked(nylas) == {"GET grants/id": 1}


def test_one_that_a_listing_named_is_asked_for_its_aliases(
    nylas: NylasServed, ours: Connected, mailboxes: Mailboxes
) -> None:
    grant = nylas.stand_in.connect(new_address(), "google", aliases=["a@contoso.example"])
    mailboxes.note_listed(Mailbox(grant=grant, email="x@contoso.example", status="valid"))
    assert ours.mailbox(grant).aliases == ("a@contoso.example",)


def test_the_list_of_mailboxes_is_remembered_for_a_minute(
    nylas: NylasServed, ours: Connected, mailboxes: Mailboxes, clock: Clock
) -> None:
    domain = f"{new_id()}.example"
    ours.organisation()
    mailboxes.note_listed(Mailbox(grant=new_id(), email=f"new@{domain}", status="valid"))
    assert f"new@{domain}" not in ours.organisation().mailboxes
    clock.now += SNAPSHOT_LIFE
    assert f"new@{domain}" in ours.organisation().mailboxes


def test_many_threads_share_one_list(ours: Connected) -> None:
    assert len({id(one) for one in in_threads(8, ours.organisation)}) == 1


# the organisation


def test_mailboxes_and_aliases_are_ours_and_so_are_their_domains_but_free_mail(
    nylas: NylasServed, ours: Connected
) -> None:
    domain, free = f"{new_id()}.example", new_address("somebody", "gmail.com")
    nylas.stand_in.connect(free, "google")
    for address in (f"Ann@{domain}", free):
        ours.mailbox(nylas.stand_in.connect(address, "microsoft", aliases=[f"alias@other-{domain}"]))
    organisation = ours.organisation()
    assert {f"ann@{domain}", f"alias@other-{domain}", free} <= organisation.mailboxes
    assert {domain, f"other-{domain}"} <= organisation.domains
    assert "gmail.com" not in organisation.domains


def test_what_was_disconnected_is_ours_no_more(
    nylas: NylasServed, ours: Connected, mailboxes: Mailboxes, clock: Clock
) -> None:
    """A partner's mailbox that somebody tried would make all mail with the partner internal."""
    domain = f"{new_id()}.example"
    grant = nylas.stand_in.connect(f"somebody@{domain}", "google", aliases=[f"alias@other-{domain}"])
    ours.mailbox(grant)
    assert domain in ours.organisation().domains
    mailboxes.note_status(grant, "deleted", expired=None, at=NOW)
    clock.now += SNAPSHOT_LIFE
    organisation = ours.organisation()
    assert not {domain, f"other-{domain}"} & organisation.domains
    assert not {f"somebody@{domain}", f"alias@other-{domain}"} & organisation.mailboxes


def test_a_policy_says_which_domains_are_own(nylas: NylasServed, mailboxes: Mailboxes, clock: Clock) -> None:
    ours = connected(nylas, mailboxes, clock, own_domains=frozenset({"contoso.example"}))
    ours.mailbox(nylas.stand_in.connect(f"ann@{new_id()}.example", "google"))
    assert ours.organisation().domains == {"contoso.example"}


def test_whether_an_address_is_another_mailboxes(nylas: NylasServed, ours: Connected, clock: Clock) -> None:
    (ann, ben, eve) = (new_address(name) for name in ("ann", "ben", "eve"))
    anns, bens, eves = (nylas.stand_in.connect(one, "google", aliases=[f"also-{one}"]) for one in (ann, ben, eve))
    nylas.stand_in.expire(eves)
    for grant in (anns, bens, eves):
        ours.mailbox(grant)
    assert ours.is_anothers_mailbox(ben, anns)
    assert ours.is_anothers_mailbox(f"also-{ben}", anns)
    assert not ours.is_anothers_mailbox(ann, anns)
    assert not ours.is_anothers_mailbox(f"also-{ann}", anns)
    assert not ours.is_anothers_mailbox(eve, anns)
    assert not ours.is_anothers_mailbox("stranger@nowhere.example", anns)


def test_a_mailbox_is_swept_from_where_it_was_swept_farthest_under_an_earlier_grant(
    ours: Connected, mailboxes: Mailboxes
) -> None:
    address, now = new_address(), Mailbox(grant=new_id(), connected=NOW)
    for written, watermark in ((address, NOW - 50), (address.upper(), NOW - 20), (new_address(), NOW), (address, None)):
        one = Mailbox(grant=new_id(), email=written)
        mailboxes.note_listed(one)
        lease = mailboxes.lease(one.grant, now=NOW, seconds=9)
        if lease is not None and watermark is not None:
            mailboxes.advance(lease, watermark=watermark, now=NOW)

    def begin(address: str, **more: int) -> int:
        return ours.swept_from(replace(now, email=address), **{"since": NOW - 100, "overlap": 9, **more})

    assert begin(address) == NOW - 29
    assert begin(address, since=NOW - 5) == NOW - 5
    assert begin(new_address()) == NOW


# folders


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        pytest.param(404, TransientError, "folders_not_found", id="not there, or not yet"),
        pytest.param(401, TransientError, "grant_refused_once", id="refused for a moment"),
    ],
)
def test_folders_that_can_not_be_had_are_no_fault_of_the_message(
    nylas: NylasServed, ours: Connected, answer: int, error: type[Exception], reason: str
) -> None:
    """Eight times 404 for the message itself would mean that it is gone."""
    grant = nylas.stand_in.connect(new_address(), "imap")
    nylas.faults.add(Fault(Answer(answer, {}, b'{"error":{"type":"x","message":"y"}}'), path="/folders"))
    with pytest.raises(error) as told:
        ours.copy(grant, "ann@contoso.example", ["INBOX"])
    assert told.value.reason == reason  # type: ignore[attr-defined]


def test_folders_are_asked_for_once_an_hour(nylas: NylasServed, ours: Connected, clock: Clock) -> None:
    grant = nylas.stand_in.connect(new_address(), "microsoft")
    sent, inbox = (nylas.stand_in.folder_id(grant, role) for role in ("sent", "inbox"))
    assert ours.copy(grant, "", [sent]).attributes == {"\\sent"}
    assert ours.copy(grant, "", [sent, inbox]).attributes == {"\\sent", "\\inbox"}
    assert ours.copy(grant, "", []).attributes == frozenset()
    assert asked(nylas) == {"GET folders": 1}
    clock.now += FOLDERS_LIFE
    ours.copy(grant, "", [inbox])
    assert asked(nylas) == {"GET folders": 1}


def test_a_folder_nobody_knows_is_asked_for_but_not_without_end(
    nylas: NylasServed, ours: Connected, clock: Clock
) -> None:
    grant = nylas.stand_in.connect(new_address(), "microsoft")
    for _ in range(5):
        assert ours.copy(grant, "", ["no such folder"]).attributes == frozenset()
    assert asked(nylas) == {"GET folders": 1}


def test_a_folder_made_just_now_is_waited_for(nylas: NylasServed, ours: Connected, clock: Clock) -> None:
    """It may be the one by which a person keeps mail out."""
    grant = nylas.stand_in.connect(new_address(), "microsoft")
    ours.copy(grant, "", [])
    made = nylas.stand_in.make_folder(grant, "No-CRM", ("\\Junk",))
    with pytest.raises(TransientError) as error:
        ours.copy(grant, "", [made])
    assert (error.value.reason, error.value.retry_after) == ("folder_unknown", FOLDERS_PAUSE)
    clock.now += FOLDERS_PAUSE
    copy = ours.copy(grant, "", [made])
    assert (copy.attributes, copy.names) == ({"\\junk"}, {"no-crm"})
    assert asked(nylas) == {"GET folders": 2}


def test_each_mailbox_has_its_own_folders(nylas: NylasServed, ours: Connected) -> None:
    grants = [nylas.stand_in.connect(new_address(), "microsoft") for _ in range(2)]
    first_sent = nylas.stand_in.folder_id(grants[0], "sent")
    assert ours.copy(grants[0], "", [first_sent]).attributes == {"\\sent"}
    assert ours.copy(grants[1], "", [first_sent]).attributes == frozenset()


def test_a_copy_lies_in_folders_by_name_too(nylas: NylasServed, ours: Connected) -> None:
    grant = nylas.stand_in.connect(new_address(), "google")
    label = nylas.stand_in.make_folder(grant, "No-CRM")
    copy = ours.copy(grant, "ann@contoso.example", [label, nylas.stand_in.folder_id(grant, "inbox")])
    assert (copy.mailbox, copy.names) == ("ann@contoso.example", {"no-crm", "inbox"})


# a message, and why there is none


def test_a_message_is_one_request(nylas: NylasServed, ours: Connected) -> None:
    grant = nylas.stand_in.connect(new_address(), "google")
    message = nylas.stand_in.deliver(grant, mail("dora@fabrikam.example"), notify=False)
    assert ours.message(grant, message).id == message
    assert asked(nylas) == {"GET messages/id": 1}


def test_an_expired_grant_is_noted_and_not_tried_again_for_a_minute(
    nylas: NylasServed, ours: Connected, mailboxes: Mailboxes, clock: Clock
) -> None:
    grant = nylas.stand_in.connect(new_address(), "google")
    message = nylas.stand_in.deliver(grant, mail("dora@fabrikam.example"), notify=False)
    nylas.stand_in.expire(grant)
    for _ in range(3):
        with pytest.raises(GrantError):
            ours.message(grant, message)
    assert asked(nylas) == {"GET messages/id": 1, "GET grants/id": 1}
    found = mailboxes.get(grant)
    assert found is not None
    assert (found.status, found.expired) == ("invalid", NOW)
    nylas.stand_in.reauthenticate(grant)
    clock.now += REFUSED_LIFE
    assert ours.message(grant, message).id == message


def test_a_grant_that_was_renewed_is_tried_at_once(nylas: NylasServed, ours: Connected) -> None:
    grant = nylas.stand_in.connect(new_address(), "google")
    message = nylas.stand_in.deliver(grant, mail("dora@fabrikam.example"), notify=False)
    nylas.stand_in.expire(grant)
    with pytest.raises(GrantError):
        ours.message(grant, message)
    nylas.stand_in.reauthenticate(grant)
    ours.refreshed(grant)
    assert ours.message(grant, message).id == message


def test_a_wrong_key_is_told_from_an_expired_grant(nylas: NylasServed, mailboxes: Mailboxes, clock: Clock) -> None:
    grant = nylas.stand_in.connect(new_address(), "google")
    with pytest.raises(ConfigurationError) as error:
        connected(nylas, mailboxes, clock, api_key="nyk_of_somebody_else").message(grant, "any")
    assert error.value.reason == "nylas_key"
    assert mailboxes.get(grant) is None


def test_a_wrong_key_is_not_the_fault_of_a_mailbox_nobody_heard_of(
    nylas: NylasServed, mailboxes: Mailboxes, clock: Clock
) -> None:
    grant = nylas.stand_in.connect(new_address(), "google")
    for ask in (Connected.mailbox, Connected.refreshed):
        with pytest.raises(ConfigurationError) as error:
            ask(connected(nylas, mailboxes, clock, api_key="nyk_of_somebody_else"), grant)
        assert error.value.reason == "nylas_key"


def test_a_mailbox_that_was_deleted_before_anybody_heard_of_it_is_disconnected(
    nylas: NylasServed, ours: Connected, mailboxes: Mailboxes
) -> None:
    grant = nylas.stand_in.connect(new_address(), "google")
    nylas.stand_in.disconnect(grant)
    with pytest.raises(MessageError) as error:
        ours.mailbox(grant)
    assert error.value.reason == "mailbox_disconnected"
    found = mailboxes.get(grant)
    assert found is not None
    assert found.status == "deleted"


def test_a_message_of_a_deleted_grant_is_put_aside(nylas: NylasServed, ours: Connected, mailboxes: Mailboxes) -> None:
    grant = nylas.stand_in.connect(new_address(), "google")
    nylas.stand_in.disconnect(grant)
    mailboxes.note_status(grant, "deleted", expired=None)
    with pytest.raises(MessageError) as error:
        ours.message(grant, "any")
    assert error.value.reason == "mailbox_disconnected"


def test_a_401_of_a_grant_that_is_no_more_is_a_deleted_one(
    nylas: NylasServed, ours: Connected, mailboxes: Mailboxes
) -> None:
    grant = nylas.stand_in.connect(new_address(), "google")
    nylas.stand_in.disconnect(grant)
    nylas.faults.add(Fault(Answer(401), path="/messages/"))
    with pytest.raises(MessageError):
        ours.message(grant, "any")
    found = mailboxes.get(grant)
    assert found is not None
    assert found.status == "deleted"


def test_a_404_of_a_grant_whose_end_nobody_told_is_the_mailboxes(
    nylas: NylasServed, ours: Connected, mailboxes: Mailboxes
) -> None:
    """Else its messages would count as deleted by their owner."""
    grant = nylas.stand_in.connect(new_address(), "google")
    ours.mailbox(grant)
    nylas.stand_in.disconnect(grant)
    with pytest.raises(MessageError) as error:
        ours.message(grant, "any")
    found = mailboxes.get(grant)
    assert found is not None
    assert (error.value.reason, found.status) == ("mailbox_disconnected", "deleted")


def test_a_grant_that_was_deleted_while_it_was_expired_is_disconnected_at_once(
    nylas: NylasServed, ours: Connected, mailboxes: Mailboxes
) -> None:
    """Though it was found expired just now and would not be tried again for a minute."""
    grant = nylas.stand_in.connect(new_address(), "google")
    nylas.stand_in.expire(grant)
    with pytest.raises(GrantError):
        ours.message(grant, "any")
    nylas.stand_in.disconnect(grant)
    mailboxes.note_status(grant, "deleted", expired=None)
    with pytest.raises(MessageError) as error:
        ours.message(grant, "any")
    assert error.value.reason == "mailbox_disconnected"


def test_a_message_that_is_not_there_is_not_the_mailboxes_fault(nylas: NylasServed, ours: Connected) -> None:
    grant = nylas.stand_in.connect(new_address(), "google")
    with pytest.raises(MessageGoneError):
        ours.message(grant, "any")


def test_a_401_for_a_grant_that_is_valid_passes(nylas: NylasServed, ours: Connected) -> None:
    grant = nylas.stand_in.connect(new_address(), "google")
    message = nylas.stand_in.deliver(grant, mail("dora@fabrikam.example"), notify=False)
    nylas.faults.add(Fault(Answer(401), path="/messages/", times=1))
    with pytest.raises(TransientError):
        ours.message(grant, message)
    assert ours.message(grant, message).id == message
