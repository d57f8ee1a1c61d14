from __future__ import annotations

from typing import Any

import pytest

from mapping.direction import Copy
from mapping.matches import Match, Organisation
from mapping.message import Header, Message
from mapping.tracking import (
    CHAIN,
    FOLDER_RULES,
    Case,
    Step,
    asks_headers,
    judge,
    judge_folder,
)
from tests.mapping.mail import (
    ALIAS,
    ANN,
    BEN,
    CARL,
    HELP,
    INBOX,
    MATCHES,
    ORGANISATION,
    SENT,
    STRANGER,
    message,
    policy,
)

FROM_CARL = message(from_=CARL, to=[ANN])
AMONG_US = message(from_=BEN, to=[ANN], cc=["eve@contoso.com"])
FROM_STRANGER = message(from_=STRANGER, to=[ANN])
REPLY = message(from_=CARL, to=[ANN], headers={"In-Reply-To": "<a@b>"})
CONTINUED = message(from_=CARL, to=[ANN], headers={"References": "<a@b>"})


def lying_in(*attributes: str, named: tuple[str, ...] = (), mailbox: str = ANN) -> Copy:
    return Copy(mailbox, frozenset(attributes), frozenset(named))


def header(**lines: str) -> tuple[Header, ...]:
    return tuple(Header(name.replace("_", "-"), value) for name, value in lines.items())


def rule(step: Step, mail: Message, text: str, copy: Copy = INBOX, **known: Any) -> str | None:
    """The rule that keeps a mail out, where one does."""
    skip = judge(step, Case(mail, copy, ORGANISATION, **known), policy(text))
    return skip.rule if skip else None


# by the copy

DENY_CARL = "deny.participants = ['CARL@fabrikam.com']"
DENY_FABRIKAM = "deny.participants = ['Fabrikam.com']"
DENY_FROM_CARL = "deny.senders = ['carl@fabrikam.com']"
ONLY_FIRST = "thread = 'first'"
ONLY_KNOWN = "track = 'known'"
ONLY_REPLIES = "track = 'replies'"
INTERNAL_TOO = "internal_only = 'track'"
ONLY_SALES = "folders.include = ['Sales', 'Support']"
NOT_NEWS = "folders.exclude = ['News']"
PRIVATELY = lying_in("\\Inbox", named=("no-crm",))
WANTED = lying_in("\\Inbox", named=("track",))


