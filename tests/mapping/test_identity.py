"""The activityid of a mail. The literal ids here stand in Dataverse: a change of one is a second copy of every mail."""

from __future__ import annotations

from uuid import UUID

import pytest

from mapping.identity import (
    ALGORITHM,
    NAMESPACE,
    Identity,
    activityid_of,
    ancestors,
    canonical_message_id,
    identity_of,
    in_reply_to,
    is_reply,
)
from mapping.message import Message
from tests.mapping.mail import ANN, CARL, DORA, message

WITHOUT_ID = message(
    from_=("Carl", "Carl@Fabrikam.com"), to=[DORA, ANN], cc=[], subject="Hi  there", date=1_700_000_000
)


def test_the_algorithm_is_the_first_and_its_namespace_is_fixed() -> None:
    assert ALGORITHM == 1
    assert UUID("6f0b6f3e-5d0c-4f0a-9b57-2b1f5a7c9d41") == NAMESPACE


@pytest.mark.parametrize(
    ("message_id", "expected"),
    [
        pytest.param("CAF=abc123@mail.gmail.com", "78eb077e-110a-5461-9ee4-6b040252ffca", id="Gmail"),
        pytest.param(
            "DB7PR01MB4321AB@DB7PR01MB4321.eurprd01.prod.outlook.com",
            "68fd26f0-5093-5da4-bcf8-7023bea704fc",
            id="Outlook",
        ),
        pytest.param("日本@example.jp", "75bb8628-546a-5efa-a021-a3ad8067f0c9", id="beyond ASCII"),
        pytest.param("x" * 1000 + "@example.com", "45b5cef3-3749-5ce8-8012-8c45b8356ba2", id="too long for the column"),
    ],
)
def test_golden_message_ids(message_id: str, expected: str) -> None:
    mail = message(headers={"Message-ID": f"<{message_id}>"})
    assert str(identity_of(mail, ANN).activityid) == expected
    assert str(activityid_of(message_id)) == expected


@pytest.mark.parametrize(
    ("mail", "mailbox", "expected"),
    [
        pytest.param(WITHOUT_ID, ANN, "b743f616-76d2-5c3a-8fae-ffbc2cc8be42", id="ordinary"),
        pytest.param(
            message(date=None, headers=[]), ANN, "aa393bf8-19e7-5a36-b977-c4e942dac808", id="nothing but a mailbox"
        ),
        pytest.param(
            message(subject="=?", from_="/O=X/CN=Y", to=["é@münchen.de"], bcc=[CARL]),
            "日本",
            "64cba4ca-774c-5e9d-a538-f1c33e93fd1b",
            id="odd people",
        ),
    ],
)
def test_golden_mails_without_message_id(mail: Message, mailbox: str, expected: str) -> None:
    assert str(identity_of(mail, mailbox).activityid) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param("<a@b>", "a@b", id="brackets off"),
        pytest.param("a@b", "a@b", id="none there"),
        pytest.param("  <a@b>\r\n", "a@b", id="space around"),
        pytest.param("<a\r\n b@c>", "ab@c", id="folded"),
        pytest.param("<<a@b>>", "a@b", id="brackets twice"),
        pytest.param("<a@b", "a@b", id="bracket left open"),
        pytest.param("<a@b> (added by relay) <c@d>", "a@b", id="the first of two"),
        pytest.param("<AbC@Example.COM>", "AbC@Example.COM", id="case is kept"),
        pytest.param("<a\x00@b>", "a@b", id="NUL inside"),
        pytest.param("<a\ud800@b>", "a\ufffd@b", id="lone surrogate"),
        pytest.param("< >", None, id="empty brackets"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="absent"),
    ],
)
def test_canonical_message_id(raw: str | None, expected: str | None) -> None:
    assert canonical_message_id(raw) == expected


@pytest.mark.parametrize(
    ("length", "expected"),
    [pytest.param(318, True, id="320 units with brackets"), pytest.param(319, False, id="one more stays empty")],
)
def test_the_column_holds_a_whole_message_id_or_none(length: int, expected: bool) -> None:
    message_id = "x" * length
    identity = Identity(activityid_of(message_id), message_id, synthetic=False)
    assert identity.messageid == (f"<{message_id}>" if expected else None)


