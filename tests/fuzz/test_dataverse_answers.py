"""Whatever Dataverse answers is what was asked for or one of our errors; in a batch, in a part of one, or alone."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync.dataverse import batch
from mailsync.dataverse.address_book import AddressBook
from mailsync.dataverse.answers import complaint_of, evidence_of, failure_of
from mailsync.dataverse.attachments import BLOCK
from mailsync.dataverse.creation import Creation
from mailsync.dataverse.definitions import Definitions
from mailsync.dataverse.emails import Emails
from mailsync.dataverse.resolver import Question, Resolver
from mailsync.dataverse.web_api import WebApi, limits_of
from mailsync.errors import MailSyncError, Scope
from mailsync.gates import Gate
from mailsync.transport import Answer
from mapping.attachments import File, Files, Limits
from mapping.direction import Copy
from mapping.email_activity import EmailActivity
from mapping.identity import Identity, activityid_of, identity_of
from mapping.mapper import Known, map_message
from mapping.matches import Organisation
from mapping.message import Header, Message, Participant
from mapping.owner import Owner
from mapping.policy import CASE, OPPORTUNITY, Policy, RelatedTable
from mapping.records import Record
from mapping.regarding import Found, Parent
from tests.fuzz.material import WAITS, Vendor, come_of, damaged, headers, json_bytes, seeded, status, tries
from tests.mailsync.parts import FixedToken

SECRET = "Very secret"
ROW = {
    "@odata.etag": 'W/"1"',
    "activityid": "0b9c2a4e-1111-4222-8333-444455556666",
    "messageid": "<a@fabrikam.example>",
    "statecode": 1,
    "statuscode": 4,
    "subject": SECRET,
    "description": f"<p>{SECRET}</p>",
    "_regardingobjectid_value": "0b9c2a4e-0000-4222-8333-444455556666",
    "_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "contact",
    "_parentactivityid_value": None,
    "email_activity_parties": [
        {
            "participationtypemask": 1,
            "addressused": "dora@fabrikam.example",
            "_partyid_value": "0b9c2a4e-0000-4222-8333-444455556666",
            "_partyid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "contact",
        }
    ],
}
PERSON = {
    "contactid": "0b9c2a4e-0000-4222-8333-444455556666",
    "fullname": SECRET,
    "emailaddress1": "dora@fabrikam.example",
    "emailaddress2": None,
    "emailaddress3": None,
    "statecode": 0,
}
ERROR = {"error": {"code": "0x80040265", "message": f"{SECRET} of dora@fabrikam.example"}}
CODES = ("0x80072322", "0x80044151", "0x80040217", "0x80040237", "0x80060888", "0x80060892", "", "\u202e", "x" * 500)
GOOD = (
    {"value": []},
    {"value": [ROW]},
    {"value": [ROW, PERSON]},
    {"value": [PERSON]},
    ROW,
    ERROR,
    *({"error": {"code": code, "message": SECRET}} for code in CODES),
)
LINES = (
    "200 OK",
    "204 No Content",
    "404 Not Found",
    "412 Precondition Failed",
    "two hundred",
    "",
    "99999",
    "-1",
    "\u0662\u0660\u0660",
)
BOUNDARY = "batchresponse_1"


def part(random: Random, depth: int) -> bytes:
    """One part of an answer to a batch: an answer, or a changeset of some."""
    if depth and random.random() < 0.25:
        inner = f"changesetresponse_{random.randrange(9)}"
        return f"Content-Type: multipart/mixed; boundary={inner}\r\n\r\n".encode() + multipart(random, inner, depth - 1)
    line = random.choice(LINES) if random.random() < 0.7 else str(status(random))
    told = "".join(f"{name}: {value}\r\n" for name, value in headers(random).items())
    head = f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 {line}\r\n{told}\r\n"
    return head.encode() + json_bytes(random, GOOD)


def multipart(random: Random, boundary: str = BOUNDARY, depth: int = 2) -> bytes:
    """A whole answer to a batch, of as many parts as may have been asked for."""
    parts = [part(random, depth) for _ in range(random.choice((0, 1, 1, 2, 6, 7)))]
    body = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), one) for one in parts) + b"--%s--\r\n" % boundary.encode()
    return damaged(random, body) if depth == 2 and random.random() < 0.3 else body


def answer(random: Random) -> Answer:
    """To anything."""
    if random.random() < 0.5:
        return Answer(status(random), headers(random), json_bytes(random, GOOD))
    kind = {"Content-Type": f"multipart/mixed; boundary={BOUNDARY}"}
    return Answer(random.choice((200, status(random))), {**headers(random), **kind}, multipart(random))


answers = seeded(answer)
boundaries = st.sampled_from(
    [f"boundary={BOUNDARY}", f'boundary="{BOUNDARY}"; x=1', "boundary=", "boundary", "", 'boundary="']
)


def nested(levels: int) -> bytes:
    """A multipart inside a multipart, so many deep."""
    body = b"HTTP/1.1 200 OK\r\n\r\n"
    for level in range(levels):
        body = b"--b%d\r\n%s\r\n--b%d--\r\n" % (level, body, level)
        body = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n%s" % (level, body)
    return b"--%s\r\n%s\r\n--%s--\r\n" % (BOUNDARY.encode(), body, BOUNDARY.encode())


LONG_STATUS = b"--%s\r\n\r\nHTTP/1.1 %s\r\n\r\n\r\n--%s--\r\n" % (BOUNDARY.encode(), b"9" * 5000, BOUNDARY.encode())


def assert_tells_nothing(error: MailSyncError) -> None:
    told = f"{error} {error.evidence} {error.reason}"
    assert not [word for word in (SECRET, "fabrikam", "a-token") if word in told]


@tries(300)
@given(answers)
def test_every_answer_that_failed_has_a_meaning(answer: Answer) -> None:
    complaint_of(answer)
    error = failure_of(answer)
    assert isinstance(error, MailSyncError)
    assert evidence_of(answer).status == answer.status
    assert_tells_nothing(error)


@pytest.mark.parametrize("body", [nested(2000), LONG_STATUS], ids=["parts in parts", "a status without end"])
def test_an_answer_to_a_batch_that_goes_on_and_on_is_malformed(body: bytes) -> None:
    with pytest.raises(batch.MalformedBatchError):
        batch.decode(f"multipart/mixed; boundary={BOUNDARY}", body)


@tries(300)
@given(boundaries, seeded(multipart))
def test_an_answer_to_a_batch_is_read_or_malformed(boundary: str, body: bytes) -> None:
    answers = come_of(lambda: batch.decode(f"multipart/mixed; {boundary}", body), batch.MalformedBatchError)
    if isinstance(answers, list):
        assert all(isinstance(answer, Answer) for part in answers for answer in part)
    else:
        assert SECRET not in str(answers)


@tries(100)
@given(
    st.dictionaries(
        st.sampled_from(["x-ms-dop-hint", "x-ms-ratelimit-time-remaining-xrm-requests"]), st.sampled_from(WAITS)
    )
)
def test_no_hint_stops_us_or_lets_us_loose(headers: dict[str, str]) -> None:
    assert 1 <= limits_of(headers, most=24).at_once <= 24


# over a line


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    vendor = Vendor()
    with vendor.server:
        yield vendor


@dataclass(frozen=True)
class Parts:
    """What talks to Dataverse."""

    emails: Emails
    resolver: Resolver
    creation: Creation
    definitions: Definitions


@pytest.fixture(scope="module")
def parts(vendor: Vendor) -> Parts:
    """Remembering nothing for long, so that everything is asked each time."""
    gate = Gate("dataverse", clock=time.monotonic, scope=Scope.MESSAGE, failures_to_close=10**9)
    api = WebApi(vendor.line, url=vendor.server.url, tokens=FixedToken(), gate=gate, most_at_once=8)
    later = itertools.count(0, 10**6)

    def clock() -> float:
        return float(next(later))

    book, definitions = AddressBook(size=1), Definitions(api, clock=clock)
    resolver = Resolver(api, address_book=book, definitions=definitions, adopt_existing=True, clock=clock)
    creation = Creation(api, resolver=resolver, address_book=book, clock=clock)
    return Parts(Emails(api, definitions=definitions), resolver, creation, definitions)


MESSAGE = Message(
    id="m-1",
    subject=SECRET,
    from_=(Participant(SECRET, "dora@fabrikam.example"),),
    headers=(Header("Message-ID", "<a@fabrikam.example>"),),
)
IDENTITY: Identity = identity_of(MESSAGE, "ann@contoso.example")
KNOWN = Known(
    copy=Copy("ann@contoso.example", frozenset()),
    organisation=Organisation(frozenset(), frozenset()),
    policy=Policy(),
    matches={},
    found=Found(),
    limits=Limits(),
)
PLAIN: EmailActivity = map_message(MESSAGE, KNOWN, identity=IDENTITY)
SMALL, LARGE = File("f1", f"{SECRET}.pdf", "application/pdf", 5), File("f2", f"{SECRET}.mp4", "video/mp4", 10**7)
DORA = Record("contact", str(PERSON["contactid"]))
EMAIL = replace(
    PLAIN,
    files=Files((SMALL,)),
    owner=Owner(Record("systemuser", str(uuid4())), "sender"),
    queue=Record("queue", str(uuid4())),
)
IN_STEPS = replace(EMAIL, files=Files((SMALL, LARGE)))
PARENT = Parent(str(uuid4()), Record("contact", str(uuid4())), ())
PROJECT = RelatedTable(name="project", table="contoso_project", contact=("contoso_client",), account=())


@contextmanager
def content(file: File) -> Iterator[Iterator[bytes]]:
    yield iter([b"%PDF-"] if file is SMALL else [bytes(BLOCK), b"."])


def put(parts: Parts, email: EmailActivity) -> object:
    limits, team = Limits(largest=10**8), Owner(Record("team", str(uuid4())), "fallback")
    return parts.creation.put(email, people=("dora@fabrikam.example",), content=content, limits=limits, fallback=team)


CALLS: dict[str, Callable[[Parts], object]] = {
    "resolve": lambda parts: parts.resolver.resolve(
        Question(
            identity=IDENTITY,
            ancestors=("b@c", "d@e"),
            addresses=(f"{uuid4().hex}+tag@x.example",),
            tokens=("CRM:1",),
            case_numbers=("CAS-1",),
            with_limits=True,
        )
    ),
    "parent": lambda parts: parts.resolver.parent(("b@c",)),
    "related": lambda parts: parts.resolver.related((OPPORTUNITY, CASE, PROJECT), (DORA,)),
    "queue's owner": lambda parts: parts.resolver.queue_owner(Record("queue", str(uuid4()))),
    "regarding": lambda parts: parts.definitions.as_regarding(Record("contoso_project", str(uuid4()))),
    "put": lambda parts: put(parts, PLAIN),
    "put with a file": lambda parts: put(parts, EMAIL),
    "put in steps": lambda parts: put(parts, IN_STEPS),
    "resume": lambda parts: parts.creation.resume(IN_STEPS, content=content, limits=Limits(largest=10**8)),
    "read": lambda parts: parts.emails.read(str(activityid_of("a@b"))),
    "find": lambda parts: parts.emails.find((str(uuid4()),)),
    "find by Message-ID": lambda parts: parts.emails.find_by_message_id(("a@b",)),
    "link": lambda parts: parts.emails.link(
        str(EMAIL.activityid),
        PARENT,
        instead_of=frozenset(),
        belongs=lambda _: True,
        with_regarding=lambda _: True,
    ),
}


@tries(400)
@given(st.sampled_from(list(CALLS)), answers)
def test_what_is_asked_is_answered_or_one_of_our_errors(
    vendor: Vendor, parts: Parts, what: str, answer: Answer
) -> None:
    vendor.says(answer.status, dict(answer.headers), answer.body)
    found = come_of(lambda: CALLS[what](parts), MailSyncError)
    if isinstance(found, MailSyncError):
        assert_tells_nothing(found)
