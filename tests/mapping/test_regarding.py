from __future__ import annotations

import pytest

from mapping.direction import Copy, sender_of
from mapping.matches import Match, Matches
from mapping.message import Message
from mapping.policy import CASE, OPPORTUNITY, RegardingRules, RelatedTable
from mapping.records import Record, reference
from mapping.regarding import (
    MOST_PEOPLE,
    MOST_TOKENS,
    Found,
    Parent,
    ParentParty,
    Regarding,
    Related,
    Talk,
    case_numbers_in,
    choose_regarding,
    external_parties,
    inherits_regarding,
    tables_to_ask,
    talk_of,
    tokens_in,
)
from tests.mapping.mail import (
    ALIAS,
    ANN,
    ANN_ID,
    BEN,
    CARL,
    CARL_ID,
    DORA,
    DORA_ID,
    FABRIKAM_ID,
    HELP,
    INBOX,
    LEAD_ID,
    MATCHES,
    ORGANISATION,
    SENT,
    STRANGER,
    message,
)

OFFICE = "office@fabrikam.com"
LEAD = "new@adatum.com"
DEAL = Record("opportunity", "0bb00000-0000-4000-8000-000000000001")
CARL_S_RECORD = Record("contact", CARL_ID)
DORA_S_RECORD = Record("contact", DORA_ID)
FABRIKAM_S_RECORD = Record("account", FABRIKAM_ID)


def parent(*parties: ParentParty, regarding: Record | None = DEAL) -> Parent:
    ours = (ParentParty(ANN, "systemuser", ANN_ID), ParentParty("helpdesk@partner.com", "queue", "1"))
    return Parent("0aa00000-0000-4000-8000-000000000001", regarding, (*ours, *parties))


WITH_CARL = parent(ParentParty(CARL, "contact", CARL_ID))
WITH_STRANGER = parent(ParentParty(STRANGER.upper(), None, None))
WITH_CARL_ELSEWHERE = parent(ParentParty("carl@home.org", "contact", CARL_ID.upper()))
WITHOUT_ADDRESS = parent(ParentParty(None, "contact", CARL_ID))
INTERNAL_ONLY = parent(ParentParty("x@contoso.com", None, None), ParentParty(ALIAS, None, None))

CARL_S = Regarding(CARL_S_RECORD, "contact")
DORA_S = Regarding(DORA_S_RECORD, "contact")
FABRIKAM_S = Regarding(FABRIKAM_S_RECORD, "account")
LEAD_S = Regarding(Record("lead", LEAD_ID), "lead")
REPLY = Regarding(DEAL, "reply")
NONE = Regarding(None, "none")


def talk(mail: Message, matches: Matches = MATCHES, copy: Copy = INBOX) -> Talk:
    return talk_of(mail, matches, ORGANISATION, sender_of(mail, copy, matches, ORGANISATION))


def rules(*names: str, **more: object) -> RegardingRules:
    return RegardingRules(rules=names, **more)  # type: ignore[arg-type]


def chosen(mail: Message, found: Found, by: RegardingRules | None = None, copy: Copy = INBOX) -> Regarding:
    return choose_regarding(talk(mail, copy=copy), found, ORGANISATION, by or RegardingRules())


# the ordinary rules


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
        pytest.param(message(from_=OFFICE, to=[ANN]), None, FABRIKAM_S, id="an account"),
        pytest.param(message(from_=LEAD, to=[ANN]), None, LEAD_S, id="a lead"),
        pytest.param(message(from_=LEAD, to=[OFFICE, CARL]), None, CARL_S, id="a contact before who comes first"),
        pytest.param(message(from_=LEAD, to=[OFFICE]), None, FABRIKAM_S, id="an account before a lead"),
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
    assert chosen(mail, Found(parent=before)) == expected


