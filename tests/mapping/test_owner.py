from __future__ import annotations

import pytest

from mapping.direction import Copy, sender_of
from mapping.matches import Match, Matches
from mapping.message import Message
from mapping.owner import NOBODY, Owner, fallback, owner_of, queue_of
from mapping.records import Record
from tests.mapping.mail import (
    ALIAS,
    ANN,
    ANN_ID,
    BEN,
    BEN_ID,
    CARL,
    HELP,
    HELP_ID,
    INBOX,
    MATCHES,
    ORGANISATION,
    SENT,
    STRANGER,
    message,
    policy,
)

TEAM_ID = "0f5c6f2e-0000-4000-8000-000000000000"
TEAM = Record("team", TEAM_ID)
ANN_S, BEN_S = Record("systemuser", ANN_ID), Record("systemuser", BEN_ID)
HELP_S = Owner(None, "queue", queue=Record("queue", HELP_ID))
IN_BENS, IN_HELPS = Copy(BEN, frozenset({"\\Inbox"})), Copy(HELP, frozenset({"\\Inbox"}))
ALIASED = MATCHES | {ALIAS: MATCHES[ANN]}
GONE = MATCHES | {ANN: Match("systemuser", ANN_ID, "Ann", active=False)}
CLOSED = MATCHES | {HELP: Match("queue", HELP_ID, "Help", active=False)}
NO_USER = {address: match for address, match in MATCHES.items() if address != ANN}
FALLBACK = f"owner.fallback = 'team:{TEAM_ID}'"
ANN_FOR_TEAM = f"[mailboxes.'{ANN}']\nowner = 'team:{TEAM_ID}'"
BEN_FOR_TEAM = f"[mailboxes.'{BEN}']\nowner = 'team:{TEAM_ID}'"


def owner(mail: Message, copy: Copy, matches: Matches, text: str) -> Owner:
    sender = sender_of(mail, copy, matches, ORGANISATION)
    return owner_of(mail, sender, copy=copy, matches=matches, organisation=ORGANISATION, policy=policy(text))


