from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from mapping.attachments import Limits, Why
from mapping.direction import Copy
from mapping.email_activity import LONGEST_NYLAS_ID
from mapping.mapper import NO_SUBJECT
from mapping.message import Message
from mapping.notes import CUT, ENCRYPTED, SNIPPET, note
from mapping.owner import Owner
from mapping.records import Record
from mapping.regarding import Found, Parent, ParentParty
from tests.mapping.mail import (
    ALIAS,
    ANN,
    ANN_ID,
    BEN,
    BEN_ID,
    CARL,
    CARL_ID,
    DORA,
    DORA_ID,
    HELP,
    HELP_ID,
    INBOX,
    SENT,
    STRANGER,
    email,
    message,
    policy,
)

PARENT_ID = "0aa00000-0000-4000-8000-000000000001"
DEAL = Record("opportunity", "0bb00000-0000-4000-8000-000000000001")
PARENT = Parent(PARENT_ID, DEAL, (ParentParty(CARL, "contact", CARL_ID),))
ANSWERED = Found(parent=PARENT)


REPLY = message(
    id="n1",
    from_=("Carl", "Carl@Fabrikam.com"),
    to=[("Ann", ANN), ("Str Anger", STRANGER)],
    cc=[BEN],
    subject="Re: Quote",
    body="<p>Yes</p>",
    date=1_723_821_981,
    headers={"Message-ID": "<r1@fabrikam.com>", "In-Reply-To": "<q1@contoso.com>"},
)


def test_a_reply_from_a_known_contact_whole() -> None:
    assert email(REPLY, found=ANSWERED, nylas_id_column="new_nylasid").row() == {
        "activityid": "fcdb5af4-0a88-5633-ac29-140ef1a88335",
        "subject": "Re: Quote",
        "description": "<p>Yes</p>",
        "directioncode": False,
        "messageid": "<r1@fabrikam.com>",
        "sender": "Carl@Fabrikam.com",
        "torecipients": f"{ANN};{STRANGER}",
        "actualend": "2024-08-16T15:26:21Z",
        "sortdate": "2024-08-16T15:26:21Z",
        "email_activity_parties": [
            {
                "participationtypemask": 1,
                "partyid_contact@odata.bind": f"/contacts({CARL_ID})",
                "addressused": "Carl@Fabrikam.com",
            },
            {
                "participationtypemask": 2,
                "partyid_systemuser@odata.bind": f"/systemusers({ANN_ID})",
                "addressused": ANN,
            },
            {"participationtypemask": 2, "addressused": STRANGER, "unresolvedpartyname": "Str Anger"},
            {
                "participationtypemask": 3,
                "partyid_systemuser@odata.bind": f"/systemusers({BEN_ID})",
                "addressused": BEN,
            },
        ],
        "parentactivityid@odata.bind": f"/emails({PARENT_ID})",
        "CorrelatedActivityId_Email@odata.bind": f"/emails({PARENT_ID})",
        "regardingobjectid_opportunity_email@odata.bind": f"/opportunities({DEAL.id})",
        "ownerid@odata.bind": f"/systemusers({ANN_ID})",
        "new_nylasid": "n1",
    }


def test_a_message_of_nothing_is_still_an_email() -> None:
    assert email(message(id="n2", date=None, headers=[])).row() == {
        "activityid": "aa393bf8-19e7-5a36-b977-c4e942dac808",
        "subject": "",
        "description": "",
        "directioncode": False,
        "email_activity_parties": [],
        "ownerid@odata.bind": f"/systemusers({ANN_ID})",
    }


@pytest.mark.parametrize(
    ("mail", "copy", "outgoing", "status"),
    [
        pytest.param(message(from_=CARL, to=[ANN]), INBOX, False, 4, id="incoming is Received"),
        pytest.param(message(from_=ANN, to=[CARL]), SENT, True, 3, id="outgoing is Sent"),
        pytest.param(message(from_="alias@agency.org", to=[CARL]), SENT, True, 3, id="under a foreign address too"),
    ],
)
def test_completion_follows_the_direction(mail: Message, copy: Copy, outgoing: bool, status: int) -> None:
    activity = email(mail, copy)
    assert activity.row()["directioncode"] is outgoing
    assert activity.completion() == {"statecode": 1, "statuscode": status}


def test_no_state_and_nothing_read_only_is_created() -> None:
    forbidden = {"statecode", "statuscode", "senton", "inreplyto", "conversationindex", "attachmentcount"}
    assert forbidden.isdisjoint(email(REPLY, found=ANSWERED).row())