def test_a_mail_that_answers_the_same_unseen_one_stands_for_the_parent() -> None:
    """Zammad#5716: two replies to a mail that nobody ever brought are one conversation."""
    mail = message(from_=CARL, to=[ANN])
    assert chosen(mail, Found(sibling=WITH_CARL)) == REPLY
    other = parent(ParentParty(CARL, "contact", CARL_ID), regarding=FABRIKAM_S_RECORD)
    assert chosen(mail, Found(parent=other, sibling=WITH_CARL)) == Regarding(FABRIKAM_S_RECORD, "reply")


def test_a_contact_in_an_own_domain_is_one_of_us() -> None:
    matches = MATCHES | {"eve@contoso.com": Match("contact", "1", None, active=True)}
    mail = message(from_="eve@contoso.com", to=[ANN])
    assert choose_regarding(talk(mail, matches), Found(), ORGANISATION, RegardingRules()) == NONE


def test_a_contact_with_a_mailbox_s_address_is_one_of_us() -> None:
    matches = {ALIAS: Match("contact", "1", None, active=True)}
    mail = message(from_=ALIAS)
    assert choose_regarding(talk(mail, matches), Found(), ORGANISATION, RegardingRules()) == NONE


def test_a_sender_of_ours_under_a_contact_s_address_is_one_of_us() -> None:
    """In a Sent folder: the written address belongs to a contact, the mail was sent by the mailbox's own user."""
    assert chosen(message(from_=CARL, to=[DORA]), Found(), copy=SENT) == DORA_S


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        pytest.param(("lead", "contact"), LEAD_S, id="leads first"),
        pytest.param(("account",), NONE, id="only what is named"),
        pytest.param(("contact", "reply"), CARL_S, id="people before the parent"),
        pytest.param((), NONE, id="no rule"),
        pytest.param(("reply", "lead", "contact"), REPLY, id="the parent first"),
    ],
)
def test_the_rules_are_asked_in_their_order(order: tuple[str, ...], expected: Regarding) -> None:
    assert chosen(message(from_=LEAD, to=[CARL]), Found(parent=WITH_CARL), rules(*order)) == expected


# tokens and case numbers


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param("Re: Offer CRM:0001001", ("CRM:0001001",), id="at the end"),
        pytest.param("crm:0001001 offer", ("crm:0001001",), id="in any case"),
        pytest.param("[CRM:0001001]", ("CRM:0001001",), id="in brackets"),
        pytest.param("CRM:1 CRM:2 CRM:1 CRM:3 CRM:4", ("CRM:1", "CRM:2", "CRM:3"), id="the first three, each once"),
        pytest.param("CRM:", (), id="a beginning alone"),
        pytest.param("CRM:abc CRM:1a", (), id="letters are no number"),
        pytest.param("xCRM:1 a-CRM:2", (), id="a beginning inside a word"),
        pytest.param("CRM:1234567890123456789", (), id="a number nobody counts to"),
        pytest.param("CRM:\r\n 1", (), id="a fold inside"),
        pytest.param("Offer\r\n CRM:1", ("CRM:1",), id="a fold before"),
        pytest.param(None, (), id="no subject"),
    ],
)
def test_the_tokens_of_a_subject(subject: str | None, expected: tuple[str, ...]) -> None:
    assert tokens_in(subject, RegardingRules()) == expected
    assert len(expected) <= MOST_TOKENS


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param("CAS-01020-X9Y8Z7 again", ("CAS-01020-X9Y8Z7",), id="as Dynamics writes it"),
        pytest.param("Re: cas-01020-x9y8z7.", ("cas-01020-x9y8z7",), id="in any case, before a full stop"),
        pytest.param("CAS-5", ("CAS-5",), id="a plain number"),
        pytest.param("CAS-01020-", (), id="a hyphen left open"),
        pytest.param("CAS-a1", (), id="no digit first"),
        pytest.param("LUCAS-1", (), id="the end of a word"),
        pytest.param("CRM:1", (), id="a token is no case number"),
    ],
)
def test_the_case_numbers_of_a_subject(subject: str, expected: tuple[str, ...]) -> None:
    assert case_numbers_in(subject, RegardingRules()) == expected


