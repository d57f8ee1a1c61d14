from __future__ import annotations

import pytest

from mapping.direction import Sender
from mapping.matches import Match
from mapping.parties import Party, Role, parties_of, people_of
from tests.mapping.mail import ANN, CARL, CARL_ID, DORA, HELP, MATCHES, STRANGER, message

NO_SENDER = Sender(None, None, None, is_ours=False)
LONG = "x" * 309 + "@nowhere.org"


def test_every_role_has_its_mask() -> None:
    mail = message(from_=ANN, to=[CARL], cc=[DORA], bcc=[STRANGER])
    parties = parties_of(mail, Sender(ANN, None, MATCHES[ANN], is_ours=True), MATCHES)
    assert [(party.row()["participationtypemask"], party.address) for party in parties] == [
        (1, ANN),
        (2, CARL),
        (3, DORA),
        (4, STRANGER),
    ]


@pytest.mark.parametrize(
    ("table", "bind", "entity_set"),
    [
        pytest.param("systemuser", "partyid_systemuser@odata.bind", "systemusers", id="user"),
        pytest.param("queue", "partyid_queue@odata.bind", "queues", id="queue"),
        pytest.param("contact", "partyid_contact@odata.bind", "contacts", id="contact"),
        pytest.param("account", "partyid_account@odata.bind", "accounts", id="account"),
        pytest.param("lead", "partyid_lead@odata.bind", "leads", id="lead"),
    ],
)
def test_a_match_is_bound_under_the_name_of_its_table(table: str, bind: str, entity_set: str) -> None:
    party = Party(Role.TO, CARL, "Carl", Match(table, CARL_ID, None, active=True))
    assert party.row() == {
        "participationtypemask": 2,
        "addressused": CARL,
        bind: f"/{entity_set}({CARL_ID})",
    }


def test_who_is_nobody_keeps_address_and_name() -> None:
    (party,) = parties_of(message(to=[("Str  Anger\n", f" {STRANGER} ")]), NO_SENDER, MATCHES)
    assert party.row() == {
        "participationtypemask": 2,
        "addressused": STRANGER,
        "unresolvedpartyname": "Str Anger",
    }


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        pytest.param(["Carl@Fabrikam.com", CARL, f"<{CARL}>"], ["Carl@Fabrikam.com"], id="one address once"),
        pytest.param([None, "", " ", (None, None), ("Name", None)], [], id="nobody without an address"),
        pytest.param(["/O=X/CN=Y", "/o=x/cn=y"], ["/O=X/CN=Y"], id="an Exchange name is kept, once"),
        pytest.param([LONG[1:]], [LONG[1:]], id="320 units fit"),
        pytest.param([LONG, CARL], [CARL], id="a longer address is left out, never cut"),
        pytest.param(["x" * 320 + f"<{CARL}>"], [CARL], id="a longer text around an address is left off"),
    ],
)
def test_recipients(to: list[str], expected: list[str]) -> None:
    parties = parties_of(message(to=to), NO_SENDER, MATCHES)
    assert [party.address for party in parties] == expected


def test_an_address_in_two_roles_is_two_parties() -> None:
    parties = parties_of(message(to=[CARL], cc=[CARL]), NO_SENDER, MATCHES)
    assert [party.role for party in parties] == [Role.TO, Role.CC]


def test_no_sender_is_no_party() -> None:
    assert parties_of(message(), Sender(None, "Only a name", None, is_ours=False), MATCHES) == ()


def test_a_sender_whose_address_does_not_fit_stays_as_the_row() -> None:
    (party,) = parties_of(message(), Sender(LONG, None, MATCHES[ANN], is_ours=True), MATCHES)
    assert party == Party(Role.SENDER, None, None, MATCHES[ANN])


def test_a_long_name_is_cut_at_a_whole_character() -> None:
    row = Party(Role.TO, STRANGER, "x" * 199 + "😀", None).row()
    assert row["unresolvedpartyname"] == "x" * 199


def test_people_are_asked_for_once_in_the_order_of_the_mail() -> None:
    mail = message(from_=[ANN], to=["CARL@fabrikam.com", HELP, LONG], cc=[CARL, DORA, "nobody"], bcc=[ANN, STRANGER])
    assert people_of(mail) == (ANN, CARL, HELP, DORA, STRANGER)