@pytest.mark.parametrize(
    ("mail", "copy", "text", "expected"),
    [
        pytest.param(FROM_CARL, INBOX, "", None, id="ordinary mail goes on"),
        pytest.param(FROM_CARL, lying_in("\\Drafts"), "", "draft", id="draft"),
        pytest.param(FROM_CARL, lying_in("\\DRAFT", "\\Inbox"), "", "draft", id="draft, as some servers write it"),
        pytest.param(FROM_CARL, lying_in("\\junk"), "", "junk", id="junk"),
        pytest.param(FROM_CARL, lying_in("\\Spam"), "", "junk", id="junk, as some servers write it"),
        pytest.param(FROM_CARL, lying_in("\\Trash"), "", "trash", id="trash"),
        pytest.param(FROM_CARL, lying_in("\\Sent", "\\Trash"), "", "trash", id="trash and elsewhere is trash"),
        pytest.param(FROM_CARL, lying_in("\\Archive", "\\Important"), "", None, id="other folders go on"),
        # deny
        pytest.param(FROM_CARL, INBOX, DENY_CARL, "deny_participant", id="denied address"),
        pytest.param(message(from_=ANN, bcc=[CARL]), SENT, DENY_CARL, "deny_participant", id="denied address in Bcc"),
        pytest.param(message(from_=ANN, cc=[CARL]), SENT, DENY_CARL, "deny_participant", id="denied address in Cc"),
        pytest.param(FROM_STRANGER, INBOX, DENY_CARL, None, id="another address"),
        pytest.param(FROM_CARL, INBOX, DENY_FABRIKAM, "deny_participant", id="denied domain"),
        pytest.param(message(from_="x@a.b.fabrikam.com"), INBOX, DENY_FABRIKAM, "deny_participant", id="a domain below"),
        pytest.param(message(from_="x@notfabrikam.com"), INBOX, DENY_FABRIKAM, None, id="a domain that ends alike"),
        pytest.param(FROM_CARL, INBOX, DENY_FROM_CARL, "deny_sender", id="denied sender"),
        pytest.param(message(from_=[STRANGER, CARL]), INBOX, DENY_FROM_CARL, "deny_sender", id="one of several From"),
        pytest.param(message(from_=ANN, to=[CARL]), SENT, DENY_FROM_CARL, None, id="denied as sender, not as recipient"),
        pytest.param(
            message(from_="No-Reply@shop.example"), INBOX, "deny.senders = ['no-reply@*']", "deny_sender", id="a pattern"
        ),
        pytest.param(FROM_CARL, lying_in("\\Trash"), DENY_CARL, "deny_participant", id="deny comes first"),
        pytest.param(FROM_CARL, INBOX, f"{DENY_CARL}\n{DENY_FROM_CARL}", "deny_sender", id="of both the sender's"),
        pytest.param(FROM_CARL, WANTED, DENY_CARL, "deny_participant", id="Track does not overrule deny"),
        # folders
        pytest.param(FROM_CARL, PRIVATELY, "", "no_crm", id="a person keeps it out"),
        pytest.param(FROM_CARL, lying_in(named=("no-crm", "track")), "", "no_crm", id="No-CRM before Track"),
        pytest.param(FROM_CARL, PRIVATELY, DENY_CARL, "deny_participant", id="deny before No-CRM"),
        pytest.param(FROM_CARL, lying_in("\\Trash", named=("no-crm",)), "", "trash", id="the trash before No-CRM"),
        pytest.param(FROM_CARL, PRIVATELY, "folders.no_crm = []", None, id="no such folder where none is named"),
        pytest.param(
            FROM_CARL, lying_in(named=("privat",)), "folders.no_crm = ['Privat']", "no_crm", id="a folder of their own"
        ),
        pytest.param(FROM_CARL, lying_in(named=("news",)), NOT_NEWS, "folder_excluded", id="an excluded folder"),
        pytest.param(
            FROM_CARL, lying_in(named=("inbox", "news")), NOT_NEWS, "folder_excluded", id="one of several labels"
        ),
        pytest.param(FROM_CARL, INBOX, NOT_NEWS, None, id="another folder"),
        pytest.param(FROM_CARL, lying_in(named=("news", "track")), NOT_NEWS, "folder_excluded", id="Track or not"),
        pytest.param(FROM_CARL, lying_in(named=("support",)), ONLY_SALES, None, id="an included folder"),
        pytest.param(FROM_CARL, lying_in(named=("inbox",)), ONLY_SALES, "folder_not_included", id="none of those named"),
        pytest.param(FROM_CARL, lying_in(), ONLY_SALES, "folder_not_included", id="no folder at all"),
        pytest.param(FROM_CARL, WANTED, ONLY_SALES, "folder_not_included", id="Track is no included folder"),
        # threads
        pytest.param(REPLY, INBOX, ONLY_FIRST, "thread_first", id="a reply, where only first mails count"),
        pytest.param(CONTINUED, INBOX, ONLY_FIRST, "thread_first", id="a continued talk, where only first mails count"),
        pytest.param(REPLY, WANTED, ONLY_FIRST, "thread_first", id="Track does not overrule that"),
        pytest.param(FROM_CARL, INBOX, ONLY_FIRST, None, id="a first mail"),
        pytest.param(REPLY, INBOX, "", None, id="a reply, by default"),
        # internal
        pytest.param(AMONG_US, INBOX, "", "internal_only", id="own addresses need no looking up"),
        pytest.param(AMONG_US, INBOX, INTERNAL_TOO, None, id="internal mail, where it is wanted"),
        pytest.param(AMONG_US, WANTED, "", None, id="internal mail that somebody wants"),
        pytest.param(
            message(from_=BEN, to=[ANN], headers={"In-Reply-To": "<a@b>"}),
            INBOX,
            "",
            "internal_only",
            id="each message for itself, whatever it answers",
        ),
        pytest.param(message(from_=ALIAS, to=["ann+x@contoso.net"]), INBOX, "", None, id="a tag of no mailbox"),
        pytest.param(message(from_=ALIAS, to=["ann.alias+x@contoso.net"]), INBOX, "", "internal_only", id="an alias"),
        pytest.param(message(from_=HELP, to=["q@partner.com"]), INBOX, "", None, id="who knows yet who q is"),
    ],
)  # fmt: skip
def test_judged_by_the_copy(mail: Message, copy: Copy, text: str, expected: str | None) -> None:
    assert rule(Step.COPY, mail, text, copy) == expected