def test_the_column_counts_utf_16_units() -> None:
    assert Identity(NAMESPACE, "😀" * 160, synthetic=False).messageid is None


def test_a_mail_without_message_id_has_none_to_write() -> None:
    identity = identity_of(WITHOUT_ID, ANN)
    assert identity.synthetic
    assert identity.message_id is None
    assert identity.messageid is None


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(
            message(from_="carl@fabrikam.com", to=[ANN, DORA], subject=" Hi there ", date=1_700_000_000.0),
            id="names, order, blanks and the kind of number do not count",
        ),
        pytest.param(
            message(from_=CARL, cc=[DORA], bcc=[None, ANN], subject="Hi there", folders=["x"], body="b", headers=None),
            id="nor do role, folder and body",
        ),
    ],
)
def test_the_same_mail_without_message_id(same: Message) -> None:
    assert identity_of(same, ANN.upper()) == identity_of(WITHOUT_ID, ANN)


@pytest.mark.parametrize(
    ("other", "mailbox"),
    [
        pytest.param(WITHOUT_ID, DORA, id="in another mailbox"),
        pytest.param(message(from_=ANN, to=[DORA, ANN], subject="Hi there"), ANN, id="from another sender"),
        pytest.param(
            message(from_=CARL, to=[DORA, ANN], subject="Hi there", date=1_700_000_001), ANN, id="a second later"
        ),
        pytest.param(message(from_=CARL, to=[DORA, ANN], subject="Hi there!"), ANN, id="about something else"),
        pytest.param(message(from_=CARL, to=[DORA], subject="Hi there"), ANN, id="to fewer people"),
        pytest.param(message(from_=CARL, to=[DORA, ANN, ANN], subject="Hi there"), ANN, id="twice to one of them"),
        pytest.param(message(to=[CARL, DORA, ANN], subject="Hi there"), ANN, id="From among the recipients"),
    ],
)
def test_another_mail_without_message_id(other: Message, mailbox: str) -> None:
    assert identity_of(other, mailbox).activityid != identity_of(WITHOUT_ID, ANN).activityid


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, (), id="none"),
        pytest.param({"In-Reply-To": "<p@x>"}, ("p@x",), id="In-Reply-To"),
        pytest.param({"REFERENCES": "<a@x>\r\n <b@x> <c@x>"}, ("c@x", "b@x", "a@x"), id="References from the end"),
        pytest.param(
            {"References": "<a@x> <p@x>", "In-Reply-To": "<p@x>"}, ("p@x", "a@x"), id="In-Reply-To first, each once"
        ),
        pytest.param({"In-Reply-To": "Your message of Monday"}, (), id="words are no id"),
        pytest.param({"References": "a@x, b@x"}, ("b@x", "a@x"), id="without brackets"),
        pytest.param({"In-Reply-To": "<> <a b@x>"}, ("ab@x",), id="empty and broken brackets"),
        pytest.param({"Message-ID": "<me@x>", "References": "<me@x> <a@x>"}, ("a@x",), id="never the mail itself"),
    ],
)
def test_ancestors(headers: dict[str, str], expected: tuple[str, ...]) -> None:
    assert ancestors(message(headers=headers)) == expected


def test_of_a_long_chain_the_nearest_and_the_first_are_named() -> None:
    references = " ".join(f"<{number}@x>" for number in range(1000))
    nearest = tuple(f"{number}@x" for number in range(999, 960, -1))
    assert ancestors(message(headers={"References": references})) == (*nearest, "0@x")


@pytest.mark.parametrize(
    ("headers", "reply_to", "reply"),
    [
        pytest.param({"In-Reply-To": "<p@x>"}, "p@x", True, id="answers"),
        pytest.param({"References": "<p@x>"}, None, True, id="continues"),
        pytest.param({"In-Reply-To": "  ", "References": ""}, None, False, id="empty headers"),
        pytest.param({"In-Reply-To": "Monday's"}, None, True, id="answers something unnamed"),
        pytest.param({"Message-ID": "<p@x>"}, None, False, id="begins"),
    ],
)
def test_is_reply(headers: dict[str, str], reply_to: str | None, reply: bool) -> None:
    assert in_reply_to(message(headers=headers)) == reply_to
    assert is_reply(message(headers=headers)) is reply
