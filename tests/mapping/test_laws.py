"""What holds for every message, however broken."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mapping.addresses import normalise
from mapping.body import description_of
from mapping.direction import Copy, Direction, sender_of
from mapping.email_activity import EmailActivity
from mapping.identity import activityid_of, canonical_message_id, identity_of
from mapping.mapper import map_message
from mapping.matches import Match, Organisation
from mapping.message import Header, Message, Participant
from mapping.parties import people_of
from mapping.regarding import Parent
from mapping.text import clean, fit, single_line, units_of
from mapping.tracking import judge_copy, judge_people, parse_rules
from tests.mapping.active_content import active_content
from tests.mapping.strategies import (
    addresses,
    bodies,
    copies,
    matches,
    message_ids,
    messages,
    organisations,
    parents,
    text,
)

law = settings(
    max_examples=int(os.environ.get("LAW_EXAMPLES", "150")),  # more for an hour's search by hand
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
LIMITS = {"subject": 800, "messageid": 320, "sender": 250, "torecipients": 500, "description": 1_000_000}
STRICT = parse_rules("track = 'known'\nthread = 'first'\ndeny.domains = ['nowhere.org']", "policy")


def mapped(
    message: Message, copy: Copy, organisation: Organisation, found: dict[str, Match], parent: Parent | None
) -> EmailActivity:
    identity = identity_of(message, copy.mailbox)
    return map_message(message, identity=identity, copy=copy, organisation=organisation, matches=found, parent=parent)


@law
@given(messages, copies, organisations, matches, parents)
def test_every_message_is_an_email(
    message: Message, copy: Copy, organisation: Organisation, found: dict[str, Match], parent: Parent | None
) -> None:
    email = mapped(message, copy, organisation, found, parent)
    assert_within_limits(email)
    assert_everybody_once(email)
    ours = sender_of(message, copy, found, organisation).is_ours
    assert email.direction is (Direction.OUTGOING if ours else Direction.INCOMING)
    assert ours or not copy.lies_in("sent")


def assert_within_limits(email: EmailActivity) -> None:
    row = email.row()
    json.dumps(row, ensure_ascii=False).encode("utf-8")
    assert all(units_of(str(row.get(column, ""))) <= limit for column, limit in LIMITS.items())
    assert not any(character in str(row["subject"]) for character in "\x00\n\r\t")
    assert row["directioncode"] is (email.completion()["statuscode"] == 3)
    if email.sent is not None:
        assert datetime(1753, 1, 1, tzinfo=UTC) <= email.sent < datetime(9999, 12, 31, tzinfo=UTC)
        assert len(str(row["sortdate"])) == len("2023-11-14T22:13:20Z")


def assert_everybody_once(email: EmailActivity) -> None:
    keys = [(party.role, normalise(party.address) or (party.address or "").lower()) for party in email.parties]
    assert len(keys) == len(set(keys))
    assert sum(1 for party in email.parties if party.role.value == 1) <= 1
    for party in email.parties:
        row = party.row()
        assert "addressused" in row or any(column.startswith("partyid_") for column in row)
        assert units_of(str(row.get("addressused", ""))) <= 320
        assert units_of(str(row.get("unresolvedpartyname", ""))) <= 200


@law
@given(messages, copies, organisations, matches)
def test_every_message_is_judged(
    message: Message, copy: Copy, organisation: Organisation, found: dict[str, Match]
) -> None:
    for skip in (
        judge_copy(message, copy, organisation, STRICT),
        judge_people(message, copy, organisation, found, STRICT),
    ):
        assert skip is None or (skip.rule and skip.reason.endswith(".") and "@" not in skip.reason)


@law
@given(messages, organisations, matches, parents, st.sampled_from(["\\Inbox", "\\Archive", "\\Sent"]))
def test_every_copy_gives_the_same_row(
    message: Message, organisation: Organisation, found: dict[str, Match], parent: Parent | None, folder: str
) -> None:
    """Two things only one copy can know are left aside: a Bcc, and a Sent folder where From is nobody of ours."""
    message = msgspec.structs.replace(message, bcc=None, headers=(Header("Message-ID", "<a@b>"),))
    one = Copy("ann@contoso.com", frozenset({folder}))
    other = Copy("dora@fabrikam.com", frozenset({"\\Inbox"}))
    assume(folder != "\\Sent" or sender_of(message, other, found, organisation).is_ours)
    assert (
        mapped(message, one, organisation, found, parent).row()
        == mapped(message, other, organisation, found, parent).row()
    )


@law
@given(messages, matches, parents)
def test_a_hidden_recipient_of_ours_changes_nothing_but_the_hidden_party(
    message: Message, found: dict[str, Match], parent: Parent | None
) -> None:
    """The sender's copy names the Bcc, the recipient's does not."""
    ours = Organisation(frozenset({"ann@contoso.com"}), frozenset({"contoso.com"}))
    without = msgspec.structs.replace(message, bcc=None, headers=(Header("Message-ID", "<a@b>"),))
    with_bcc = msgspec.structs.replace(without, bcc=(Participant(email="ben@contoso.com"),))
    copy = Copy("ann@contoso.com", frozenset())
    row, other = (mapped(one, copy, ours, found, parent).row() for one in (without, with_bcc))
    assert len(other.pop("email_activity_parties")) == len(row.pop("email_activity_parties")) + 1  # type: ignore[arg-type]
    assert row == other


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
@given(bodies)
def test_no_description_is_active(body: str | None) -> None:
    html = description_of(body).html
    assert active_content(html) == []
    assert html == clean(html)


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