@pytest.mark.parametrize(
    ("copy", "text", "expected"),
    [
        pytest.param(INBOX, "", None, id="an ordinary folder"),
        pytest.param(lying_in("\\Trash"), "", "trash", id="trash"),
        pytest.param(lying_in("\\Junk"), "", "junk", id="junk"),
        pytest.param(lying_in("\\Drafts"), "", "draft", id="drafts"),
        pytest.param(PRIVATELY, "", "no_crm", id="a person's No-CRM"),
        pytest.param(lying_in(named=("news",)), NOT_NEWS, "folder_excluded", id="an excluded folder"),
        pytest.param(INBOX, ONLY_SALES, "folder_not_included", id="no included folder"),
        pytest.param(INBOX, "deny.senders = ['*']", None, id="nothing that is not the folder's"),
        pytest.param(INBOX, "thread = 'first'\ntrack = 'replies'", None, id="nor the message's"),
        pytest.param(
            lying_in(mailbox=BEN), f"[mailboxes.'{BEN}']\nfolders.include = ['x']", "folder_not_included", id="a mailbox's own"
        ),
    ],
)  # fmt: skip
def test_a_folder_alone_can_keep_every_message_out(copy: Copy, text: str, expected: str | None) -> None:
    skip = judge_folder(copy, policy(text))
    assert (skip.rule if skip else None) == expected


# by the header

EVERYTHING = "\n".join(f"{key} = 'skip'" for key in ("bounces", "automatic", "bulk", "invites"))
NOTHING = "private = 'track'\nconfidential = 'track'\nreceipts = 'track'"
PRIVATE, PERSONAL = header(Sensitivity="Private"), header(sensitivity="personal")
CONFIDENTIAL = header(Sensitivity="Company-Confidential")
DSN = header(Content_Type="multipart/report; report-type=delivery-status; boundary=x")
READ = header(Content_Type="multipart/report; report-type=disposition-notification")
AWAY = header(Auto_Submitted="auto-replied")
NEWSLETTER = header(List_Unsubscribe="<https://x.example/u>")
INVITATION = header(Content_Class="urn:content-classes:calendarmessage")


@pytest.mark.parametrize(
    ("headers", "text", "expected"),
    [
        pytest.param((), "", None, id="an ordinary header"),
        pytest.param((), EVERYTHING, None, id="an ordinary header, where all is asked"),
        pytest.param(PRIVATE, "", "private", id="private"),
        pytest.param(PERSONAL, "", "private", id="personal is private"),
        pytest.param(PRIVATE, "private = 'track'", None, id="private, where it is wanted"),
        pytest.param(CONFIDENTIAL, "", "confidential", id="confidential"),
        pytest.param(CONFIDENTIAL, "confidential = 'track'", None, id="confidential, where it is wanted"),
        pytest.param(READ, "", "receipt", id="a read receipt"),
        pytest.param(READ, "receipts = 'track'", None, id="a read receipt, where it is wanted"),
        pytest.param(DSN, "", None, id="a bounce, by default"),
        pytest.param(DSN, EVERYTHING, "bounce", id="a bounce"),
        pytest.param(AWAY, "", None, id="an automatic answer, by default"),
        pytest.param(AWAY, EVERYTHING, "automatic", id="an automatic answer"),
        pytest.param(NEWSLETTER, "", None, id="a newsletter, by default"),
        pytest.param(NEWSLETTER, EVERYTHING, "bulk", id="a newsletter"),
        pytest.param(INVITATION, "", None, id="an invitation, by default"),
        pytest.param(INVITATION, EVERYTHING, "invite", id="an invitation"),
        pytest.param(PRIVATE + NEWSLETTER, EVERYTHING, "private", id="private comes first"),
        pytest.param(AWAY + NEWSLETTER, EVERYTHING, "automatic", id="an automatic answer before bulk"),
    ],
)
def test_judged_by_the_header(headers: tuple[Header, ...], text: str, expected: str | None) -> None:
    assert rule(Step.HEADERS, FROM_CARL, text, headers=headers) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "private", id="it may be marked private"),
        pytest.param("private = 'track'", "confidential", id="it may be marked confidential"),
        pytest.param(NOTHING, None, id="where neither matters it goes on"),
        pytest.param(
            f"{NOTHING}\n{EVERYTHING}", None, id="no bulk, automatic answer, bounce or invitation is guessed at"
        ),
    ],
)
def test_where_the_header_can_not_be_had_each_rule_says_what_that_means(text: str, expected: str | None) -> None:
    assert rule(Step.HEADERS, FROM_CARL, text, headers=None) == expected


