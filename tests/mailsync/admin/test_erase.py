"""`erase`: whatever the app holds about mails with a person goes, and nothing that the app does brings them back."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from azure.data.tables import TableServiceClient

from mailsync.erase import MOST_HITS
from mailsync.storage.envelope import MESSAGES, SWEEPS, MessageItem, encode
from mailsync.storage.tombstones import LIFE
from mailsync.wiring import Wiring
from sandbox.faults import Answer, Fault
from sandbox.mail import Mail, Person
from tests.mailsync.admin.desk import DAY, HOUR, Desk
from tests.mailsync.parts import ERASURE_KEY

DORA = "dora@fabrikam.example"
SAM = Person("Sam", "sam@nowhere.example")


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """A desk that may erase."""
    desk.settings["ERASURE_KEY"] = ERASURE_KEY
    return desk


def erase(desk: Desk, *words: str, address: str = DORA, exit_code: int = 0) -> dict[str, Any]:
    """Erase somebody, and let the app hear of it."""
    told = desk.told("erase", "--address", address, *words, "--yes", exit_code=exit_code)
    desk.clock.ahead += LIFE + 1
    return told


def stored(desk: Desk) -> dict[str, list[str]]:
    """All rows of all tables, as text."""
    found: dict[str, list[str]] = {}
    with TableServiceClient.from_connection_string(desk.settings["AzureWebJobsStorage"]) as service:
        for table in service.list_tables():
            with service.get_table_client(table.name) as client:
                found[table.name] = [json.dumps(dict(row)) for row in client.list_entities()]
    return found


def holding(desk: Desk, *words: str) -> list[tuple[str, str]]:
    """The rows that hold one of these words."""
    return [(table, row) for table, rows in stored(desk).items() for row in rows if any(word in row for word in words)]


def kinds(desk: Desk, grant: str) -> dict[str, int]:
    """What the journal says of a mailbox's messages, by kind."""
    counts: dict[str, int] = {}
    for entry in desk.app._journal.of_mailbox(grant):
        counts[entry.kind.value] = counts.get(entry.kind.value, 0) + 1
    return counts


# what goes


def test_what_is_left_of_a_persons_mail_are_tombstones_that_say_nothing(desk: Desk) -> None:
    grant = desk.connect()
    letter = desk.mail(grant)
    message = desk.arrive(grant, letter)
    other = desk.arrive(grant, desk.mail(grant, sender=SAM))
    (activityid,) = [str(row["activityid"]) for row in desk.emails() if row["subject"] == letter.subject]
    assert holding(desk, message)
    assert holding(desk, activityid)

    told = erase(desk)

    assert told["complete"]
    assert (told["records"], told["sightings"], told["tombstones"]) == (1, 1, 2)
    assert told["dataverse"]["emails"] == [activityid]
    assert holding(desk, message, activityid) == []
    assert [table for table, _ in holding(desk, other)] == ["journal", "journal"]
    assert kinds(desk, grant) == {"erased": 1, "written": 1}
    assert desk.dataverse.email(activityid) is not None, "it is listed, for an administrator to decide"


def test_no_report_and_no_row_names_the_person(desk: Desk, tmp_path: Path) -> None:
    grant = desk.connect()
    desk.arrive(grant)
    desk.arrive(grant, desk.mail(grant, sender=SAM))
    report = tmp_path / "report.json"
    told = erase(desk, "--report", str(report))
    assert json.loads(report.read_text(encoding="utf-8")) == told
    assert "dora" not in json.dumps(told)
    assert holding(desk, "dora", "fabrikam") == []