def test_what_tokens_begin_with_is_the_policy_s() -> None:
    ours = rules("token", tokens=("#", "T.1+"), case_numbers=("FALL ",))
    assert tokens_in("#12 T.1+7 TX1+8 CRM:9", ours) == ("#12", "T.1+7")
    assert case_numbers_in("FALL 7-A", ours) == ("FALL 7-A",)


def test_nothing_is_looked_for_where_the_policy_has_no_such_rule() -> None:
    assert tokens_in("CRM:1", rules("reply")) == ()
    assert case_numbers_in("CAS-1", rules("reply")) == ()


TOKEN = Regarding(DEAL, "token")
CASE_RECORD = Record("incident", "0cc00000-0000-4000-8000-000000000001")
CASE_OF_CARL = Related(CASE_RECORD, frozenset({CARL_S_RECORD}))
CASE_OF_FABRIKAM = Related(CASE_RECORD, frozenset({FABRIKAM_S_RECORD}))


@pytest.mark.parametrize(
    ("mail", "found", "expected"),
    [
        pytest.param(message(from_=CARL), Found(by_token=(WITH_CARL,)), TOKEN, id="a participant in common"),
        pytest.param(message(from_=STRANGER), Found(by_token=(WITH_STRANGER,)), TOKEN, id="the same stranger"),
        pytest.param(message(from_=DORA), Found(by_token=(WITH_CARL,)), DORA_S, id="a token that anybody can type"),
        pytest.param(message(from_=BEN), Found(by_token=(WITH_CARL,)), NONE, id="none of us makes a token count"),
        pytest.param(
            message(from_=CARL),
            Found(by_token=(parent(ParentParty(CARL, None, None), regarding=None), WITH_CARL)),
            TOKEN,
            id="the first mail that is about something",
        ),
        pytest.param(
            message(from_=CARL),
            Found(by_number=(CASE_OF_CARL,)),
            Regarding(CASE_RECORD, "token"),
            id="a contact's case",
        ),
        pytest.param(
            message(from_=OFFICE),
            Found(by_number=(CASE_OF_FABRIKAM,)),
            Regarding(CASE_RECORD, "token"),
            id="an account's case",
        ),
        pytest.param(
            message(from_=STRANGER, to=[ANN], cc=[OFFICE]),
            Found(by_number=(CASE_OF_FABRIKAM,)),
            Regarding(CASE_RECORD, "token"),
            id="its customer in Cc",
        ),
        pytest.param(message(from_=DORA), Found(by_number=(CASE_OF_CARL,)), DORA_S, id="somebody else's case"),
        pytest.param(message(from_=LEAD), Found(by_number=(CASE_OF_CARL,)), LEAD_S, id="a lead has no cases"),
        pytest.param(
            message(from_=CARL), Found(by_token=(WITH_CARL,), by_number=(CASE_OF_CARL,)), TOKEN, id="a token first"
        ),
        pytest.param(
            message(from_=CARL),
            Found(parent=parent(ParentParty(CARL, None, None), regarding=CASE_RECORD), by_token=(WITH_CARL,)),
            Regarding(CASE_RECORD, "reply"),
            id="a parent before a token",
        ),
    ],
)
def test_a_token_counts_only_with_a_participant_in_common(mail: Message, found: Found, expected: Regarding) -> None:
    assert chosen(mail, found) == expected


# open records of people

