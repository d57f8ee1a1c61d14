"""What holds for every message, however broken, under every policy."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mapping.addresses import normalise
from mapping.attachments import LONGEST_CONTENT_ID, LONGEST_NAME, Limits, Why, clean_name, files_of
from mapping.body import LONGEST_DESCRIPTION, body_of
from mapping.direction import Copy, Direction, sender_of
from mapping.email_activity import EmailActivity
from mapping.groups import opened
from mapping.guard import guard_of_row, is_same_mail
from mapping.identity import activityid_of, canonical_message_id, identity_of
from mapping.mapper import Known, map_message
from mapping.matches import Match, Organisation
from mapping.message import Attachment, Header, Message, Participant
from mapping.notes import MISSING_PICTURE
from mapping.parties import people_of
from mapping.policy import CONTENT_LEVELS, AddressList, MailboxPolicy, Policy, parse_policy
from mapping.regarding import case_numbers_in, tables_to_ask, talk_of, tokens_in
from mapping.subject import bare, is_forward
from mapping.text import clean, fit, single_line, units_of
from mapping.tracking import Case, Step, asks_headers, judge, judge_folder
from tests.mapping.active_content import active_content, pictures, trackers
from tests.mapping.strategies import (
    ADDRESSES,
    ALIAS,
    OURS,
    addresses,
    bodies,
    copies,
    file_names,
    headers,
    knowns,
    limits,
    mailbox_policies,
    matches,
    message_ids,
    messages,
    organisations,
    pictured,
    pictures_elsewhere,
    policies,
    subjects,
    text,
)

law = settings(
    max_examples=int(os.environ.get("LAW_EXAMPLES", "100")),  # more for an hour's search by hand
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
COLUMNS = {"subject": 800, "messageid": 320, "sender": 250, "torecipients": 500, "description": LONGEST_DESCRIPTION}
FILE_COLUMNS = {
    "filename": LONGEST_NAME,
    "subject": LONGEST_NAME,
    "mimetype": 256,
    "attachmentcontentid": LONGEST_CONTENT_ID,
}


def mapped(message: Message, known: Known) -> EmailActivity:
    """The email a message is, on its way through the mapping as `write` takes it."""
    message = opened(message)
    return map_message(message, known, identity=identity_of(message, known.copy.mailbox))


# an email


@law
@given(messages, knowns)
def test_every_message_is_an_email(message: Message, known: Known) -> None:
    email = mapped(message, known)
    assert_within_limits(email)
    assert_everybody_once(email)
    assert_shows_and_does_nothing(email)
    ours = sender_of(opened(message), known.copy, known.matches, known.organisation).is_ours
    assert email.direction is (Direction.OUTGOING if ours else Direction.INCOMING)
    assert ours or not known.copy.lies_in("sent")


@law
@given(messages, knowns)
def test_every_message_is_an_email_without_its_files(message: Message, known: Known) -> None:
    email = mapped(message, known)
    without = email.without(dict.fromkeys(email.files.carried, Why.UNREADABLE))
    assert without.files.carried == ()
    assert len(without.files.withheld) == len(email.files.carried) + len(email.files.withheld)
    assert_within_limits(without)
    assert_shows_and_does_nothing(without)
    assert "notifications" in without.row() or not without.files.withheld


def assert_within_limits(email: EmailActivity) -> None:
    row = email.row()
    json.dumps(row, ensure_ascii=False).encode("utf-8")
    assert all(units_of(str(row.get(column, ""))) <= limit for column, limit in COLUMNS.items())
    assert not any(character in str(row["subject"]) for character in "\x00\n\r\t")
    assert row["directioncode"] is (email.completion()["statuscode"] == 3)
    if email.sent is not None:
        assert datetime(1753, 1, 1, tzinfo=UTC) <= email.sent < datetime(9999, 12, 31, tzinfo=UTC)
        assert len(str(row["sortdate"])) == len("2023-11-14T22:13:20Z")
    assert_files_within_limits(email)


def assert_files_within_limits(email: EmailActivity) -> None:
    rows = [email.attachment(file) for file in email.files.carried]
    for one in rows:
        json.dumps(one, ensure_ascii=False).encode("utf-8")
        assert all(units_of(str(one.get(column, ""))) <= limit for column, limit in FILE_COLUMNS.items())
        assert one["filename"]
        assert "/" in str(one["mimetype"])
    ids = [one["activitymimeattachmentid"] for one in rows]
    content_ids = [one["attachmentcontentid"] for one in rows if "attachmentcontentid" in one]
    assert len(ids) == len(set(ids))
    assert len(content_ids) == len(set(content_ids))


def assert_everybody_once(email: EmailActivity) -> None:
    keys = [(party.role, normalise(party.address) or (party.address or "").lower()) for party in email.parties]
    assert len(keys) == len(set(keys))
    assert sum(1 for party in email.parties if party.role.value == 1) <= 1
    for party in email.parties:
        row = party.row()
        assert "addressused" in row or any(column.startswith("partyid_") for column in row)
        assert units_of(str(row.get("addressused", ""))) <= 320
        assert units_of(str(row.get("unresolvedpartyname", ""))) <= 200


def assert_shows_and_does_nothing(email: EmailActivity) -> None:
    html = email.description.html
    assert active_content(html) == []
    assert trackers(html) == []
    assert html == clean(html)
    carried = {f"cid:{file.content_id}" for file in email.files.carried if file.content_id}
    assert not [source for source in pictures(html) if source[:4].lower() == "cid:" and source not in carried]


# the rules


@law
@given(messages, copies, organisations, matches, headers, policies, st.booleans())
def test_every_message_is_judged(
    message: Message,
    copy: Copy,
    organisation: Organisation,
    found: dict[str, Match],
    header: tuple[Header | None, ...] | None,
    policy: Policy,
    answers: bool,
) -> None:
    case = Case(opened(message), copy, organisation, header, found, answers)
    for skip in (judge_folder(copy, policy), *(judge(step, case, policy) for step in Step)):
        assert skip is None or (skip.rule and skip.reason.endswith(".") and "@" not in skip.reason)


@law
@given(messages, copies, organisations, matches, headers, policies, mailbox_policies, st.booleans())
def test_a_mailbox_s_own_rules_only_narrow(
    message: Message,
    copy: Copy,
    organisation: Organisation,
    found: dict[str, Match],
    header: tuple[Header | None, ...] | None,
    policy: Policy,
    own: Mapping[str, MailboxPolicy],
    answers: bool,
) -> None:
    base = replace(policy, mailboxes={})
    narrowed = replace(policy, mailboxes=own)
    case = Case(opened(message), copy, organisation, header, found, answers)
    assert judge_folder(copy, base) is None or judge_folder(copy, narrowed) is not None
    for step in Step:
        assert judge(step, case, base) is None or judge(step, case, narrowed) is not None
    assert asks_headers(copy, narrowed) or not asks_headers(copy, base)
    level = CONTENT_LEVELS.index(base.content_for([copy.mailbox]))
    assert CONTENT_LEVELS.index(narrowed.content_for([copy.mailbox])) >= level


@law
@given(messages, copies, organisations, matches, headers, policies)
def test_a_person_s_track_lets_in_more_and_never_less(
    message: Message,
    copy: Copy,
    organisation: Organisation,
    found: dict[str, Match],
    header: tuple[Header | None, ...] | None,
    policy: Policy,
) -> None:
    case = Case(opened(message), copy, organisation, header, found)
    unwanted = replace(policy, wanted_folders=frozenset())
    for step in Step:
        wanted, skip = judge(step, case, policy), judge(step, case, unwanted)
        assert wanted is None or skip is not None
        if skip is not None and skip.rule not in {"internal_only", "bulk", "unknown_people"}:
            assert wanted == skip


@law
@given(messages, knowns)
def test_what_is_asked_for_is_bounded(message: Message, known: Known) -> None:
    message = opened(message)
    sender = sender_of(message, known.copy, known.matches, known.organisation)
    talk = talk_of(message, known.matches, known.organisation, sender)
    rules = known.policy.regarding
    assert len(tables_to_ask(talk, known.found, known.organisation, rules)) <= len(rules.rules)
    assert len(tokens_in(message.subject, rules)) + len(case_numbers_in(message.subject, rules)) <= 6
    assert len(talk.customers()) <= 25


# copies of one mail


@law
@given(messages, knowns, st.sampled_from(["\\Inbox", "\\Archive", "\\Sent"]), st.sampled_from(OURS))
def test_every_copy_gives_the_same_row(message: Message, known: Known, folder: str, named: str) -> None:
    """The mail names a connected user, by whatever address. Two things only one copy can know are left aside: a Bcc, and
    a Sent folder where From is nobody of ours."""
    ann, ben = (Match("systemuser", name, name, active=True) for name in ("ann", "ben"))
    found = {**known.matches, **dict.fromkeys(OURS, ann), "ben@contoso.com": ben}
    organisation = Organisation(frozenset({"ann@contoso.com", ALIAS, "ben@contoso.com"}), frozenset(), {ALIAS: OURS[0]})
    people = (*(message.to or ()), Participant(email=named))
    message = msgspec.structs.replace(message, to=people, bcc=None, headers=(Header("Message-ID", "<a@b>"),))
    known = replace(known, organisation=organisation, matches=found)
    one = replace(known, copy=Copy("ann@contoso.com", frozenset({folder})))
    other = replace(known, copy=Copy("ben@contoso.com", frozenset({"\\Inbox"})))
    assume(folder != "\\Sent" or sender_of(opened(message), other.copy, found, organisation).is_ours)
    boxes = {organisation.mailbox_of(address) for address in people_of(opened(message))}
    levels = {address: own.screen.content for address, own in known.policy.mailboxes.items()}
    assume(all(box in boxes or levels.get(box, "full") == "full" for box in ("ann@contoso.com", "ben@contoso.com")))
    assert _whole(mapped(message, one)) == _whole(mapped(message, other))


def _whole(email: EmailActivity) -> object:
    return email.row(), [email.attachment(file) for file in email.files.carried], email.owner, email.guard


@law
@given(messages, knowns)
def test_a_hidden_recipient_of_ours_changes_nothing_but_the_hidden_party(message: Message, known: Known) -> None:
    """The sender's copy names the Bcc, the recipient's does not."""
    ours = Organisation(frozenset({"ann@contoso.com"}), frozenset({"contoso.com"}))
    known = replace(
        known,
        organisation=ours,
        copy=Copy("ann@contoso.com", frozenset()),
        policy=replace(known.policy, mailboxes={}),
    )
    without = msgspec.structs.replace(message, bcc=None, headers=(Header("Message-ID", "<a@b>"),))
    with_bcc = msgspec.structs.replace(without, bcc=(Participant(email="ben@contoso.com"),))
    row, other = (mapped(one, known).row() for one in (without, with_bcc))
    assert len(other.pop("email_activity_parties")) == len(row.pop("email_activity_parties")) + 1  # type: ignore[arg-type]
    assert row == other


# how much is kept

SECRETS = ("Xq1subject", "Xq2body", "Xq3file", "Xq4picture")


@law
@given(messages, knowns, st.sampled_from(["subject", "metadata"]), st.sampled_from(["all", "mailbox", "named"]))
def test_nothing_is_kept_that_the_policy_does_not_allow(message: Message, known: Known, level: str, whose: str) -> None:
    subject, body, file, picture = SECRETS
    message = msgspec.structs.replace(
        message,
        subject=f"{subject} CRM:{subject}",
        body=f"<p>{body}</p><img src='cid:{picture}' alt='{picture}'>{message.body or ''}",
        snippet=body,
        attachments=(*(message.attachments or ()), Attachment(id="s", filename=f"{file}.exe", content_id=picture)),
        to=(*(message.to or ()), Participant(email="eve@contoso.com")),
    )
    mailbox = {"mailbox": known.copy.mailbox, "named": "eve@contoso.com"}.get(whose)
    screen = replace(known.policy.screen, content=level if mailbox is None else "full")
    own = {} if mailbox is None else {mailbox: MailboxPolicy(screen=replace(screen, content=level))}
    email = mapped(message, replace(known, policy=replace(known.policy, screen=screen, mailboxes=own)))
    told = json.dumps([email.row(), email.queue_item(), *map(email.attachment, email.files.carried)])
    assert not [secret for secret in SECRETS[1:] if secret in told]
    assert (subject in told) is (level == "subject")
    assert email.files.carried == email.files.withheld == ()


@law
@given(messages, knowns)
def test_the_guard_of_a_mail_is_the_same_however_much_of_it_is_kept(message: Message, known: Known) -> None:
    emails = [
        mapped(
            message, replace(known, policy=replace(known.policy, screen=replace(known.policy.screen, content=level)))
        )
        for level in CONTENT_LEVELS
    ]
    assert len({email.guard for email in emails}) == 1
    for email in emails:
        row = email.row()
        sender = next((party.address for party in email.parties if party.role.value == 1), None)
        kept = guard_of_row(sender=sender, subject=str(row["subject"]), description=str(row["description"]))
        assert is_same_mail(email, kept)


# content


@law
@given(pictured(), limits)
def test_a_picture_that_goes_along_is_shown_and_any_other_is_named(
    mail: tuple[str, list[Attachment]], limits: Limits
) -> None:
    body, attached = mail
    safe = body_of(body)
    found = files_of(attached, safe.pictures, limits)
    html = safe.described(found.pictures, ()).html
    carried = {f"cid:{file.content_id}" for file in found.carried if file.content_id is not None}
    assert {source for source in pictures(html) if source[:4].lower() == "cid:"} == carried
    assert html.count(f"[{MISSING_PICTURE}") >= len(safe.pictures) - len(found.pictures)
    assert active_content(html) == []


@law
@given(messages, knowns, pictured())
def test_every_file_keeps_to_its_columns(message: Message, known: Known, mail: tuple[str, list[Attachment]]) -> None:
    known = replace(known, limits=Limits(), policy=Policy())
    email = mapped(msgspec.structs.replace(message, body=mail[0], attachments=tuple(mail[1])), known)
    assert len(email.files.carried) == len(mail[1])
    assert_files_within_limits(email)
    assert_shows_and_does_nothing(email)


@law
@given(st.lists(pictures_elsewhere, min_size=1, max_size=4))
def test_no_picture_watches(tags: list[str]) -> None:
    html = body_of("".join(tags)).described({}, ()).html
    assert trackers(html) == []
    assert active_content(html) == []


@law
@given(bodies)
def test_no_description_is_active(body: str | None) -> None:
    safe = body_of(body)
    for carried in ({}, dict.fromkeys(safe.pictures, "a@b"), {one: f"{n}@b" for n, one in enumerate(safe.pictures)}):
        html = safe.described(carried, (clean(body or ""),)).html
        assert active_content(html) == []
        assert trackers(html) == []
        assert html == clean(html)


@law
@given(file_names)
def test_a_clean_name_is_its_own_clean_name(written: str | None) -> None:
    name = clean_name(written or "")
    assert clean_name(name) == name == name.strip()
    assert units_of(name) <= LONGEST_NAME
    assert set(name).isdisjoint('<>:"/\\|?*\u202e\u200b\n\x00')


@law
@given(st.lists(st.builds(Attachment, id=st.just("x"), filename=file_names, content_type=text), max_size=6), limits)
def test_no_blocked_extension_gets_by_under_another_spelling(attached: list[Attachment], limits: Limits) -> None:
    found = files_of(attached, (), limits)
    assert len(found.carried) + len(found.withheld) == len(attached)
    for file in found.carried:
        assert clean_name(file.name).lower().rpartition(".")[2] not in limits.extensions or "." not in file.name


# people


@law
@given(messages)
def test_a_message_is_opened_once_and_for_all(message: Message) -> None:
    once = opened(message)
    assert opened(once) == once
    alone = {one.email for one in message.participants() if one.email in ADDRESSES}
    assert alone <= {one.email for one in once.participants()}


letters = st.text(alphabet="ab*@", max_size=6)


@law
@given(letters, letters, letters, letters)
def test_a_star_is_any_characters_on_its_side_of_the_last_at(local: str, domain: str, before: str, behind: str) -> None:
    """The expression that never tries twice finds what the plain one finds."""
    written = f"{local.replace('@', 'b')}*@{domain.replace('@', 'b')}.org"
    address = normalise(f"a{before}@{behind.replace('@', 'a')}.org")
    assume(address is not None)
    (entry,) = parse_policy(f"deny.senders = ['{written}']", "t").screen.deny_senders.entries
    sides = zip(entry.rpartition("@"), (address or "").rpartition("@"), strict=True)
    plain = all(re.fullmatch(".*".join(map(re.escape, one.split("*"))), other) for one, other in sides)
    assert AddressList(frozenset({entry})).holds_any([address or ""]) is plain


@law
@given(
    message_ids,
    st.sampled_from(["", " ", "\t", "\r\n "]),
    st.sampled_from(["Message-ID", "message-id", "MESSAGE-ID", "Message-Id "]),
)
def test_identity_ignores_how_the_header_is_written(raw: str, blank: str, name: str) -> None:
    canonical = canonical_message_id(raw)
    assume(canonical is not None and not canonical[-1].isspace())
    middle = len(canonical or "") // 2
    folded = f"{blank}<{blank}{(canonical or '')[:middle]}{blank}{(canonical or '')[middle:]}{blank}>{blank}"
    bare = f"{blank}{canonical}{blank}"
    for written in (raw, folded, bare):
        identity = identity_of(Message(id="x", headers=(None, Header(name, written))), "ann@contoso.com")
        assert identity.activityid == activityid_of(canonical or "")
        assert identity.message_id == canonical


@law
@given(messages, copies)
def test_people_are_named_once_and_identity_never_changes(message: Message, copy: Copy) -> None:
    people = people_of(message)
    assert len(people) == len(set(people))
    assert all(normalise(address) == address and units_of(address) <= 320 for address in people)
    identity = identity_of(message, copy.mailbox)
    assert identity.activityid.version == 5
    assert identity == identity_of(message, copy.mailbox.upper())
    assert identity.synthetic is (identity.message_id is None)
    assert identity == identity_of(msgspec.structs.replace(message, folders=("x",), body="other"), copy.mailbox)


@law
@given(addresses)
def test_a_normal_address_is_its_own_normal_form(written: str | None) -> None:
    address = normalise(written)
    if address is not None:
        assert normalise(address) == address
        assert normalise(f" <{address.upper()}> ") in (address, normalise(address.upper()))
        assert address == single_line(address)


@law
@given(text, st.integers(min_value=0, max_value=40))
def test_what_fits_is_a_beginning_and_is_not_split(written: str, units: int) -> None:
    cleaned = clean(written)
    part = fit(cleaned, units)
    assert cleaned.startswith(part)
    assert units_of(part) <= units
    assert units_of(part) >= min(units_of(cleaned), units) - 1
    part.encode("utf-8")


@law
@given(text)
def test_cleaning_twice_changes_nothing(written: str) -> None:
    assert clean(clean(written)) == clean(written)
    assert single_line(single_line(written)) == single_line(written)


@law
@given(subjects)
def test_a_bare_subject_is_bare(written: str | None) -> None:
    subject = bare(written)
    assert bare(subject) == subject == single_line(subject)
    assert not is_forward(subject)
    assert is_forward(f"Fwd: {written or ''}")
    assert not is_forward(f"Re: {written or ''}")
