"""Whatever Nylas answers is what was asked for or one of our errors; over a real line, lies and broken bytes included."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailsync.errors import MailSyncError, Scope, TransientError
from mailsync.gates import Gate
from mailsync.nylas.answers import evidence_of, failure_of
from mailsync.nylas.reader import Reader
from mailsync.transport import Answer, Transport
from mapping.attachments import Limits
from mapping.direction import Copy
from mapping.identity import identity_of
from mapping.mapper import Known, map_message
from mapping.matches import Organisation
from mapping.message import Message
from mapping.policy import Policy
from mapping.regarding import Found
from tests.fuzz.material import Vendor, come_of, damaged, headers, json_bytes, seeded, status, tries
from tests.mapping.strategies import messages

SECRET = "Very secret"
MESSAGE = {
    "request_id": "5967ca40-a2d8-4ee0-a0e0-6f18ace39a90",
    "data": {
        "id": "m-1",
        "grant_id": "g-1",
        "thread_id": "t-1",
        "subject": SECRET,
        "body": f"<p>{SECRET}</p>",
        "date": 1_790_000_000,
        "from": [{"name": SECRET, "email": "dora@fabrikam.example"}],
        "to": [{"name": None, "email": "ann@contoso.example"}],
        "folders": ["INBOX"],
        "attachments": [{"id": "a-1", "filename": SECRET, "size": 3}],
        "headers": [{"name": "Message-ID", "value": "<a@fabrikam.example>"}],
    },
}
LISTING = {
    "request_id": "r",
    "next_cursor": None,
    "data": [{"id": "m-1", "date": 1, "folders": ["INBOX"]}, {"id": "m-2"}],
}
FOLDERS = {"request_id": "r", "data": [{"id": "INBOX", "name": SECRET, "attributes": ["\\Inbox"]}]}
GRANT = {
    "request_id": "r",
    "data": {
        "id": "g-1",
        "email": "ann@contoso.example",
        "provider": "google",
        "email_aliases": [SECRET],
        "created_at": 1,
    },
}
ERROR = {
    "request_id": "r-1",
    "error": {
        "type": "rate_limit_error",
        "message": SECRET,
        "provider_error": {"error": {"code": 403, "message": "quota"}},
    },
}
GOOD = (MESSAGE, LISTING, FOLDERS, GRANT, ERROR)
answers = seeded(lambda random: Answer(status(random), headers(random), json_bytes(random, GOOD)))


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    vendor = Vendor()
    with vendor.server:
        yield vendor


@pytest.fixture(scope="module")
def reader(vendor: Vendor) -> Reader:
    def always_open(name: str) -> Gate:
        return Gate(name, clock=time.monotonic, scope=Scope.MESSAGE, failures_to_close=10**9)

    return Reader(
        vendor.line,
        api_uri=vendor.server.url,
        api_key="nyk_of_these_tests",
        gate=always_open("nylas"),
        gate_of=lambda _: always_open("mailbox"),
    )


READS: dict[str, Callable[[Reader], object]] = {
    "message": lambda reader: reader.message("g-1", "m-1"),
    "page": lambda reader: reader.page("g-1", after=0, before=1, limit=40, cursor=None),
    "next page": lambda reader: reader.page("g-1", after=0, before=1, limit=40, cursor="c"),
    "folders": lambda reader: reader.folders("g-1"),
    "grant": lambda reader: reader.grant("g-1"),
}


def assert_tells_nothing(error: MailSyncError) -> None:
    """Neither mail nor key, in what is said and in what is kept as evidence."""
    told = f"{error} {error.evidence} {error.reason}"
    assert not [word for word in (SECRET, "fabrikam", "contoso", "nyk_of_these_tests") if word in told]


@tries(300)
@given(answers)
def test_every_answer_that_failed_has_a_meaning(answer: Answer) -> None:
    error = failure_of(answer)
    assert isinstance(error, MailSyncError)
    assert error.reason
    assert evidence_of(answer).status == answer.status
    assert_tells_nothing(error)


@tries(300)
@given(st.sampled_from(list(READS)), answers)
@example("message", Answer(200, {"Content-Encoding": "gzip"}, b"not gzip"))
def test_what_is_read_is_typed_or_one_of_our_errors(vendor: Vendor, reader: Reader, what: str, answer: Answer) -> None:
    endless = b'"next_cursor": "' in answer.body
    vendor.says(answer.status, dict(answer.headers), b"" if endless else answer.body)
    found = come_of(lambda: READS[what](reader), MailSyncError)
    if isinstance(found, MailSyncError):
        assert_tells_nothing(found)


@tries(120)
@given(messages)
def test_what_is_read_can_be_mapped(vendor: Vendor, reader: Reader, message: Message) -> None:
    """Every message of the mapping's own laws, sent as JSON: it arrives, or is one of our errors, and maps."""
    shown = {**msgspec.to_builtins(message, str_keys=True), "headers": msgspec.to_builtins(message.headers) or []}
    vendor.says(200, {"Content-Type": "application/json"}, json.dumps({"data": shown}).encode())
    got = come_of(lambda: reader.message("g-1", "m-1"), MailSyncError)
    if isinstance(got, MailSyncError):
        assert_tells_nothing(got)
        return
    known = Known(
        copy=Copy("ann@contoso.example", frozenset({"\\inbox"})),
        organisation=Organisation(frozenset(), frozenset()),
        policy=Policy(),
        matches={},
        found=Found(),
        limits=Limits(),
    )
    email = map_message(got, known, identity=identity_of(got, "ann@contoso.example"))
    assert json.dumps(email.row(), ensure_ascii=False).encode("utf-8")


class Line:
    """A port where each connection is given some bytes and closed."""

    def __init__(self) -> None:
        self.bytes = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Line:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                connection.recv(65_536)
                connection.sendall(self.bytes)
                connection.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    with Line() as line:
        yield line


RIGHT = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
ZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets that urllib3 let go of
@tries(200)
@given(seeded(lambda random: damaged(random, random.choice((RIGHT, CHUNKED, ZIPPED)))) | st.binary(max_size=60))
def test_broken_http_is_an_answer_or_trouble(line: Line, said: bytes) -> None:
    """The bytes on the line are anything: the transport never raises but TransientError."""
    line.bytes = said
    transport = Transport("nylas", base_url=line.url)
    found = come_of(lambda: transport.send("GET", line.url + "/v3/grants", headers={}), TransientError)
    if isinstance(found, Answer):
        assert failure_of(found)
    else:
        assert found.scope is Scope.ORGANISATION