WITHOUT_HEADERS = f"private = 'track'\nconfidential = 'track'\n{EVERYTHING}"


@pytest.mark.parametrize(
    ("content_type", "subject", "expected"),
    [
        pytest.param("message/disposition-notification", "Read: Offer", "receipt", id="a read receipt"),
        pytest.param("message/delivery-status", "Undeliverable: Offer", "bounce", id="a bounce"),
        pytest.param("message/delivery-status", "Delivered: Offer", "receipt", id="a delivery receipt"),
        pytest.param("text/calendar; method=REQUEST", "Lunch", "invite", id="an invitation"),
        pytest.param("text/calendar", "Lunch", None, id="a calendar file"),
        pytest.param("application/pdf", "Read: Offer", None, id="an ordinary file"),
    ],
)
def test_the_parts_of_a_mail_tell_too_without_any_header(content_type: str, subject: str, expected: str | None) -> None:
    mail = message(from_=CARL, to=[ANN], subject=subject, attachments=[{"id": "1", "content_type": content_type}])
    assert rule(Step.HEADERS, mail, WITHOUT_HEADERS, headers=None) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(NEWSLETTER, None, id="bulk that somebody wants"),
        pytest.param(PRIVATE, "private", id="private stays private"),
        pytest.param(CONFIDENTIAL, "confidential", id="confidential stays confidential"),
        pytest.param(READ, "receipt", id="a receipt stays one"),
        pytest.param(DSN, "bounce", id="a bounce stays one"),
        pytest.param(AWAY, "automatic", id="an automatic answer stays one"),
        pytest.param(INVITATION, "invite", id="an invitation stays one"),
    ],
)
def test_track_overrules_bulk_and_no_other_rule_about_the_header(
    headers: tuple[Header, ...], expected: str | None
) -> None:
    assert rule(Step.HEADERS, FROM_CARL, EVERYTHING, WANTED, headers=headers) == expected


# by the people

USER_ELSEWHERE = "ann@agency.org"
PEOPLE = MATCHES | {USER_ELSEWHERE: MATCHES[ANN]}