PROJECT = RelatedTable(name="project", table="new_project", contact=("new_contactid",), account=())
OLD_DEAL = Record("opportunity", "0bb00000-0000-4000-8000-000000000002")
VISIT = Record("new_project", "0dd00000-0000-4000-8000-000000000001", "new_Project_email", "new_projectset")
NEW_OF_CARL = Related(DEAL, frozenset({CARL_S_RECORD}))
OLD_OF_CARL = Related(OLD_DEAL, frozenset({CARL_S_RECORD, FABRIKAM_S_RECORD}))
VISIT_OF_CARL = Related(VISIT, frozenset({CARL_S_RECORD}))
BY_DEAL = rules("opportunity", "case", "project", "contact", tables=(PROJECT,))


@pytest.mark.parametrize(
    ("mail", "related", "expected"),
    [
        pytest.param(
            message(from_=CARL), {"opportunity": (NEW_OF_CARL,)}, Regarding(DEAL, "opportunity"), id="the only one"
        ),
        pytest.param(
            message(from_=CARL),
            {"opportunity": (NEW_OF_CARL, OLD_OF_CARL)},
            Regarding(DEAL, "opportunity"),
            id="the newest of several",
        ),
        pytest.param(
            message(from_=OFFICE, to=[CARL]),
            {"opportunity": (NEW_OF_CARL, OLD_OF_CARL)},
            Regarding(OLD_DEAL, "opportunity"),
            id="who comes first in the mail, not whose is newer",
        ),
        pytest.param(
            message(from_=DORA, to=[CARL]),
            {"opportunity": (NEW_OF_CARL,)},
            Regarding(DEAL, "opportunity"),
            id="the first person who has one",
        ),
        pytest.param(
            message(from_=CARL), {"case": (CASE_OF_CARL,)}, Regarding(CASE_RECORD, "case"), id="the next rule's"
        ),
        pytest.param(
            message(from_=CARL), {"project": (VISIT_OF_CARL,)}, Regarding(VISIT, "project"), id="a table of their own"
        ),
        pytest.param(message(from_=DORA), {"opportunity": (NEW_OF_CARL,)}, DORA_S, id="somebody else's"),
        pytest.param(message(from_=CARL), {}, CARL_S, id="none open"),
    ],
)
def test_the_open_record_of_a_person(
    mail: Message, related: dict[str, tuple[Related, ...]], expected: Regarding
) -> None:
    assert chosen(mail, Found(related=related), BY_DEAL) == expected


def test_of_several_open_records_none_is_taken_where_the_policy_says_so() -> None:
    only_one = rules("opportunity", "contact", several="none")
    mail = message(from_=CARL, to=[OFFICE])
    both = Found(related={"opportunity": (NEW_OF_CARL, OLD_OF_CARL)})
    assert chosen(mail, both, only_one) == Regarding(OLD_DEAL, "opportunity"), "the account has but one"
    assert chosen(message(from_=CARL), both, only_one) == CARL_S
    assert chosen(message(from_=CARL), Found(related={"opportunity": (NEW_OF_CARL,)}), only_one).record == DEAL


@pytest.mark.parametrize(
    ("mail", "found", "order", "expected"),
    [
        pytest.param(message(from_=CARL), Found(), BY_DEAL, (OPPORTUNITY, CASE, PROJECT), id="in the rules' order"),
        pytest.param(message(from_=STRANGER), Found(), BY_DEAL, (), id="nobody who could have one"),
        pytest.param(message(from_=LEAD), Found(), BY_DEAL, (), id="leads have none"),
        pytest.param(
            message(from_=CARL), Found(parent=WITH_CARL), rules("reply", "case"), (), id="an earlier rule decided"
        ),
        pytest.param(
            message(from_=CARL), Found(parent=WITH_CARL), rules("case", "reply"), (CASE,), id="a later one does not count"
        ),
        pytest.param(
            message(from_=DORA), Found(parent=WITH_CARL), rules("reply", "case"), (CASE,), id="the earlier one found nothing"
        ),
        pytest.param(message(from_=CARL), Found(), rules("contact", "case"), (), id="the contact is enough"),
        pytest.param(message(from_=OFFICE), Found(), rules("contact", "case"), (CASE,), id="no contact there"),
        pytest.param(message(from_=CARL), Found(), RegardingRules(), (), id="no such rule by default"),
    ],
)  # fmt: skip
def test_records_are_asked_for_only_where_they_decide(
    mail: Message, found: Found, order: RegardingRules, expected: tuple[RelatedTable, ...]
) -> None:
    assert tables_to_ask(talk(mail), found, ORGANISATION, order) == expected