def test_their_emails_are_deleted_from_dataverse_where_that_is_asked(desk: Desk) -> None:
    grant = desk.connect()
    mine, other = desk.mail(grant), desk.mail(grant, sender=SAM)
    for letter in (mine, other):
        desk.arrive(grant, letter)
    theirs = desk.dataverse.add(  # another tracker's
        "email", subject="Tracked by hand", messageid="<by.hand@x>", statecode=1,
        email_activity_parties=[{"participationtypemask": 2, "addressused": DORA.upper()}],
    )  # fmt: skip
    told = erase(desk, "--dataverse", "delete")
    assert told["complete"]
    assert len(told["dataverse"]["deleted"]) == 2
    assert theirs in told["dataverse"]["deleted"]
    assert [row["subject"] for row in desk.emails()] == [other.subject]
    assert erase(desk, "--dataverse", "delete")["tombstones"] == 0, "done again it finds nothing"


@pytest.mark.parametrize("how", ["sender", "to", "cc", "bcc"])
def test_a_person_is_found_in_whatever_part_they_took(desk: Desk, how: str) -> None:
    grant = desk.connect()
    ann, dora = Person(None, desk.address(grant)), Person("Dora", DORA)
    given: dict[str, Any] = {"sender": dora, "to": (ann,)} if how == "sender" else {"sender": ann, "to": (SAM,)}
    if how != "sender":
        given[how] = (*given.get(how, ()), dora)
    desk.arrive(grant, desk.mail(grant, **given), folder="inbox" if how == "sender" else "sent")
    assert len(erase(desk, "--dataverse", "delete")["dataverse"]["deleted"]) == 1


def test_an_email_that_does_not_name_them_is_found_by_the_copy_that_does(desk: Desk) -> None:
    """The copy that was written tells less than another mailbox's, as one without the Bcc does."""
    grant, other = desk.connect("ann"), desk.connect("bob")
    letter = desk.mail(grant, sender=SAM, to=(Person(None, desk.address(other)),))
    desk.arrive(other, letter)
    desk.arrive(grant, replace(letter, cc=(Person(None, DORA),)))
    kept = desk.arrive(other, desk.mail(other, sender=SAM))
    (activityid,) = [str(row["activityid"]) for row in desk.emails() if row["subject"] == letter.subject]
    assert erase(desk)["dataverse"]["emails"] == [activityid]
    assert erase(desk, "--dataverse", "delete")["complete"]
    assert holding(desk, kept)


@pytest.mark.parametrize("table", ["contact", "lead", "systemuser"])
def test_a_person_is_found_by_their_record_under_another_address_too(desk: Desk, table: str) -> None:
    columns = (
        {"fullname": "Dora", "internalemailaddress": DORA}
        if table == "systemuser"
        else {"lastname": "Dora", "emailaddress1": DORA, "emailaddress2": "dora@home.example"}
    )
    record = desk.dataverse.add(table, **columns)
    grant = desk.connect()
    sender = DORA if table == "systemuser" else "dora@home.example"
    desk.arrive(grant, desk.mail(grant, sender=Person(None, sender), to=(Person(None, desk.address(grant)), SAM)))
    told = erase(desk, "--dataverse", "delete")
    assert len(told["dataverse"]["deleted"]) == 1
    assert told["dataverse"]["records_of_the_person"] == [f"{table} {record}"]
    assert desk.dataverse.count(table, **{f"{table}id": record}) == 1, "their row in the CRM stays"


def test_others_who_write_from_a_companys_other_address_are_left_alone(desk: Desk) -> None:
    desk.dataverse.add("account", name="Fabrikam", emailaddress1=DORA, emailaddress2="bob@fabrikam.example")
    grant = desk.connect()
    desk.arrive(grant)
    desk.arrive(grant, desk.mail(grant, sender=Person(None, "bob@fabrikam.example")))
    told = erase(desk, "--dataverse", "delete")
    assert (len(told["dataverse"]["deleted"]), len(desk.emails())) == (1, 1)
    assert told["dataverse"]["records_of_the_person"] == []