@pytest.mark.parametrize(
    ("mail", "copy", "text", "expected"),
    [
        pytest.param(FROM_CARL, INBOX, "", None, id="a contact"),
        pytest.param(FROM_STRANGER, INBOX, "", None, id="a stranger crosses the border too"),
        pytest.param(message(from_=USER_ELSEWHERE, to=[ANN]), INBOX, "", "internal_only", id="a user's other address"),
        pytest.param(message(from_=USER_ELSEWHERE, to=[ANN]), INBOX, INTERNAL_TOO, None, id="internal mail wanted"),
        pytest.param(message(from_=USER_ELSEWHERE, to=[ANN]), WANTED, "", None, id="internal mail somebody wants"),
        pytest.param(message(from_=BEN, to=[ANN], bcc=[CARL]), INBOX, "", None, id="one stranger in Bcc"),
        pytest.param(message(from_=BEN, to=["/O=X/CN=Y"]), INBOX, "", None, id="in doubt it crossed the border"),
        pytest.param(message(), INBOX, "", None, id="no participants are not internal"),
        pytest.param(message(to=[ANN]), INBOX, "", None, id="an unknown sender is not internal"),
        pytest.param(message(to=[BEN]), SENT, "", "internal_only", id="in Sent the sender is the mailbox"),
        pytest.param(message(from_=STRANGER, to=[BEN]), SENT, "", "internal_only", id="in Sent a stranger is one of us"),
        pytest.param(message(from_=STRANGER, to=[CARL]), SENT, "", None, id="in Sent, to a contact"),
        pytest.param(message(from_=BEN), INBOX, "", "internal_only", id="a note to nobody"),
        pytest.param(FROM_CARL, INBOX, ONLY_KNOWN, None, id="known: a contact"),
        pytest.param(message(from_="office@fabrikam.com"), INBOX, ONLY_KNOWN, None, id="known: an account"),
        pytest.param(message(from_="new@adatum.com"), INBOX, ONLY_KNOWN, None, id="known: a lead"),
        pytest.param(
            message(from_=STRANGER, to=[ANN], cc=[CARL]), INBOX, ONLY_KNOWN, None, id="known: a contact in Cc"
        ),
        pytest.param(FROM_STRANGER, INBOX, ONLY_KNOWN, "unknown_people", id="known: our own people do not count"),
        pytest.param(
            message(from_=CARL, to=[STRANGER]), SENT, ONLY_KNOWN, "unknown_people", id="known: nor we under a contact's address"
        ),
        pytest.param(FROM_STRANGER, WANTED, ONLY_KNOWN, None, id="known: unless somebody wants it"),
        pytest.param(message(), INBOX, ONLY_KNOWN, "unknown_people", id="known: nobody at all"),
        pytest.param(AMONG_US, INBOX, f"{ONLY_KNOWN}\n{INTERNAL_TOO}", None, id="known is about external mail"),
    ],
)  # fmt: skip
def test_judged_by_the_people(mail: Message, copy: Copy, text: str, expected: str | None) -> None:
    assert rule(Step.PEOPLE, mail, text, copy, matches=PEOPLE) == expected


@pytest.mark.parametrize(
    ("mail", "copy", "answers", "text", "expected"),
    [
        pytest.param(REPLY, INBOX, True, ONLY_REPLIES, None, id="an answer to a mail in Dataverse"),
        pytest.param(REPLY, INBOX, False, ONLY_REPLIES, "untracked_thread", id="an answer to any other"),
        pytest.param(FROM_CARL, INBOX, False, ONLY_REPLIES, "untracked_thread", id="a first mail"),
        pytest.param(FROM_CARL, WANTED, False, ONLY_REPLIES, "untracked_thread", id="though somebody wants it"),
        pytest.param(AMONG_US, INBOX, False, f"{ONLY_REPLIES}\n{INTERNAL_TOO}", None, id="it is about external mail"),
        pytest.param(FROM_CARL, INBOX, False, "", None, id="not by default"),
    ],
)
def test_only_replies_to_tracked_mail(
    mail: Message, copy: Copy, answers: bool, text: str, expected: str | None
) -> None:
    assert rule(Step.PEOPLE, mail, text, copy, matches=PEOPLE, answers_tracked=answers) == expected


# a mailbox's own rules

ANN_S = f"\n[mailboxes.'{ANN}']\n"


