from __future__ import annotations

import pytest

from mapping.addresses import normalise
from mapping.direction import Copy, Direction, Sender, direction_of, sender_of
from mapping.matches import Match, Matches, Organisation
from tests.mapping.mail import ANN, CARL, HELP, INBOX, MATCHES, ORGANISATION, SENT, STRANGER, message

IN, OUT = Direction.INCOMING, Direction.OUTGOING
NOBODY = Organisation(frozenset(), frozenset())
DELEGATE = Copy(ANN, frozenset({"\\Archive", "\\SENT"}))


@pytest.mark.parametrize(
    ("written", "copy", "matches", "organisation", "expected"),
    [
        pytest.param(ANN, INBOX, {}, ORGANISATION, OUT, id="from a connected mailbox"),
        pytest.param("Ann.Alias@Contoso.net", INBOX, {}, ORGANISATION, OUT, id="from an alias of one"),
        pytest.param("ann+offers@contoso.com", INBOX, {}, ORGANISATION, OUT, id="from one with a tag"),
        pytest.param(ANN, INBOX, MATCHES, NOBODY, OUT, id="from a Dataverse user"),
        pytest.param(HELP, INBOX, MATCHES, NOBODY, OUT, id="from a queue"),
        pytest.param(CARL, INBOX, MATCHES, ORGANISATION, IN, id="from a contact"),
        pytest.param(STRANGER, INBOX, MATCHES, ORGANISATION, IN, id="from a stranger"),
        pytest.param(
            "new@contoso.com", INBOX, MATCHES, ORGANISATION, IN, id="an own domain alone does not send for us"
        ),
        pytest.param(STRANGER, SENT, MATCHES, ORGANISATION, OUT, id="a stranger's address in the Sent folder"),
        pytest.param(CARL, DELEGATE, MATCHES, ORGANISATION, OUT, id="a contact's address in one of several folders"),
        pytest.param(None, SENT, MATCHES, ORGANISATION, OUT, id="no From in the Sent folder"),
        pytest.param(None, INBOX, MATCHES, ORGANISATION, IN, id="no From elsewhere"),
    ],
)
def test_direction(
    written: str | None, copy: Copy, matches: Matches, organisation: Organisation, expected: Direction
) -> None:
    mail = message(from_=written, to=[CARL])
    assert direction_of(mail, copy, matches, organisation) is expected


def test_the_sender_is_who_the_mail_says() -> None:
    sender = sender_of(message(from_=[("Carl  C.", " Carl@Fabrikam.com ")]), INBOX, MATCHES, ORGANISATION)
    assert sender == Sender("Carl@Fabrikam.com", "Carl C.", MATCHES[CARL], is_ours=False)


def test_in_the_sent_folder_a_stranger_s_address_is_the_mailbox_s_user() -> None:
    sender = sender_of(message(from_=[("Ann", "newsletter@agency.com")]), SENT, MATCHES, ORGANISATION)
    assert sender == Sender("newsletter@agency.com", "Ann", MATCHES[ANN], is_ours=True, own_address=ANN)


def test_in_the_sent_folder_another_user_of_ours_stays_the_sender() -> None:
    """A delegate's copy: the mail was sent for the other one, and the recipient's copy says so too."""
    sender = sender_of(message(from_=HELP), SENT, MATCHES, ORGANISATION)
    assert sender == Sender(HELP, None, MATCHES[HELP], is_ours=True, own_address=HELP)


def test_in_the_sent_folder_no_from_means_the_mailbox() -> None:
    sender = sender_of(message(from_=None), SENT, MATCHES, ORGANISATION)
    assert sender == Sender(ANN, None, MATCHES[ANN], is_ours=True, own_address=ANN)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param([None, ("Only a name", None), CARL, STRANGER], CARL, id="the first with an address"),
        pytest.param(["/O=CONTOSO/CN=X", CARL], CARL, id="an address before an Exchange name"),
        pytest.param(["", "/O=CONTOSO/CN=X"], "/O=CONTOSO/CN=X", id="an Exchange name before nothing"),
        pytest.param([("Only a name", "")], None, id="a name is no address"),
    ],
)
def test_of_several_from_the_first_usable_one_is_the_sender(written: list[str], expected: str | None) -> None:
    assert sender_of(message(from_=written), INBOX, MATCHES, ORGANISATION).address_used == expected


def test_an_inactive_user_s_mail_is_still_outgoing() -> None:
    matches = {STRANGER: Match("systemuser", "1", None, active=False)}
    assert direction_of(message(from_=STRANGER), INBOX, matches, NOBODY) is OUT
    assert normalise(STRANGER) in matches


@pytest.mark.parametrize(
    ("names", "wanted", "expected"),
    [
        pytest.param({"inbox", "sales"}, {"sales", "support"}, True, id="one of its labels"),
        pytest.param({"inbox"}, {"sales"}, False, id="another"),
        pytest.param(set(), {"sales"}, False, id="no folder"),
        pytest.param({"inbox"}, set(), False, id="no name asked for"),
    ],
)
def test_a_copy_lies_in_a_folder_by_its_name(names: set[str], wanted: set[str], expected: bool) -> None:
    assert Copy(ANN, frozenset(), frozenset(names)).is_named(frozenset(wanted)) is expected