def test_a_foreign_address_in_the_sent_folder_stays_beside_the_user() -> None:
    row = email(message(from_=("Ann", "alias@agency.org"), to=[CARL]), SENT).row()
    assert row["sender"] == "alias@agency.org"
    assert row["email_activity_parties"][0] == {  # type: ignore[index]
        "participationtypemask": 1,
        "partyid_systemuser@odata.bind": f"/systemusers({ANN_ID})",
        "addressused": "alias@agency.org",
    }


def test_a_contact_s_address_in_the_sent_folder_is_not_whom_the_mail_is_about() -> None:
    row = email(message(from_=CARL, to=[DORA]), SENT).row()
    assert row["regardingobjectid_contact_email@odata.bind"] == f"/contacts({DORA_ID})"


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param(None, "", id="null"),
        pytest.param("a\r\n b", "a b", id="folded"),
        pytest.param("x" * 799 + "😀", "x" * 799, id="cut at a whole character"),
        pytest.param("x" * 798 + "😀", "x" * 798 + "😀", id="800 units"),
    ],
)
def test_subject(subject: str | None, expected: str) -> None:
    assert email(message(subject=subject)).row()["subject"] == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("x" * 240 + "@y.org12.z", "x" * 240 + "@y.org12.z", id="250 units"),
        pytest.param("x" * 241 + "@y.org12.z", None, id="a longer address is left to the party, never cut"),
        pytest.param("Carl " * 60 + f"<{CARL}>", CARL, id="a longer text around an address is left off"),
        pytest.param(None, None, id="nobody"),
    ],
)
def test_sender(written: str | None, expected: str | None) -> None:
    assert email(message(from_=written)).row().get("sender") == expected


LONG = "x" * 240 + "@nowhere.z"


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        pytest.param([ANN, CARL], f"{ANN};{CARL}", id="semicolons between"),
        pytest.param([LONG, "y" + LONG[1:]], LONG, id="cut at an address"),
        pytest.param([LONG, "y" + LONG[1:], CARL], LONG, id="no smaller one is taken from behind the cut"),
        pytest.param([LONG, "y" + LONG[2:]], f"{LONG};y{LONG[2:]}", id="500 units"),
        pytest.param(['"a;b"@x.org', CARL], CARL, id="an address with a semicolon would be two"),
        pytest.param([], None, id="nobody"),
    ],
)
def test_torecipients(to: list[str], expected: str | None) -> None:
    assert email(message(to=to, cc=[DORA])).row().get("torecipients") == expected


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        pytest.param(1_700_000_000, "2023-11-14T22:13:20Z", id="ordinary"),
        pytest.param(1_700_000_000.9, "2023-11-14T22:13:20Z", id="with a fraction"),
        pytest.param(0, "1970-01-01T00:00:00Z", id="zero"),
        pytest.param(-1, "1969-12-31T23:59:59Z", id="negative"),
        pytest.param(-6_847_804_800, "1753-01-01T00:00:00Z", id="the earliest"),
        pytest.param(-6_847_804_801, None, id="before the earliest"),
        pytest.param(253_402_214_399, "9999-12-30T23:59:59Z", id="the latest"),
        pytest.param(253_402_214_400, None, id="after the latest"),
        pytest.param(10**30, None, id="absurd"),
        pytest.param(None, None, id="null"),
    ],
)
def test_time_of_sending(date: float | None, expected: str | None) -> None:
    row = email(message(date=date)).row()
    assert row.get("sortdate") == expected
    assert row.get("actualend") == expected


def test_the_time_is_utc() -> None:
    assert email(message(date=0)).sent == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "expected"),
    [pytest.param("Hello", None, id="whole"), pytest.param("x" * 1_000_001, 2, id="truncated")],
)
def test_a_truncated_body_is_noted(body: str, expected: int | None) -> None:
    assert email(message(body=body)).row().get("notifications") == expected


PDF = {"id": "f1", "filename": "offer.pdf", "content_type": "application/pdf", "size": 1_000}
LOGO = {"id": "f2", "filename": "logo.png", "content_type": "image/png", "size": 500, "content_id": "<logo@x>"}
WITH_FILES = message(from_=CARL, to=[ANN], body='<p>See</p><img src="cid:logo@x">', attachments=[PDF, LOGO])
NOT_THERE = "Files of this email that are not here: offer.pdf, 1 kB (no longer in the mailbox)."


