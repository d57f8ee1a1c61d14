"""Hostile input, end to end: it becomes a plain row or is refused, tells the log nothing, and costs no other mail."""

from __future__ import annotations

import gzip
import json
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox.azurite import Azurite
from sandbox.faults import Answer, Fault
from sandbox.mail import Mail
from tests.journeys.office import Copy, Office, Row, Someone, opened, signed

WORDS = ("Hostile-subject", "Hostile-body", "Hostile-name", "hostile-address")
SUBJECT, BODY = "Hostile-subject", "<p>Hostile-body</p>"
VICTIM = "victim.of-the-hostile-address@house.example"
CROWD = 10_000
SPECIALS = string.punctuation.replace("<", "").replace(">", "")
DEEP = 20_000
TYPES = (None, 17, -0.5, True, "x" * 9, [], [[]], {}, {"id": []})


@pytest.fixture(scope="module")
def office(azurite: Azurite) -> Iterator[Office]:
    """An office of its own, so that its whole log is about hostile mail; in the end nothing is left of it on a queue."""
    with opened(azurite, 11) as office:
        office.world.dataverse.add("contact", firstname="The", lastname="Victim", emailaddress1=VICTIM)
        yield office
        assert office.poisoned() == 0


# ---------------------------------------------------------------- posted to the webhook by whoever knows its address


def notification(**changes: Any) -> dict[str, Any]:
    """A notification of a message that no mailbox holds, told in hostile words."""
    about = {"id": "forged", "grant_id": "nobody", "subject": SUBJECT, "body": BODY, "from": [{"email": VICTIM}]}
    return {"type": "message.created", "id": "n-forged", "data": {"object": {**about, **changes}}}


def written(told: object) -> bytes:
    return json.dumps(told).encode()


FORGED = written(notification())
BOMB = gzip.compress(bytes(64 << 20), 1)
GZIP = {"content-encoding": "gzip"}
POSTS: dict[str, tuple[bytes, Mapping[str, str], int]] = {
    "signed with another secret": (FORGED, signed(FORGED, "not the secret"), 401),
    "signed for other bytes": (FORGED, signed(FORGED + b" ", "not the secret"), 401),
    "with the signature in another header": (FORGED, {"x-nylas-signature": "", "x-hub-signature": "0" * 64}, 401),
    "truncated": (FORGED[:-20], {}, 400),
    "truncated while compressed": (gzip.compress(FORGED)[:-9], GZIP, 400),
    "compressed twice": (gzip.compress(gzip.compress(FORGED)), GZIP, 400),
    "oversized": (written(notification(body="x" * (5 << 20))), {}, 413),
    "a bomb": (BOMB, GZIP, 413),
    "an unsigned bomb": (BOMB, {**GZIP, "x-nylas-signature": "0" * 64}, 401),
    "nested deep": (b'{"type": "message.created", "data": ' + b"[" * DEEP + b"]" * DEEP + b"}", {}, 400),
    "nested deep where nothing is read": (
        b'{"type": "message.created", "x": ' + b'{"x":' * DEEP + b"0" + b"}" * DEEP + b"}",
        {},
        400,
    ),
    "no UTF-8": (b'{"type": "message.created", "data": {"object": {"id": "\xff", "grant_id": "g"}}}', {}, 400),
    "UTF-16": (FORGED.decode().encode("utf-16"), {}, 400),
    "an id with a NUL byte as grant": (written(notification(grant_id="a\0b")), {}, 400),
    "an id that leads elsewhere as grant": (written(notification(grant_id="../../admin")), {}, 400),
    "an id that leads elsewhere as message": (written(notification(id="..")), {}, 400),
    "an id of half a surrogate pair": (written(notification(id="\ud83d")), {}, 400),
    "an endless id": (written(notification(id="x" * 5000)), {}, 400),
    **{
        f"with {value!r} as {name}": (written({**notification(), name: value}), {}, 400)
        for name in ("type", "data")
        for value in TYPES
        if not (name == "type" and isinstance(value, str))
    },
    **{f"with {value!r} as message": (written(notification(id=value)), {}, 400) for value in TYPES if value != "x" * 9},
}


