"""The bytes of an OData batch: what we write a strict reader reads, and of what we read nothing is taken on trust."""

from __future__ import annotations

import contextlib
from email.parser import BytesParser
from email.policy import HTTP

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailsync.dataverse.batch import Changeset, MalformedBatchError, Request, decode, encode
from mailsync.transport import Answer
from sandbox.dataverse import multipart as theirs

BOUNDARY = "batch_0123456789abcdef"
CONTENT_TYPE = f"multipart/mixed; boundary={BOUNDARY}"
GET = Request("GET", "/api/data/v9.2/emails?$select=activityid")
POST = Request("POST", "/api/data/v9.2/emails", b'{"subject":"a"}')
PATCH = Request("PATCH", "/api/data/v9.2/emails(1)", b"{}", {"If-Match": "*"})

paths = st.text("abcXYZ019-._~%()'$=&?,/", max_size=60).map("/api/data/v9.2/".__add__)
headers = st.dictionaries(st.sampled_from(["If-Match", "Prefer", "X-Other"]), st.text("az09\"'=*;, ", max_size=20))
texts = st.text(max_size=80).map(str.encode) | st.just(b"--batch_0123456789abcde\r\n\r\n--x")
reads = st.builds(Request, method=st.sampled_from(["GET", "DELETE"]), path=paths, headers=headers)
writes = st.builds(Request, method=st.sampled_from(["POST", "PATCH"]), path=paths, body=texts, headers=headers)
parts = st.lists(
    reads | writes | st.lists(writes, min_size=1, max_size=3).map(tuple).map(Changeset), min_size=1, max_size=5
)


@settings(max_examples=60, deadline=None)
@given(given_parts=parts)
def test_what_we_write_a_strict_reader_reads_as_it_was_meant(given_parts: list[Request | Changeset]) -> None:
    """The reader is the sandbox's, which shares nothing with the writer."""
    read = theirs.parse(encode(given_parts, boundary=BOUNDARY), CONTENT_TYPE)
    assert len(read) == len(given_parts)
    for wanted, got in zip(given_parts, read, strict=True):
        assert isinstance(wanted, Changeset) == isinstance(got, theirs.ChangeSet)
        inside = got.operations if isinstance(got, theirs.ChangeSet) else (got,)
        asked = wanted.requests if isinstance(wanted, Changeset) else (wanted,)
        for request, operation in zip(asked, inside, strict=True):
            assert (operation.method, operation.url) == (request.method, request.path)
            assert operation.body.removesuffix(b"\r\n") == (request.body or b"").removesuffix(b"\r\n")
            for name, value in request.headers.items():
                assert operation.headers[name.lower()] == value.strip()


def test_the_bytes_of_a_batch() -> None:
    """Every line ends in CRLF, each request of a changeset has an id, and a body says that it is JSON."""
    assert encode([GET, Changeset((POST, PATCH))], boundary="b").decode().split("\r\n") == [
        "--b",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "",
        "GET /api/data/v9.2/emails?$select=activityid HTTP/1.1",
        "",
        "",
        "--b",
        "Content-Type: multipart/mixed; boundary=changeset_2_b",
        "",
        "--changeset_2_b",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "Content-ID: 1",
        "",
        "POST /api/data/v9.2/emails HTTP/1.1",
        "Content-Type: application/json; charset=utf-8; type=entry",
        "",
        '{"subject":"a"}',
        "--changeset_2_b",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "Content-ID: 2",
        "",
        "PATCH /api/data/v9.2/emails(1) HTTP/1.1",
        "If-Match: *",
        "Content-Type: application/json; charset=utf-8; type=entry",
        "",
        "{}",
        "--changeset_2_b--",
        "",
        "--b--",
        "",
    ]


def test_it_is_mime_to_the_standard_library_too() -> None:
    head = f"Content-Type: {CONTENT_TYPE}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + encode([GET, Changeset((POST, PATCH))], boundary=BOUNDARY))
    assert not message.defects
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "application/http",
        "multipart/mixed",
        "application/http",
        "application/http",
    ]