def test_hundreds_of_people_are_not_all_asked_for() -> None:
    addresses = [f"p{number}@fabrikam.com" for number in range(300)]
    matches = {address: Match("contact", str(number), None, active=True) for number, address in enumerate(addresses)}
    people = talk(message(from_=ANN, to=addresses), matches).customers()
    assert [record.id for record in people] == [str(number) for number in range(MOST_PEOPLE)]


def test_a_contact_with_two_addresses_is_one_person() -> None:
    matches = MATCHES | {"carl@home.org": MATCHES[CARL]}
    mail = message(from_="carl@home.org", to=[CARL, DORA])
    assert talk(mail, matches).customers() == (CARL_S_RECORD, DORA_S_RECORD)


# answers and forwards


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        pytest.param(message(from_=CARL, subject="Re: x"), True, id="a reply"),
        pytest.param(message(from_=DORA, subject="Re: x"), True, id="a reply of somebody new"),
        pytest.param(message(from_=DORA, subject="x"), True, id="without any prefix"),
        pytest.param(message(from_=ANN, to=[DORA], subject="Fwd: x"), False, id="a forward to others"),
        pytest.param(message(from_=ANN, to=[DORA], subject="WG: x"), False, id="in another language"),
        pytest.param(message(from_=ANN, to=[BEN], subject="Fwd: x"), False, id="a forward among us"),
        pytest.param(message(from_=ANN, to=[DORA, CARL], subject="Fwd: x"), True, id="a forward to one of them too"),
        pytest.param(message(from_=DORA, subject="Re: Fwd: x"), True, id="a reply to a forward"),
        pytest.param(message(from_=DORA, subject=None), True, id="no subject"),
    ],
)
def test_a_forward_to_others_answers_nothing(mail: Message, expected: bool) -> None:
    assert talk(mail).answers(WITH_CARL, ORGANISATION) is expected


@pytest.mark.parametrize(
    ("parties", "expected"),
    [
        pytest.param([ParentParty(CARL, None, None)], True, id="the same address"),
        pytest.param([ParentParty("c@home.org", "contact", CARL_ID)], True, id="the same person"),
        pytest.param([ParentParty(STRANGER, None, None)], False, id="other people"),
        pytest.param([ParentParty(STRANGER, None, None), ParentParty(CARL, None, None)], True, id="one of several"),
        pytest.param([ParentParty(BEN, None, None)], True, id="only us"),
        pytest.param([], True, id="nobody"),
    ],
)
def test_an_early_reply_takes_what_its_late_parent_is_about(parties: list[ParentParty], expected: bool) -> None:
    assert inherits_regarding(parties, WITH_CARL, ORGANISATION) is expected


def test_users_queues_own_domains_and_mailboxes_are_never_external() -> None:
    parties = [
        ParentParty("u@partner.com", "systemuser", "1"),
        ParentParty("q@partner.com", "queue", "1"),
        ParentParty("x@contoso.com", "contact", "1"),
        ParentParty(ALIAS, None, None),
        ParentParty(HELP, None, None),
        ParentParty(None, None, None),
    ]
    assert external_parties(parties, ORGANISATION) == set()
    assert external_parties([ParentParty("Carl@Fabrikam.com", "contact", CARL_ID.upper())], ORGANISATION) == {
        CARL,
        ("contact", CARL_ID),
    }


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


def test_a_table_that_is_called_otherwise_says_so() -> None:
    assert Record("new_visit", "1", collection="new_visitset").reference == "/new_visitset(1)"