@pytest.mark.parametrize("post", POSTS)
def test_a_post_that_is_no_notification_is_refused(office: Office, post: str) -> None:
    """By the answer that makes Nylas give up on it; it leads to no work, and the next mail lands."""
    body, headers, status = POSTS[post]
    before = dict(office.world.nylas.calls)
    assert office.post(body, headers).status_code == status
    assert (dict(office.world.nylas.calls), office.queued("nylas-messages")) == (before, 0)


def test_hostile_posts_cost_no_mail_that_comes_between_them(office: Office) -> None:
    copies = []
    for body, headers, _ in POSTS.values():
        office.post(body, headers)
        copies.append(office.lay(office.mail(office.contact(), office.ida.owner)))
    assert {office.outcome(copy)["kind"] for copy in copies} == {"written"}


def test_a_notification_that_is_replayed_later_changes_nothing(office: Office) -> None:
    """Its signature is as good as ever; what it tells of was done."""
    mail = office.mail(office.contact(), office.ida.owner)
    copy = office.lay(mail, notify=False)
    body = written(notification(id=copy.id, grant_id=copy.grant))
    assert office.post(body, {}).status_code == 200
    office.outcome(copy)
    before = office.emails(mail)
    assert [office.post(body, {}).status_code for _ in range(3)] == [200] * 3
    office.world.wait("the replays", lambda: len(office.said("message_known", message=copy.id)) == 3)
    assert office.emails(mail) == before


# ---------------------------------------------------------------- mail in a mailbox