@pytest.mark.parametrize(
    ("mail", "copy", "matches", "text", "expected"),
    [
        # outgoing
        pytest.param(message(from_=ANN, to=[CARL]), SENT, MATCHES, "", Owner(ANN_S, "sender"), id="its sender"),
        pytest.param(message(from_=ANN, to=[BEN]), IN_BENS, MATCHES, "", Owner(ANN_S, "sender"), id="in any copy"),
        pytest.param(message(from_=ALIAS, to=[CARL]), SENT, ALIASED, "", Owner(ANN_S, "sender"), id="under an alias"),
        pytest.param(message(from_=STRANGER), SENT, MATCHES, "", Owner(ANN_S, "sender"), id="under a foreign address"),
        pytest.param(message(from_=HELP, to=[CARL]), IN_HELPS, MATCHES, "", HELP_S, id="of a queue, that one's owner"),
        pytest.param(
            message(from_="ben@agency.org", to=[ANN]),
            INBOX,
            MATCHES | {"ben@agency.org": MATCHES[BEN]},
            "",
            Owner(BEN_S, "sender"),
            id="a user whose mailbox is not connected",
        ),
        pytest.param(message(from_=ANN, to=[BEN]), SENT, GONE, "", NOBODY, id="a sender who left gives way"),
        pytest.param(message(from_=ANN, to=[BEN]), SENT, GONE, FALLBACK, Owner(TEAM, "fallback"), id="to the fallback"),
        pytest.param(message(from_=ANN, to=[BEN]), SENT, NO_USER, "", Owner(BEN_S, "recipient"), id="no user sends"),
        pytest.param(
            message(from_=ANN, to=[BEN]),
            SENT,
            NO_USER | {ANN: MATCHES[CARL]},
            "",
            Owner(BEN_S, "recipient"),
            id="a sender who is but a contact",
        ),
        # incoming
        pytest.param(message(from_=CARL, to=[BEN]), INBOX, MATCHES, "", Owner(BEN_S, "recipient"), id="who it is to"),
        pytest.param(
            message(from_=CARL, to=[BEN, ANN]), INBOX, MATCHES, "", Owner(BEN_S, "recipient"), id="the first of several"
        ),
        pytest.param(
            message(from_=CARL, to=[STRANGER], cc=[BEN, ANN]), INBOX, MATCHES, "", Owner(BEN_S, "recipient"), id="in Cc"
        ),
        pytest.param(
            message(from_=CARL, to=["Ann+X@Contoso.com"]),
            IN_BENS,
            MATCHES | {"ann+x@contoso.com": MATCHES[ANN]},
            "",
            Owner(ANN_S, "recipient"),
            id="an address with a tag",
        ),
        pytest.param(
            message(from_=CARL, to=[HELP, BEN]), INBOX, MATCHES, "", Owner(BEN_S, "recipient"), id="a user before a queue"
        ),
        pytest.param(message(from_=CARL, to=[HELP]), INBOX, MATCHES, "", HELP_S, id="a queue's owner"),
        pytest.param(
            message(from_=CARL, to=["eve@contoso.com", BEN]),
            INBOX,
            MATCHES | {"eve@contoso.com": Match("systemuser", "1", None, active=True)},
            "",
            Owner(BEN_S, "recipient"),
            id="a user whose mailbox is not connected is passed over",
        ),
        pytest.param(
            message(from_=CARL, to=[ANN, BEN]), INBOX, GONE, "", Owner(BEN_S, "recipient"), id="who left is passed over"
        ),
        pytest.param(message(from_=CARL, bcc=[BEN]), INBOX, MATCHES, "", Owner(ANN_S, "mailbox"), id="a Bcc is no To"),
        pytest.param(
            message(from_=CARL, to=["list@x.org"]), INBOX, MATCHES, "", Owner(ANN_S, "mailbox"), id="by way of a list"
        ),
        pytest.param(message(from_=CARL), IN_HELPS, MATCHES, "", HELP_S, id="a queue's mailbox, that one's owner"),
        pytest.param(message(from_=CARL), IN_HELPS, CLOSED, "", NOBODY, id="a closed queue owns nothing"),
        pytest.param(message(from_=CARL), INBOX, NO_USER, "", NOBODY, id="a mailbox that is nobody's"),
        pytest.param(message(from_=CARL), INBOX, NO_USER, FALLBACK, Owner(TEAM, "fallback"), id="or the fallback's"),
        # as the policy says
        pytest.param(
            message(from_=ANN, to=[CARL]), SENT, MATCHES, ANN_FOR_TEAM, Owner(TEAM, "policy"), id="of a mailbox's sender"
        ),
        pytest.param(
            message(from_=ALIAS, to=[CARL]), SENT, ALIASED, ANN_FOR_TEAM, Owner(TEAM, "policy"), id="under an alias too"
        ),
        pytest.param(
            message(from_=STRANGER, to=[CARL]), SENT, MATCHES, ANN_FOR_TEAM, Owner(TEAM, "policy"), id="under any other"
        ),
        pytest.param(
            message(from_=ANN, to=[BEN]), IN_BENS, NO_USER, ANN_FOR_TEAM, Owner(TEAM, "policy"), id="of one that is nobody's"
        ),
        pytest.param(
            message(from_=CARL, to=[ANN]), IN_BENS, NO_USER, ANN_FOR_TEAM, Owner(TEAM, "policy"), id="of a recipient"
        ),
        pytest.param(
            message(from_=CARL, to=[ALIAS]), IN_BENS, MATCHES, ANN_FOR_TEAM, Owner(TEAM, "policy"), id="by its alias"
        ),
        pytest.param(
            message(from_=CARL, to=[ANN, BEN]), INBOX, MATCHES, BEN_FOR_TEAM, Owner(ANN_S, "recipient"), id="not of a later one"
        ),
        pytest.param(message(from_=CARL), INBOX, MATCHES, ANN_FOR_TEAM, Owner(TEAM, "policy"), id="of the mailbox itself"),
        pytest.param(message(from_=ANN, to=[CARL]), SENT, GONE, ANN_FOR_TEAM, Owner(TEAM, "policy"), id="of who left"),
        pytest.param(message(from_=CARL, to=[HELP]), INBOX, MATCHES, BEN_FOR_TEAM, HELP_S, id="not of others"),
    ],
)  # fmt: skip
def test_the_owner(mail: Message, copy: Copy, matches: Matches, text: str, expected: Owner) -> None:
    assert owner(mail, copy, matches, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", NOBODY, id="nobody, so the app's own user"),
        pytest.param(FALLBACK, Owner(TEAM, "fallback"), id="a team"),
        pytest.param(
            f"owner.fallback = 'systemuser:{TEAM_ID}'", Owner(Record("systemuser", TEAM_ID), "fallback"), id="a user"
        ),
    ],
)
def test_who_owns_what_nobody_else_can(text: str, expected: Owner) -> None:
    assert fallback(policy(text)) == expected


OTHER = "other@contoso.com"


@pytest.mark.parametrize(
    ("mail", "copy", "matches", "text", "expected"),
    [
        pytest.param(message(from_=CARL, to=[HELP]), INBOX, MATCHES, "", HELP_ID, id="to a queue"),
        pytest.param(message(from_=CARL, to=[ANN], cc=[HELP]), INBOX, MATCHES, "", HELP_ID, id="in Cc"),
        pytest.param(message(from_=CARL, to=["list@x.org"]), IN_HELPS, MATCHES, "", HELP_ID, id="in its mailbox"),
        pytest.param(message(from_=CARL, to=[ANN]), INBOX, MATCHES, "", None, id="to a user"),
        pytest.param(message(from_=HELP, to=[CARL]), IN_HELPS, MATCHES, "", None, id="what a queue sends is no item of it"),
        pytest.param(message(from_=ANN, to=[HELP]), IN_HELPS, MATCHES, "", None, id="nor what we write to it"),
        pytest.param(message(from_=CARL, to=[HELP]), INBOX, MATCHES, "owner.queue_items = false", None, id="switched off"),
        pytest.param(message(from_=CARL, to=[HELP]), INBOX, CLOSED, "", None, id="a closed queue takes none"),
        pytest.param(
            message(from_=CARL, to=[OTHER]),
            INBOX,
            MATCHES | {OTHER: Match("queue", "1", None, active=True)},
            "",
            None,
            id="a queue whose mailbox is not connected",
        ),
    ],
)  # fmt: skip
def test_the_queue_whose_item_a_mail_becomes(
    mail: Message, copy: Copy, matches: Matches, text: str, expected: str | None
) -> None:
    sender = sender_of(mail, copy, matches, ORGANISATION)
    queue = queue_of(mail, sender, copy=copy, matches=matches, organisation=ORGANISATION, policy=policy(text))
    assert (queue.id if queue else None) == expected