def test_files_become_rows_of_their_own() -> None:
    mail = email(WITH_FILES)
    offer, logo = (mail.attachment(file) for file in mail.files.carried)
    assert offer == {
        "activitymimeattachmentid": str(mail.files.carried[0].id_in(mail.activityid)),
        "objectid_email@odata.bind": f"/emails({mail.activityid})",
        "objecttypecode": "email",
        "subject": "offer.pdf",
        "filename": "offer.pdf",
        "mimetype": "application/pdf",
    }
    assert logo["attachmentcontentid"] == "logo@x"
    assert mail.row()["description"] == '<p>See</p><img src="cid:logo@x">'
    assert "notifications" not in mail.row()


def test_a_file_that_can_not_be_had_is_named_in_the_body_and_in_notifications() -> None:
    mail = email(WITH_FILES)
    offer, logo = mail.files.carried
    without = mail.without({offer: Why.NOT_THERE})
    assert without.files.carried == (logo,)
    assert without.content() == {
        "description": f'<p>See</p><img src="cid:logo@x">{note(NOT_THERE)}',
        "notifications": 1,
    }
    assert without.row() == mail.row() | without.content()


def test_a_picture_that_can_not_be_had_leaves_a_note_in_its_place() -> None:
    mail = email(WITH_FILES)
    without = mail.without({mail.files.carried[1]: Why.UNREADABLE})
    assert str(without.row()["description"]).startswith("<p>See</p><span>[Picture that is not here: logo]</span><p>")


def test_that_the_text_was_cut_is_told_before_that_files_are_missing() -> None:
    mail = email(message(body="x" * 1_000_001, attachments=[PDF]), limits=Limits(largest=4))
    row = mail.row()
    assert row["notifications"] == 2
    assert note(CUT) + "<p>[Files of this email that are not here: offer.pdf" in str(row["description"])


def test_without_nothing_is_the_same() -> None:
    mail = email(WITH_FILES)
    assert mail.without({}) is mail


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        pytest.param(
            message(attachments=[{"id": "1", "content_type": "application/pkcs7-mime; name=smime.p7m"}]),
            note(ENCRYPTED),
            id="encrypted mail",
        ),
        pytest.param(
            message(snippet="Dear Ann, I"), f"<div>Dear Ann, I</div>{note(SNIPPET)}", id="a text that is lost"
        ),
    ],
)
def test_mail_whose_text_can_not_be_read_says_why(mail: Message, expected: str) -> None:
    assert email(mail).row()["description"] == expected


SECRET = message(
    from_=CARL,
    to=[ANN],
    subject="Salaries",
    body='<p>Ida earns 1</p><img src="cid:ida.png" alt="Ida">',
    snippet="Ida earns 1",
    attachments=[PDF, {"id": "f2", "filename": "ida.png"}, {"id": "f3", "content_type": "application/pkcs7-mime"}],
    headers={"Message-ID": "<s@x>"},
)


@pytest.mark.parametrize(
    ("level", "subject"),
    [pytest.param("subject", "Salaries", id="subject"), pytest.param("metadata", NO_SUBJECT, id="metadata")],
)
def test_no_more_is_kept_than_the_policy_allows(level: str, subject: str) -> None:
    kept = email(SECRET, policy=policy(f"content = '{level}'"))
    assert kept.row() == email(SECRET).row() | {"subject": subject, "description": ""}
    assert kept.files.carried == kept.files.withheld == ()


@pytest.mark.parametrize("place", ["from_", "to", "cc"])
def test_what_a_mailbox_does_not_want_kept_is_kept_of_no_copy(place: str) -> None:
    """Whichever mailbox brings it first, the row is the same."""
    ours = policy(f"[mailboxes.'{BEN}']\ncontent = 'metadata'")
    mail = message(**({"from_": CARL, "to": [ANN], "subject": "Salaries", "body": "Ida earns 1"} | {place: [BEN]}))
    for copy in (INBOX, SENT, Copy(BEN, frozenset())):
        row = email(mail, copy, policy=ours).row()
        assert (row["subject"], row["description"]) == (NO_SUBJECT, "")


@pytest.mark.parametrize(
    "written", [pytest.param(ALIAS, id="an alias"), pytest.param("ann+offers@contoso.com", id="an address with a tag")]
)
def test_a_mailbox_is_meant_by_every_address_it_has(written: str) -> None:
    ours = policy(f"[mailboxes.'{ANN}']\ncontent = 'metadata'")
    for mail in (message(from_=written, to=[CARL], subject="Salaries"), message(from_=CARL, to=[written, BEN])):
        assert email(mail, Copy(BEN, frozenset()), policy=ours).row()["subject"] == NO_SUBJECT


