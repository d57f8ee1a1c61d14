from __future__ import annotations

import pytest

from mapping.direction import Sender
from mapping.matches import Match
from mapping.message import Message
from mapping.records import Record, reference
from mapping.regarding import Parent, ParentParty, Regarding, choose_regarding
from tests.mapping.mail import (
    ANN,
    ANN_ID,
    BEN,
    CARL,
    CARL_ID,
    DORA,
    DORA_ID,
    FABRIKAM_ID,
    LEAD_ID,
    MATCHES,
    ORGANISATION,
    STRANGER,
    message,
)

OFFICE = "office@fabrikam.com"
LEAD = "new@adatum.com"
DEAL = Record("opportunity", "0bb00000-0000-4000-8000-000000000001")


def parent(*parties: ParentParty, regarding: Record | None = DEAL) -> Parent:
    ours = (ParentParty(ANN, "systemuser", ANN_ID), ParentParty("helpdesk@partner.com", "queue", "1"))
    return Parent("0aa00000-0000-4000-8000-000000000001", regarding, (*ours, *parties))


WITH_CARL = parent(ParentParty(CARL, "contact", CARL_ID))
WITH_STRANGER = parent(ParentParty(STRANGER.upper(), None, None))
WITH_CARL_ELSEWHERE = parent(ParentParty("carl@home.org", "contact", CARL_ID.upper()))
WITHOUT_ADDRESS = parent(ParentParty(None, "contact", CARL_ID))
INTERNAL_ONLY = parent(ParentParty("x@contoso.com", None, None), ParentParty("ann.alias@contoso.net", None, None))

CARL_S = Regarding(Record("contact", CARL_ID), "contact")
DORA_S = Regarding(Record("contact", DORA_ID), "contact")
REPLY = Regarding(DEAL, "reply")
NONE = Regarding(None, "none")


@pytest.mark.parametrize(
    ("mail", "before", "expected"),
    [
        pytest.param(message(from_=CARL, to=[ANN]), None, CARL_S, id="from a known contact"),
        pytest.param(message(from_=ANN, to=[DORA, CARL]), None, DORA_S, id="the first of several recipients"),
        pytest.param(
            message(from_=STRANGER, to=[ANN], cc=[CARL]), None, CARL_S, id="To before Cc, strangers passed over"
        ),
        pytest.param(message(from_=ANN, cc=[DORA], bcc=[CARL]), None, DORA_S, id="Cc before Bcc"),
        pytest.param(message(from_=ANN, bcc=[CARL]), None, CARL_S, id="a Bcc counts"),
        pytest.param(
            message(from_=OFFICE, to=[ANN]), None, Regarding(Record("account", FABRIKAM_ID), "account"), id="an account"
        ),
        pytest.param(message(from_=LEAD, to=[ANN]), None, Regarding(Record("lead", LEAD_ID), "lead"), id="a lead"),
        pytest.param(
            message(from_=OFFICE, to=[CARL]),
            None,
            Regarding(Record("account", FABRIKAM_ID), "account"),
            id="who comes first counts, not the table",
        ),
        pytest.param(message(from_=STRANGER, to=[ANN]), None, NONE, id="a stranger"),
        pytest.param(message(from_=BEN, to=[ANN]), None, NONE, id="users are no record to be about"),
        pytest.param(message(from_=CARL, to=[ANN]), WITH_CARL, REPLY, id="reply from a known contact"),
        pytest.param(message(from_=ANN, to=[STRANGER]), WITH_STRANGER, REPLY, id="reply to the same stranger"),
        pytest.param(
            message(from_=CARL, to=[ANN]), WITH_CARL_ELSEWHERE, REPLY, id="reply from another address of the contact"
        ),
        pytest.param(message(from_=CARL, to=[ANN]), WITHOUT_ADDRESS, REPLY, id="a parent's party without address"),
        pytest.param(message(from_=BEN, to=[ANN]), WITH_CARL, REPLY, id="talked about among us"),
        pytest.param(message(from_=ANN, to=[CARL, DORA]), WITH_CARL, REPLY, id="somebody joins the talk"),
        pytest.param(message(from_=ANN, to=[DORA]), WITH_CARL, DORA_S, id="forwarded to somebody else"),
        pytest.param(message(from_=ANN, to=[STRANGER]), WITH_CARL, NONE, id="forwarded to a stranger"),
        pytest.param(message(from_=ANN, to=[DORA]), INTERNAL_ONLY, DORA_S, id="our own talk shown to somebody"),
        pytest.param(
            message(from_="helpdesk@partner.com", to=[ANN]), WITH_CARL, NONE, id="a queue then is no shared stranger"
        ),
        pytest.param(
            message(from_=CARL, to=[ANN]),
            parent(ParentParty(CARL, None, None), regarding=None),
            CARL_S,
            id="a parent about nothing",
        ),
    ],
)
def test_regarding(mail: Message, before: Parent | None, expected: Regarding) -> None:
    assert choose_regarding(mail, before, MATCHES, ORGANISATION) == expected


def test_a_contact_in_an_own_domain_is_one_of_us() -> None:
    matches = MATCHES | {"eve@contoso.com": Match("contact", "1", None, active=True)}
    assert choose_regarding(message(from_="eve@contoso.com", to=[ANN]), None, matches, ORGANISATION) == NONE


def test_a_contact_with_a_mailbox_s_address_is_one_of_us() -> None:
    matches = {"ann.alias@contoso.net": Match("contact", "1", None, active=True)}
    assert choose_regarding(message(from_="ann.alias@contoso.net"), None, matches, ORGANISATION) == NONE


def test_a_sender_of_ours_under_a_contact_s_address_is_one_of_us() -> None:
    """In a Sent folder: the written address belongs to a contact, the mail was sent by the mailbox's own user."""
    sender = Sender(CARL, None, MATCHES[ANN], is_ours=True)
    mail = message(from_=CARL, to=[DORA])
    assert choose_regarding(mail, None, MATCHES, ORGANISATION, sender=sender) == DORA_S


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param("opportunity", "/opportunities(1)", id="a consonant and y"),
        pytest.param("incident", "/incidents(1)", id="ordinary"),
        pytest.param("new_survey", "/new_surveys(1)", id="a vowel and y"),
        pytest.param("new_box", "/new_boxes(1)", id="a hiss"),
        pytest.param("campaignactivity", "/campaignactivities(1)", id="a compound"),
    ],
)
def test_a_table_s_entity_set_is_its_plural(table: str, expected: str) -> None:
    assert reference(table, "1") == expected