@dataclass(frozen=True, slots=True)
class Hostile:
    """A mail, as much of it as is hostile."""

    mail: Mapping[str, Any] = field(default_factory=dict)
    sender: tuple[str, str] = ("Hostile-name", "{}@hostile-address.example")
    """Name and address, with a place for what tells this mail from others."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """What Nylas shows instead."""
    message: str | None = None
    """The id that the message has in its mailbox."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """Columns of its email."""


def dated(date: float, sortdate: str | None) -> Hostile:
    return Hostile(mail={"date": date}, row={"sortdate": sortdate})


def injected(address: str) -> Hostile:
    """A sender's address that says in OData that it is the victim's."""
    return Hostile(sender=("Hostile-name", address.replace("VICTIM", VICTIM)))


MAILS: dict[str, Hostile] = {
    "an OData condition in an address": injected("x{}' or emailaddress1 eq 'VICTIM"),
    "an OData list in an address": injected("x{}','VICTIM"),
    "an OData list in double quotes in an address": injected('x{}","VICTIM'),
    "the end of a query in an address": injected("x{}')&$filter=contains(emailaddress1,'victim')&$top=1#@x.example"),
    "the end of a query, encoded, in an address": injected("x{}%27%29%26%24top=1@x.example"),
    "a batch in an address": injected("x{}\r\n--batch--\r\nGET /api/data/v9.2/contacts HTTP/1.1\r\n\r\n@x.example"),
    "a NUL byte in an address": injected("x{}\0@hostile-address.example"),
    "an endless address": injected("x{}" + "x" * 5000 + "@hostile-address.example"),
    "a sender without address": Hostile(overrides={"from": [{"name": "Hostile-name"}]}),
    "no sender": Hostile(overrides={"from": []}),
    "people that are none": Hostile(overrides={"to": [None, {}, {"name": None, "email": ""}], "cc": None}),
    "ten thousand recipients": Hostile(
        mail={"cc": [Someone(None, f"r{number}@hostile-address.example") for number in range(CROWD)]}  # type: ignore[arg-type]
    ),
    "line ends in a name": Hostile(sender=("Hostile-name\r\nBcc: x\n\n", "{}@hostile-address.example")),
    "line ends in the subject": Hostile(
        overrides={"subject": f"{SUBJECT}\r\nBcc: x\n\nbody"}, row={"subject": f"{SUBJECT} Bcc: x body"}
    ),
    "NUL bytes and other controls": Hostile(
        overrides={"subject": f"{SUBJECT}\0\x1b[2J\x7f\u2028end", "body": f"{BODY}\0\x08\uffff"},
        row={"subject": f"{SUBJECT}[2J end"},
    ),
    "an endless subject": Hostile(overrides={"subject": SUBJECT + "🌞" * 50_000}),
    "HTML that runs scripts": Hostile(
        mail={
            "body": f"{BODY}<script>alert(1)</script><img src=x onerror=alert(1)><svg/onload=alert(1)>"
            "<a href='java\tscript:alert(1)'>x</a><iframe srcdoc='<script>alert(1)</script>'></iframe>"
            "<form action='https://x.example'><input></form><math><mtext></mtext><script>alert(1)</script></math>"
            "<style>@import 'x'; p{background:url(javascript:alert(1))}</style><object data='x'></object>"
        }
    ),
    "HTML nested deep": Hostile(mail={"body": "<div>" * DEEP + BODY + "</div>" * DEEP}),
    "HTML of open tags alone": Hostile(mail={"body": BODY + "<b<" * DEEP}),
    "a Message-ID of 5 kB": Hostile(mail={"message_id": "<" + "m" * 5000 + "{}@x.example>"}, row={"messageid": None}),
    "every special character in the Message-ID": Hostile(mail={"message_id": f"<{SPECIALS}{{}}@x.example>"}),
    "the end of a query in the Message-ID": Hostile(
        mail={"message_id": "<x{}') or startswith(subject,'')&$top=1#@x.example>"}
    ),
    "line ends in the Message-ID": Hostile(mail={"message_id": "<x{}\r\n folded\r\n\tagain@x.example>"}),
    "ancestors without end": Hostile(
        mail={"references": " ".join(f"<'{number}%27@x.example>" for number in range(2000))}
    ),
    "an id that needs encoding": Hostile(message="AAk/a b?c=d&e#f%2F'é+\\~🌞"),
    "an id with line ends": Hostile(message="AAk\r\nevent=email_written \0"),
    "a date of 0": dated(0, "1970-01-01T00:00:00Z"),
    "a negative date": dated(-1, "1969-12-31T23:59:59Z"),
    "a date long before Dataverse": dated(-20_000_000_000, None),
    "the last second of the year 9999": dated(253_402_300_799, None),
    "a date in the year 10000": dated(253_402_300_800, None),
    "a date beyond all years": dated(10**14, None),
}


@dataclass(frozen=True, slots=True)
class Laid:
    """A hostile mail and where it lies."""

    mail: Mail
    copy: Copy


def composed(office: Office, number: int, hostile: Hostile) -> Mail:
    """The mail to Ida and Marcus, told from others by its number."""
    name, address = hostile.sender
    sender = Someone(name, address.replace("{}", f"h{number}"))
    more = dict(hostile.mail)
    if "message_id" in more:
        more["message_id"] = more["message_id"].replace("{}", str(number))
    words = {"subject": f"{SUBJECT} {number}", "body": BODY, **more}
    return office.mail(sender, (office.ida.owner, office.marcus.owner), **words)


@pytest.fixture(scope="module")
def laid(office: Office) -> dict[str, Laid]:
    """All of them in one mailbox at once, with an ordinary mail after each."""
    found = {}
    for number, (name, hostile) in enumerate(MAILS.items()):
        mail = composed(office, number, hostile)
        copy = office.lay(mail, overrides=hostile.overrides, message_id=hostile.message)
        ordinary = office.mail(office.contact(), office.ida.owner)
        found[name] = Laid(mail, copy)
        found[f"after {name}"] = Laid(ordinary, office.lay(ordinary))
    return found


def texts(email: Row) -> Iterator[str]:
    """What of an email stands on one line wherever it is shown."""
    columns = ("subject", "sender", "torecipients", "messageid")
    yield from (str(email[column]) for column in columns if email[column] is not None)
    for party in email["parties"]:
        yield from (
            str(party[column]) for column in ("addressused", "unresolvedpartyname") if party[column] is not None
        )


@pytest.mark.parametrize("name", MAILS)
def test_a_hostile_mail_becomes_one_plain_completed_email(office: Office, laid: dict[str, Laid], name: str) -> None:
    """With nothing in it that runs, breaks a line or binds a row whose address it does not have."""
    record = office.outcome(laid[name].copy)
    assert (record["kind"], record["reason"]) == ("written", "none")
    email = office.email(record["activityid"])
    assert (email["statecode"], email["statuscode"], email["_regardingobjectid_value"]) == (1, 4, None)
    assert {column: email[column] for column in MAILS[name].row} == MAILS[name].row
    assert all(text.isprintable() for text in texts(email))
    assert not re.search(r"<(script|iframe|form|object|input|svg|math)\b|\bon\w+\s*=|script:", email["description"])
    assert "Hostile-body" in email["description"]
    bound = {party["_partyid_value"] for party in email["parties"] if party["participationtypemask"] in {1, 2, 3, 4}}
    assert bound <= {office.ida.owner.id, office.marcus.owner.id, None}


@pytest.mark.parametrize("name", MAILS)
def test_a_mail_that_comes_after_a_hostile_one_lands(office: Office, laid: dict[str, Laid], name: str) -> None:
    record = office.outcome(laid[f"after {name}"].copy)
    assert record["kind"] == "written"


@pytest.mark.parametrize("name", [name for name, hostile in MAILS.items() if "message_id" in hostile.mail])
def test_a_second_copy_under_a_hostile_message_id_is_the_same_mail(
    office: Office, laid: dict[str, Laid], name: str
) -> None:
    first = office.outcome(laid[name].copy)
    second = office.outcome(office.lay(laid[name].mail, office.marcus))
    assert (second["kind"], second["activityid"]) == ("already_there", first["activityid"])


def test_a_mail_that_holds_half_a_surrogate_pair_lands(office: Office) -> None:
    """Some encoders write one, as an escape; no text of Dataverse's can hold it."""
    mail = office.mail(Someone("Hostile-name", "half@hostile-address.example"), office.ida.owner)
    copy = office.lay(mail, notify=False, message_id="half-a-pair")
    (shown,) = (one for one in office.world.nylas.messages(copy.grant) if one["id"] == copy.id)
    half = {"subject": f"{SUBJECT} \ud83d end", "body": f"{BODY}\udc00"}
    office.world.faults["nylas"].add(
        Fault(Answer(200, body=written({"data": {**shown, **half}})), path=copy.id, times=1)
    )
    assert office.post(written(notification(id=copy.id, grant_id=copy.grant, **half)), {}).status_code == 200
    email = office.email(office.outcome(copy)["activityid"])
    assert (email["subject"], email["description"]) == (f"{SUBJECT} \ufffd end", f"{BODY}\ufffd")


def test_hostile_input_tells_the_log_nothing(office: Office, laid: dict[str, Laid]) -> None:
    """No address, no subject, no body, no secret, and no line that it made up."""
    for body, headers, _ in POSTS.values():
        office.post(body, headers)
    for one in laid.values():
        office.outcome(one.copy)
    told = "\n".join(office.world.host.log)
    assert not [word for word in (*WORDS, "hostile", "victim", "@", office.world.webhook.secret) if word in told]
    assert not [line for line in office.world.host.log if line.startswith("event=")]
    assert not office.said("ingest_unavailable")
    assert "unexpected_failure" not in told