# answers


codes = st.sampled_from([200, 204, 304, 400, 404, 412, 429, 500])
bodies = st.sampled_from([b"", b'{"value":[]}', b'{"error":{"code":"0x80040237","message":"x"}}', "Grüße".encode()])
answers = st.builds(
    theirs.Answer,
    status=codes,
    headers=st.just((("Content-Type", "application/json"), ("OData-Version", "4.0"))) | st.just(()),
    body=bodies,
    content_id=st.none() | st.just("1"),
)


@settings(max_examples=60, deadline=None)
@given(entries=st.lists(answers | st.lists(answers, min_size=1, max_size=3).map(tuple), max_size=5))
def test_what_a_server_answers_is_read_as_it_was_meant(
    entries: list[theirs.Answer | tuple[theirs.Answer, ...]],
) -> None:
    kind, body = theirs.render(entries)
    read = decode(kind, body)
    wanted = [entry if isinstance(entry, tuple) else (entry,) for entry in entries]
    assert [[answer.status for answer in inside] for inside in read] == [
        [part.status for part in inside] for inside in wanted
    ]
    for answered, told in zip(read, wanted, strict=True):
        for answer, part in zip(answered, told, strict=True):
            assert answer.body == part.body
            assert {name: answer.headers[name.upper()] for name, _ in part.headers} == dict(part.headers)


def test_an_answer_without_headers_has_none() -> None:
    body = b"--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n--b--\r\n"
    (((got,)),) = decode("multipart/mixed; boundary=b", body)
    assert isinstance(got, Answer)
    assert (got.status, dict(got.headers), got.body) == (204, {}, b"")


@pytest.mark.parametrize("boundary", ['"b"', "b; charset=utf-8", " b "])
def test_a_boundary_may_be_quoted_or_followed_by_more(boundary: str) -> None:
    body = b"--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}\r\n--b--"
    assert decode(f"multipart/mixed; boundary={boundary}", body)[0][0].body == b"{}"


MALFORMED = {
    "no boundary": ("multipart/mixed", b"--b\r\n\r\n--b--"),
    "an empty boundary": ("multipart/mixed; boundary=", b"----"),
    "nothing": ("multipart/mixed; boundary=b", b""),
    "HTML": ("multipart/mixed; boundary=b", b"<html></html>"),
    "another boundary": ("multipart/mixed; boundary=b", b"--c\r\n\r\nHTTP/1.1 200 OK\r\n\r\n--c--"),
    "cut off": ("multipart/mixed; boundary=b", b"--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 200 OK\r\n"),
    "cut off inside a changeset": (
        "multipart/mixed; boundary=b",
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nHTTP/1.1 204 N\r\n\r\n\r\n--b--",
    ),
    "no status line": ("multipart/mixed; boundary=b", b"--b\r\nContent-Type: application/http\r\n\r\n{}\r\n--b--"),
    "no status": ("multipart/mixed; boundary=b", b"--b\r\n\r\nHTTP/1.1\r\n\r\n\r\n--b--"),
    "a status of letters": ("multipart/mixed; boundary=b", b"--b\r\n\r\nHTTP/1.1 OK 200\r\n\r\n\r\n--b--"),
    "lines end in LF": ("multipart/mixed; boundary=b", b"--b\n\nHTTP/1.1 200 OK\n\n{}\n--b--\n"),
}


@pytest.mark.parametrize(("kind", "body"), MALFORMED.values(), ids=MALFORMED)
def test_an_answer_that_is_no_batch(kind: str, body: bytes) -> None:
    with pytest.raises(MalformedBatchError):
        decode(kind, body)


@given(kind=st.text(max_size=40).map("multipart/mixed; boundary=".__add__), body=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(kind: str, body: bytes) -> None:
    with contextlib.suppress(MalformedBatchError):
        decode(kind, body)