def test_where_files_are_not_tracked_they_are_named() -> None:
    mail = email(WITH_FILES, policy=policy("files.carry = false"))
    assert mail.files.carried == ()
    description = str(mail.row()["description"])
    assert "offer.pdf, 1 kB (files are not tracked); logo.png, 1 kB (files are not tracked)" in description


TO_HELP = message(from_=CARL, to=[HELP], headers={"Message-ID": "<q1@fabrikam.com>"})


def test_mail_to_a_queue_is_an_item_of_it_whichever_attempt_makes_it() -> None:
    mail = email(TO_HELP)
    item = mail.queue_item()
    assert item == {
        "queueitemid": "fd16e751-53df-54ee-bc83-3f1188869358",
        "queueid@odata.bind": f"/queues({HELP_ID})",
        "objectid_email@odata.bind": f"/emails({mail.activityid})",
    }
    assert email(TO_HELP, Copy(BEN, frozenset())).queue_item() == item


def test_the_owner_of_a_queue_is_bound_once_it_is_known() -> None:
    mail = email(TO_HELP)
    assert mail.owner == Owner(None, "queue", queue=Record("queue", HELP_ID))
    assert "ownerid@odata.bind" not in mail.row()
    team = replace(mail, owner=Owner(Record("team", "1"), "queue")).row()
    assert team["ownerid@odata.bind"] == "/teams(1)"


def test_other_mail_is_no_item_of_a_queue() -> None:
    assert email(REPLY).queue_item() is None


def test_a_mail_of_the_same_conversation_is_no_parent() -> None:
    """Two answers to a mail nobody ever brought: they are of one conversation, and neither answers the other."""
    row = email(REPLY, found=Found(sibling=PARENT)).row()
    assert row["CorrelatedActivityId_Email@odata.bind"] == f"/emails({PARENT_ID})"
    assert "parentactivityid@odata.bind" not in row


@pytest.mark.parametrize(
    ("record", "bind", "value"),
    [
        pytest.param(DEAL, "regardingobjectid_opportunity_email@odata.bind", f"/opportunities({DEAL.id})", id="usual"),
        pytest.param(
            Record("new_visit", "1", navigation="regardingobjectid_New_Visit_email"),
            "regardingobjectid_New_Visit_email@odata.bind",
            "/new_visits(1)",
            id="a table whose navigation property is named otherwise",
        ),
    ],
)
def test_the_parent_s_regarding_is_bound_whatever_its_table(record: Record, bind: str, value: str) -> None:
    parent = Parent(PARENT_ID, record, PARENT.parties)
    assert email(REPLY, found=Found(parent=parent)).row()[bind] == value


def test_the_nylas_id_replaces_no_column_of_the_email() -> None:
    assert email(REPLY, nylas_id_column="subject").row()["subject"] == "Re: Quote"


@pytest.mark.parametrize(("length", "goes"), [(LONGEST_NYLAS_ID, True), (LONGEST_NYLAS_ID + 1, False)])
def test_an_id_that_is_longer_than_its_column_is_left_out(length: int, goes: bool) -> None:
    """An id of an IMAP mailbox may be a whole Message-ID; a part of it would lead nowhere."""
    row = email(msgspec.structs.replace(REPLY, id="x" * length), nylas_id_column="new_nylasid").row()
    assert ("new_nylasid" in row) is goes


def test_a_long_message_id_stays_empty_and_still_tells_the_mail() -> None:
    mail = message(headers={"Message-ID": "<" + "x" * 1000 + "@example.com>"})
    row = email(mail).row()
    assert "messageid" not in row
    assert row["activityid"] == "45b5cef3-3749-5ce8-8012-8c45b8356ba2"


@pytest.mark.parametrize(
    "mail",
    [
        pytest.param(REPLY, id="received"),
        pytest.param(message(from_=ANN, to=[BEN, CARL], headers={"Message-ID": "<x@y>"}), id="sent"),
    ],
)
def test_every_copy_of_a_mail_is_the_same_row(mail: Message) -> None:
    copies = [INBOX, SENT if mail is not REPLY else INBOX, Copy(BEN, frozenset()), Copy(BEN, frozenset({"\\Archive"}))]
    rows = [email(mail, copy, found=ANSWERED) for copy in copies]
    assert all(row == rows[0] for row in rows)