@pytest.mark.parametrize(
    ("step", "mail", "text", "known", "expected"),
    [
        pytest.param(Step.COPY, FROM_CARL, ANN_S + DENY_CARL, {}, "deny_participant", id="its own deny"),
        pytest.param(Step.COPY, FROM_CARL, DENY_CARL + ANN_S, {}, "deny_participant", id="everybody's deny"),
        pytest.param(Step.COPY, REPLY, ANN_S + ONLY_FIRST, {}, "thread_first", id="its own thread"),
        pytest.param(Step.COPY, FROM_CARL, ANN_S + ONLY_SALES, {}, "folder_not_included", id="its own folders"),
        pytest.param(
            Step.COPY, FROM_CARL, f"folders.include = ['inbox']{ANN_S}{ONLY_SALES}", {}, "folder_not_included",
            id="its folders as well as everybody's",
        ),
        pytest.param(Step.HEADERS, FROM_CARL, ANN_S + "bulk = 'skip'", {"headers": NEWSLETTER}, "bulk", id="its own bulk"),
        pytest.param(Step.HEADERS, FROM_CARL, ANN_S, {"headers": PRIVATE}, "private", id="everybody's private"),
        pytest.param(Step.PEOPLE, FROM_STRANGER, ANN_S + ONLY_KNOWN, {}, "unknown_people", id="its own known"),
        pytest.param(
            Step.PEOPLE, FROM_STRANGER, ONLY_KNOWN + ANN_S + ONLY_REPLIES, {"answers_tracked": True}, "unknown_people",
            id="what holds for all holds besides",
        ),
        pytest.param(Step.COPY, FROM_CARL, f"[mailboxes.'{BEN}']\n{DENY_CARL}", {}, None, id="not another's"),
    ],
)  # fmt: skip
def test_a_mailbox_can_only_narrow(
    step: Step, mail: Message, text: str, known: dict[str, Any], expected: str | None
) -> None:
    copy = lying_in("\\Inbox", named=("inbox",))
    assert rule(step, mail, text, copy, **({"matches": PEOPLE} if step is Step.PEOPLE else {}), **known) == expected


# the chain itself


def test_the_chain_stands_in_its_order() -> None:
    assert [(rule.name, rule.step) for rule in CHAIN] == [
        ("deny_sender", Step.COPY),
        ("deny_participant", Step.COPY),
        ("draft", Step.COPY),
        ("junk", Step.COPY),
        ("trash", Step.COPY),
        ("no_crm", Step.COPY),
        ("folder_excluded", Step.COPY),
        ("folder_not_included", Step.COPY),
        ("thread_first", Step.COPY),
        ("internal_only", Step.COPY),
        ("private", Step.HEADERS),
        ("confidential", Step.HEADERS),
        ("receipt", Step.HEADERS),
        ("bounce", Step.HEADERS),
        ("automatic", Step.HEADERS),
        ("bulk", Step.HEADERS),
        ("invite", Step.HEADERS),
        ("internal_only", Step.PEOPLE),
        ("unknown_people", Step.PEOPLE),
        ("untracked_thread", Step.PEOPLE),
    ]
    yielding = {rule.name for rule in CHAIN if rule.yields_to_track}
    assert yielding == {"internal_only", "bulk", "unknown_people"}
    assert {rule.name for rule in CHAIN} > FOLDER_RULES


def test_a_reason_is_a_sentence_without_addresses() -> None:
    skip = judge(Step.COPY, Case(FROM_CARL, INBOX, ORGANISATION), policy(DENY_CARL))
    assert skip is not None
    assert skip.reason == "A participant is on the deny list."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", True, id="by default: private, confidential and receipts"),
        pytest.param(NOTHING, False, id="no rule about it"),
        pytest.param(f"{NOTHING}\nbulk = 'skip'", True, id="a rule that all have"),
        pytest.param(f"{NOTHING}{ANN_S}bulk = 'skip'", True, id="a rule of this mailbox"),
        pytest.param(f"{NOTHING}\n[mailboxes.'{BEN}']\nbulk = 'skip'", False, id="a rule of another"),
    ],
)
def test_the_whole_header_is_asked_for_only_where_a_rule_needs_it(text: str, expected: bool) -> None:
    assert asks_headers(INBOX, policy(text)) is expected


def test_a_user_who_left_is_still_one_of_us() -> None:
    gone = {STRANGER: Match("systemuser", "1", None, active=False)}
    case = Case(message(from_=STRANGER, to=[ANN]), INBOX, ORGANISATION, matches=gone)
    skip = judge(Step.PEOPLE, case, policy())
    assert skip is not None
    assert skip.rule == "internal_only"


def test_nobody_is_internal_to_an_organisation_of_nobody() -> None:
    case = Case(AMONG_US, INBOX, Organisation(frozenset(), frozenset()))
    assert judge(Step.COPY, case, policy()) is None