def test_what_a_search_finds_beside_them_stays(desk: Desk) -> None:
    grant = desk.connect()
    desk.nylas.behaviour = replace(desk.nylas.behaviour, loose_search=True)
    alike = [desk.mail(grant, sender=Person(None, one)) for one in (f"pan{DORA}", f"{DORA}.invalid")]
    kept = [desk.arrive(grant, one) for one in alike]
    tagged = desk.arrive(grant, desk.mail(grant, sender=Person(None, f"<{DORA.upper()}>")))
    told = erase(desk, "--dataverse", "delete")
    assert (len(told["dataverse"]["deleted"]), told["mailboxes"][0]["mails"]) == (1, 1)
    assert (len(desk.emails()), kinds(desk, grant)) == (2, {"erased": 1, "written": 2})
    assert all(holding(desk, one) for one in kept)
    assert holding(desk, tagged) == []


def test_a_search_that_tells_no_more_is_told_of(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    grants = [desk.connect("ann", "microsoft"), desk.connect("bob", "google")]
    for grant in grants:
        for _ in range(3):
            desk.deliver(grant)
    monkeypatch.setitem(MOST_HITS, "microsoft", 3)
    told = erase(desk, exit_code=1)
    assert [one["grant"] for one in told["mailboxes"] if not one["looked_through"]] == grants[:1]
    assert [kinds(desk, grant) for grant in grants] == [{"erased": 3}] * 2
    monkeypatch.setitem(MOST_HITS, "microsoft", 4)
    assert erase(desk)["complete"]


@pytest.mark.parametrize("written", ["Dora@Fabrikam.Example", "dora+news@fabrikam.example"], ids=str)
def test_spelling_and_tags_make_no_difference(desk: Desk, written: str) -> None:
    grant = desk.connect()
    desk.arrive(grant, desk.mail(grant, sender=Person(None, written)))
    assert len(erase(desk, "--dataverse", "delete", address=" <DORA@fabrikam.example> ")["dataverse"]["deleted"]) == 1


@pytest.mark.parametrize("asked", ["dora@xn--bcher-kva.example", "dora@bücher.example"])
def test_an_international_domain_is_found_in_both_spellings(desk: Desk, asked: str) -> None:
    grant = desk.connect()
    for domain in ("bücher.example", "xn--bcher-kva.example"):
        desk.arrive(grant, desk.mail(grant, sender=Person(None, f"dora@{domain}")))
    told = erase(desk, "--dataverse", "delete", address=asked)
    assert (len(told["dataverse"]["deleted"]), kinds(desk, grant)) == (2, {"erased": 2})


def test_mail_that_never_reached_dataverse_is_found_in_the_mailboxes(desk: Desk) -> None:
    """Skipped, on its way, put aside, and of whatever age, the app having never heard of it."""
    grant = desk.connect()
    skipped = desk.arrive(grant, folder="junk")
    refused = desk.mail(grant)
    desk.refuse(refused)
    aside = desk.arrive(grant, refused)
    waiting = desk.deliver(grant)
    desk.notify(grant, waiting)
    never = desk.deliver(grant, desk.mail(grant, ago=900 * DAY))
    assert len(desk.told("aside", "list")["aside"]) == 1
    told = erase(desk)
    assert (told["records"], told["put_aside"], told["waiting"]) == (2, 1, 1)
    assert kinds(desk, grant) == {"erased": 4}
    assert holding(desk, skipped, aside, waiting, never) == []
    assert desk.told("aside", "list", "--replayed")["aside"] == []
    desk.work()
    assert desk.emails() == []
    assert kinds(desk, grant) == {"erased": 4}, "what lay on the queue ended when its turn came"
    assert holding(desk, waiting) == []


def test_what_waits_for_a_sign_in_or_a_later_try_goes_too(desk: Desk) -> None:
    grant = desk.connect()
    desk.faults["dataverse"].add(Fault(Answer(503), times=1))
    message = desk.deliver(grant)
    desk.notify(grant, message)
    for text in desk.take(MESSAGES):
        desk.app.handle_message(text.encode())
    assert kinds(desk, grant) == {"deferred": 1}
    assert erase(desk)["waiting"] == 1
    desk.work()
    assert (desk.emails(), kinds(desk, grant)) == ([], {"erased": 1})


def test_a_text_that_was_put_aside_and_names_the_person_goes(desk: Desk) -> None:
    desk.connect()
    desk.app.handle_message(f"a text about {DORA.upper()}".encode())
    desk.app.handle_message(b"a text about somebody else")
    assert erase(desk)["put_aside"] == 1
    assert len(stored(desk)["aside"]) == 1


def test_replies_that_wait_for_a_mail_go_with_whoever_is_erased(desk: Desk) -> None:
    grant = desk.connect()
    lost = "<never.came@mail.example>"
    reply = desk.arrive(grant, desk.mail(grant, in_reply_to=lost, references=lost))
    desk.arrive(grant, desk.mail(grant, sender=SAM, in_reply_to=lost, references=lost))
    assert len(stored(desk)["awaited"]) == 2
    assert erase(desk)["awaited"] == 1
    assert len(stored(desk)["awaited"]) == 1
    assert holding(desk, reply) == []


# what does not bring it back


@pytest.fixture
def erased(desk: Desk) -> tuple[Desk, str, Mail, str]:
    """A mail to two colleagues that landed from the first one's mailbox, and was erased and deleted since."""
    grant, other = desk.connect("ann"), desk.connect("bob")
    to = tuple(Person(None, desk.address(one)) for one in (grant, other))
    letter = desk.mail(grant, to=to)
    message = desk.arrive(grant, letter)
    assert len(erase(desk, "--dataverse", "delete")["dataverse"]["deleted"]) == 1
    return desk, grant, letter, message


def still_gone(desk: Desk, message: str) -> None:
    desk.work()
    assert desk.emails() == []
    assert holding(desk, message) == []


def test_an_update_of_the_message_does_not_bring_it_back(erased: tuple[Desk, str, Mail, str]) -> None:
    desk, grant, _, message = erased
    for kind in ("message.created", "message.updated", "message.deleted"):
        desk.notify(grant, message, kind)
    still_gone(desk, message)


def test_nor_does_a_colleagues_copy_that_comes_later(erased: tuple[Desk, str, Mail, str]) -> None:
    desk, _, letter, _ = erased
    other = next(box.grant for box in desk.app._mailboxes.all() if box.email.startswith("bob"))
    copy = desk.arrive(other, letter)
    still_gone(desk, copy)
    assert kinds(desk, other) == {"erased": 1}


def test_nor_does_a_sweep_over_its_time(erased: tuple[Desk, str, Mail, str]) -> None:
    desk, grant, _, message = erased
    desk.told("sweep", grant, "--since", "10h")
    for text in desk.take(SWEEPS):
        desk.app.handle_sweep(text.encode())
    assert desk.items() == []
    still_gone(desk, message)


def test_nor_does_a_backfill_over_its_time(erased: tuple[Desk, str, Mail, str]) -> None:
    desk, grant, _, message = erased
    backfill = desk.told("backfill", "--mailbox", grant, "--since", "10h")["id"]
    still_gone(desk, message)
    told = desk.told("backfill", "show", backfill)
    assert (told["state"], told["found"], told["known_before"]) == ("done", 1, 1)
    assert desk.told("backfill", "--mailbox", grant, "--since", "10h", "--dry-run")["known"] == {"erased": 1}


def test_nor_does_the_mailbox_under_a_new_grant_with_new_ids(erased: tuple[Desk, str, Mail, str]) -> None:
    desk, grant, letter, _ = erased
    address = desk.address(grant)
    desk.nylas.disconnect(grant)
    anew = desk.nylas.connect(address, "microsoft", created_at=desk.clock() - 20 * HOUR)
    copy = desk.deliver(anew, letter)
    desk.sweep()
    desk.told("backfill", "--mailbox", anew, "--since", "10h")
    still_gone(desk, copy)
    assert kinds(desk, anew) == {"erased": 1}


def test_nor_does_repair_nor_even_a_restored_environment(erased: tuple[Desk, str, Mail, str]) -> None:
    desk, grant, _, message = erased
    told = desk.told("verify", "--mailbox", grant, "--repair", "--recreate", "--yes")
    assert (told["total"]["removed"], told["total"]["reasons"]["removed"]) == (1, {"erased": 1})
    assert (told["repaired"], told.get("recreated", 0)) == (0, 0)
    still_gone(desk, message)


def test_nor_does_the_replay_of_an_item_that_was_kept(desk: Desk) -> None:
    """Its own row is gone with the rest; one that an operator had kept elsewhere ends at the tombstone."""
    grant = desk.connect()
    message = desk.arrive(grant)
    erase(desk, "--dataverse", "delete")
    for revived in (False, True):
        item = MessageItem(grant=grant, message=message, source="message.created", first_seen=1, revived=revived)
        desk.app.queues.send(item)
        desk.app.collect(encode(item).encode())
    still_gone(desk, message)
    assert stored(desk).get("aside", []) == []


def test_explain_says_that_it_was_erased_by_either_id(erased: tuple[Desk, str, Mail, str]) -> None:
    desk, grant, letter, message = erased
    told = desk.told("explain", grant, message)
    assert told["copies"][0]["outcome"] == "erased"
    assert "erased for good" in told["copies"][0]["next"]
    by_id = desk.told("explain", grant, str(letter.message_id), exit_code=1)
    assert "was erased" in by_id["unknown"]


def test_a_later_mail_of_that_person_is_judged_by_the_policy(erased: tuple[Desk, str, Mail, str]) -> None:
    desk, grant, _, _ = erased
    desk.arrive(grant)
    assert len(desk.emails()) == 1


def test_mail_that_comes_while_it_is_erased_is_found_the_second_time(desk: Desk) -> None:
    """A worker that has not heard of it yet brings a copy between the two looks."""
    grant, other = desk.connect("ann"), desk.connect("bob")
    letter = desk.mail(grant, to=tuple(Person(None, desk.address(one)) for one in (grant, other)))
    desk.arrive(grant, letter)
    eraser = desk.app.eraser
    found = eraser.find(DORA)
    eraser.erase(found, address=DORA, delete=True)
    desk.app._tombstones._erased.clear()  # as in a process that read them a moment before
    copy = desk.arrive(other, letter)
    assert len(desk.emails()) == 1
    told = erase(desk, "--dataverse", "delete")
    assert (told["complete"], desk.emails()) == (True, [])
    assert holding(desk, copy) == []


# a Message-ID that is used again and again


@pytest.fixture
def scanner(desk: Desk) -> tuple[Desk, dict[str, str], Callable[..., Mail]]:
    """Two colleagues with a scanner between them that sends each mail under one Message-ID."""
    grants = {name: desk.connect(name) for name in ("ann", "bob")}
    number = itertools.count(1)

    def scan(*to: str) -> Mail:
        people = [Person(None, desk.address(grants[one]) if one in grants else one) for one in to]
        said = f"Scan {next(number)}"
        return desk.mail(
            grants["ann"],
            sender=Person(None, "scan@printer.example"),
            to=tuple(people),
            subject=said,
            body=f"<p>{said}</p>",
            message_id="<scan@printer>",
        )

    return desk, grants, scan


def subjects(desk: Desk) -> list[str]:
    return sorted(str(row["subject"]) for row in desk.emails())


def test_a_scan_to_the_person_goes_and_the_others_stay(
    scanner: tuple[Desk, dict[str, str], Callable[..., Mail]],
) -> None:
    """The first one keeps the Message-ID; theirs, which came to two mailboxes, stands under another id."""
    desk, grants, scan = scanner
    first, theirs = scan("ann", "bob"), scan("ann", "bob", DORA)
    messages = {(name, one): desk.arrive(grants[name], one) for one in (first, theirs) for name in ("ann", "bob")}
    assert subjects(desk) == ["Scan 1", "Scan 2"]

    told = erase(desk, "--dataverse", "delete")
    assert (told["complete"], told["tombstones"], len(told["dataverse"]["deleted"])) == (True, 3, 1)
    assert [kinds(desk, grants[one]) for one in ("ann", "bob")] == [
        {"erased": 1, "written": 1},
        {"erased": 1, "already_there": 1},
    ]
    assert holding(desk, *(messages[one, theirs] for one in ("ann", "bob"))) == []
    assert holding(desk, messages["ann", first])
    carol = desk.connect("carol")
    for scan_again in (first, theirs, scan("ann", desk.address(carol))):
        desk.arrive(carol, scan_again)
    assert subjects(desk) == ["Scan 1", "Scan 3"]
    assert kinds(desk, carol) == {"already_there": 1, "erased": 1, "written": 1}
    assert erase(desk)["tombstones"] == 1, "done again it finds the copy that came since"
    assert kinds(desk, grants["ann"]) == {"erased": 1, "written": 1}


def test_nor_do_the_others_go_where_the_first_one_was_the_persons(
    scanner: tuple[Desk, dict[str, str], Callable[..., Mail]],
) -> None:
    desk, grants, scan = scanner
    theirs, second = scan("ann", DORA), scan("ann", "bob")
    for one in (theirs, second):
        desk.arrive(grants["ann"], one)
    told = erase(desk, "--dataverse", "delete")
    assert (told["complete"], told["tombstones"]) == (True, 2)
    desk.arrive(grants["bob"], second)
    desk.arrive(grants["bob"], theirs)
    desk.arrive(grants["bob"], third := scan("bob"))
    desk.arrive(grants["ann"], third)
    assert subjects(desk) == ["Scan 2", "Scan 3"]
    assert kinds(desk, grants["bob"]) == {"already_there": 1, "erased": 1, "written": 1}
    assert erase(desk)["tombstones"] == 1, "bob's copy, which came since"


def test_where_the_first_one_was_erased_the_persons_next_is_erased_by_its_own_look(
    scanner: tuple[Desk, dict[str, str], Callable[..., Mail]],
) -> None:
    desk, grants, scan = scanner
    desk.arrive(grants["ann"], scan("ann", DORA))
    erase(desk, "--dataverse", "delete")
    desk.deliver(grants["ann"], again := scan("ann", "bob", DORA))
    erase(desk, "--dataverse", "delete")
    desk.arrive(grants["bob"], again)
    assert (desk.emails(), kinds(desk, grants["bob"])) == ([], {"erased": 1})


@pytest.mark.parametrize("how", ["skipped", "never seen"])
def test_of_a_scan_that_was_not_written_the_look_tells_that_it_is_another(
    scanner: tuple[Desk, dict[str, str], Callable[..., Mail]], how: str
) -> None:
    desk, grants, scan = scanner
    first, theirs = scan("ann"), scan("ann", DORA)
    kept = desk.arrive(grants["ann"], first)
    if how == "skipped":
        gone = desk.arrive(grants["ann"], theirs, folder="junk")
    else:
        gone = desk.deliver(grants["ann"], theirs)
    assert erase(desk)["tombstones"] == 2
    assert holding(desk, kept)
    assert holding(desk, gone) == []
    desk.arrive(grants["bob"], first)
    desk.arrive(grants["bob"], theirs)
    assert kinds(desk, grants["bob"]) == {"already_there": 1, "erased": 1}


# the person's own mailbox


def test_a_person_whose_mailbox_is_connected_is_refused(desk: Desk) -> None:
    grant = desk.connect()
    error = erase(desk, address=desk.address(grant), exit_code=2)["error"]
    assert (error["reason"], grant in error["advice"]) == ("still_connected", True)


def test_of_a_mailbox_that_was_the_persons_nothing_tells_whose_it_was(desk: Desk) -> None:
    grant, other = desk.connect("ann"), desk.connect("bob")
    address = desk.address(grant)
    message = desk.arrive(grant)
    listed = desk.arrive(grant, desk.mail(grant, to=(Person(None, "everybody@contoso.example"),)))
    refused = desk.mail(grant)
    desk.refuse(refused)
    desk.arrive(grant, refused)
    desk.arrive(other, desk.mail(other))
    desk.nylas.disconnect(grant)
    desk.sweep()
    told = erase(desk, address=address)
    assert (told["own_mailboxes"], told["complete"]) == ([grant], True)
    assert holding(desk, address.partition("@")[0], message, listed) == []
    assert kinds(desk, grant) == {"erased": 2, "written": 1}, "what named everybody is known by its hash alone"
    assert kinds(desk, other) == {"written": 1}


def test_what_is_on_its_way_from_there_ends_at_its_tombstone(desk: Desk) -> None:
    grant = desk.connect()
    address = desk.address(grant)
    desk.faults["dataverse"].add(Fault(Answer(503), times=1))
    message = desk.deliver(grant)
    desk.notify(grant, message)
    (held,) = desk.take(MESSAGES)
    desk.app.handle_message(held.encode())
    desk.take(MESSAGES)
    desk.nylas.disconnect(grant)
    desk.sweep()
    assert kinds(desk, grant) == {"deferred": 1}
    assert erase(desk, address=address)["complete"]
    desk.app.handle_message(held.encode())
    desk.app.collect(held.encode())
    desk.work()
    assert holding(desk, message) == []
    assert kinds(desk, grant) == {"erased": 1}


def test_what_comes_to_rest_while_it_is_erased_is_found_the_second_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that has not heard of it yet puts the item of a disconnected mailbox aside between the two looks."""
    grant = desk.connect()
    address = desk.address(grant)
    message = desk.deliver(grant)
    desk.notify(grant, message)
    held = desk.take(MESSAGES)
    desk.nylas.disconnect(grant)
    desk.sweep()

    def settle(_wiring: Wiring) -> None:
        while held:
            desk.app.handle_message(held.pop().encode())
            assert holding(desk, message)

    monkeypatch.setattr("mailsync.admin.erase._settle", settle)
    desk.arrive(other := desk.connect("bob"), desk.mail(other, sender=Person(None, address)))
    told = erase(desk, address=address)
    assert (told["complete"], told["put_aside"], told["own_mailboxes"]) == (True, 1, [grant])
    assert holding(desk, message, address.partition("@")[0]) == []


# what can't be done


def test_without_the_key_nothing_is_looked_for(desk: Desk) -> None:
    desk.settings["ERASURE_KEY"] = ""
    error = erase(desk, exit_code=2)["error"]
    assert error["reason"] == "erasure_key"
    assert "64 hexadecimal digits" in error["advice"]


def test_with_another_key_than_before_nothing_is_erased_and_mail_flows(desk: Desk) -> None:
    grant = desk.connect()
    desk.arrive(grant)
    erase(desk)
    desk.settings["ERASURE_KEY"] = "ff" * 32
    error = erase(desk, exit_code=2)["error"]
    assert (error["reason"], "put that one back" in error["advice"]) == ("erasure_key", True)
    other = type(desk.app)(desk.settings)
    other.clock, other.hurry = desk.clock, desk.app.hurry
    desk.app = other
    desk.arrive(grant, desk.mail(grant, sender=SAM))
    assert len(desk.emails()) == 2


def test_a_mailbox_that_could_not_be_looked_through_is_named_and_the_rest_is_done(desk: Desk) -> None:
    grant, other = desk.connect("ann"), desk.connect("bob")
    desk.arrive(grant)
    desk.nylas.expire(other)
    told = erase(desk, exit_code=1)
    assert not told["complete"]
    unseen = [one["grant"] for one in told["mailboxes"] if not one["looked_through"]]
    assert unseen == [other]
    assert kinds(desk, grant) == {"erased": 1}
    desk.nylas.reauthenticate(other)
    assert erase(desk)["complete"]


def test_a_message_that_can_not_be_read_is_known_by_its_id_and_the_next_ones_are_looked_at(desk: Desk) -> None:
    grant = desk.connect()
    written = desk.arrive(grant)
    before = desk.deliver(grant, desk.mail(grant, ago=5 * HOUR))
    odd = [
        desk.deliver(grant, desk.mail(grant, ago=2 * HOUR), overrides=shown)
        for shown in ({"to": "a list, once"}, {"headers": None})
    ]
    desk.nylas._box(grant).messages[written].overrides = {"headers": None}
    told = erase(desk)
    assert (told["complete"], told["mailboxes"][0]["mails"]) == (True, 4)
    assert len(told["dataverse"]["emails"]) == 1
    assert kinds(desk, grant) == {"erased": 4}
    assert holding(desk, written, before, *odd) == []


def test_without_the_privilege_to_delete_it_says_so_and_what_the_app_held_is_gone(desk: Desk) -> None:
    grant = desk.connect()
    message = desk.arrive(grant)
    everything = desk.dataverse.used_privileges | {"prvReadActivity"}
    desk.dataverse.privileges = everything
    error = erase(desk, "--dataverse", "delete", exit_code=2)["error"]
    assert (error["reason"], "prvDeleteActivity" in error["advice"]) == ("delete_refused", True)
    assert holding(desk, message) == []
    desk.dataverse.privileges = {*everything, "prvDeleteActivity"}
    assert erase(desk, "--dataverse", "delete")["complete"]


def test_nothing_happens_without_a_yes(desk: Desk) -> None:
    grant = desk.connect()
    message = desk.arrive(grant)
    said = desk.run("erase", "--address", DORA, answer="n\n")
    assert said.exit_code == 1
    assert "1 mails, of which 1 stand in Dataverse" in said.stdout
    assert holding(desk, message)
    assert desk.run("erase", "--address", DORA, "--json").exit_code == 2
    said = desk.run("erase", "--address", DORA, answer="y\n")
    assert said.exit_code == 0
    assert "All that could be found is erased." in said.stdout
    assert holding(desk, message) == []


def test_what_is_no_address_is_refused(desk: Desk) -> None:
    assert erase(desk, address="dora", exit_code=2)["error"]["reason"] == "no_address"


def test_nobody_is_found_where_there_is_no_mail(desk: Desk) -> None:
    desk.connect()
    told = erase(desk, address="nobody@nowhere.example")
    assert (told["complete"], told["rounds"], told["tombstones"]) == (True, 1, 0)


def test_hundreds_of_mails_are_found_page_by_page(desk: Desk) -> None:
    grant = desk.connect()
    for number in range(130):
        desk.deliver(grant, desk.mail(grant, ago=DAY + number * HOUR))
    told = erase(desk)
    assert (told["tombstones"], told["mailboxes"][0]["mails"]) == (260, 130)
    assert kinds(desk, grant) == {"erased": 130}


@pytest.mark.parametrize("key", ["", "ff" * 32, "@Microsoft.KeyVault(SecretUri=https://v/secrets/erasure-key)"])
def test_that_what_was_erased_is_not_recognised_is_told_with_each_sweep(
    desk: Desk, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    def told() -> list[str]:
        """What is told of it by a process with the settings as they are, which its status page says as well."""
        caplog.clear()
        app = type(desk.app)(desk.settings)
        app.clock, app.hurry = desk.clock, desk.app.hurry
        app.sweep_missed()
        lines = [line for line in caplog.messages if "event=erased_not_recognised" in line]
        status = app.status.read()
        assert bool(lines) == any("key of what was erased" in task.title for task in status.verdict.tasks)
        return lines

    grant = desk.connect()
    desk.settings["ERASURE_KEY"] = key
    assert told() == [], "as long as nothing was erased there is nothing to recognise"
    desk.settings["ERASURE_KEY"] = ERASURE_KEY
    desk.arrive(grant)
    erase(desk)
    assert told() == []
    desk.settings["ERASURE_KEY"] = key
    (line,) = told()
    assert "reason=erasure_key" in line
