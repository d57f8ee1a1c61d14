"""HTTP as we speak it: kept connections, no cookies, no surprises from the environment, and trouble as TransientError."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mailsync import transport
from mailsync.errors import TransientError
from mailsync.transport import LONGEST_RETRY_AFTER, PIECE, Answer, Transport
from sandbox.faults import Answer as Say
from sandbox.faults import Delay, DropAfter, DropBefore, DropMidway, Fault, Faults, Hold, HoldMidway
from sandbox.servers import ABORT, Certificate, Server
from tests.mailsync.parts import in_threads, nobody, wall


class Echo:
    """Tells what it was asked; some paths answer in ways of their own."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.left = threading.Event()
        """Somebody who was told something without end has gone."""

    async def _endless(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(100_000)
                await asyncio.sleep(0)
        finally:
            self.left.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        self.asked.append(request)
        if request.url.path == "/cut":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            scope["extensions"][ABORT]["abort"]()
            return
        answers: dict[str, Response] = {
            "/redirect": RedirectResponse("/elsewhere", 302),
            "/redirect-nowhere": Response(status_code=302, headers={"Location": "http://[no/address"}),
            "/gzip": Response(gzip.compress(b"packed"), headers={"Content-Encoding": "gzip"}),
            "/lies": Response(b"plain", headers={"Content-Encoding": "gzip"}),
            "/lies-at-length": StreamingResponse(_many(b"plain" * 4000), headers={"Content-Encoding": "gzip"}),
            "/error": PlainTextResponse("no", 503, headers={"Retry-After": "7"}),
            "/long": StreamingResponse(_many(b"p" * 10_000)),
            "/endless": StreamingResponse(self._endless()),
        }
        answer = answers.get(request.url.path, Response(body or b"hello"))
        answer.set_cookie("ARRAffinity", "one-server-only")
        await answer(scope, receive, send)


async def _many(piece: bytes) -> AsyncIterator[bytes]:
    for _ in range(50):
        yield piece


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def faults(echo: Echo) -> Faults:
    return Faults(echo)


@pytest.fixture
def server(faults: Faults) -> Iterator[Server]:
    with Server(faults) as server:
        yield server


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def ask(url: str, path: str = "/", **given: Any) -> Answer:
    return Transport("nylas", base_url=url).send("GET", url + path, headers={}, **given)


def refusal(call: Callable[[], object]) -> TransientError:
    with pytest.raises(TransientError) as error:
        call()
    return error.value


def test_a_connection_is_kept_for_the_next_call(server: Server) -> None:
    line = Transport("nylas", base_url=server.url)
    for number in range(5):
        answer = line.send("POST", server.url + "/x", headers={"X-Number": str(number)}, body=b"%d" % number)
        assert (answer.status, answer.body) == (200, b"%d" % number)
    assert (server.connections, server.requests) == (1, 5)


def test_each_thread_has_a_connection_of_its_own(server: Server) -> None:
    line = Transport("nylas", base_url=server.url)

    def twice() -> None:
        for _ in range(2):
            line.send("GET", server.url, headers={})

    assert in_threads(4, twice) == [None] * 4
    assert (server.connections, server.requests) == (4, 8)


def test_cookies_are_refused(server: Server, echo: Echo) -> None:
    line = Transport("dataverse", base_url=server.url)
    for _ in range(3):
        assert "Set-Cookie" in line.send("GET", server.url, headers={}).headers
    assert [request.headers.get("cookie") for request in echo.asked] == [None] * 3


def test_redirects_are_not_followed(server: Server) -> None:
    answer = ask(server.url, "/redirect")
    assert (answer.status, answer.headers["location"]) == (302, "/elsewhere")
    assert server.requests == 1


def test_what_is_asked_goes_out_as_given(server: Server, echo: Echo) -> None:
    ask(server.url, "/a%2Fb%20c", params={"page_token": "a+b/c=&d", "limit": "5"})
    (asked,) = echo.asked
    assert asked.scope["raw_path"] == b"/a%2Fb%20c"
    assert dict(asked.query_params) == {"page_token": "a+b/c=&d", "limit": "5"}


def test_a_packed_answer_is_unpacked(server: Server) -> None:
    assert ask(server.url, "/gzip").body == b"packed"


def test_header_names_compare_without_case(server: Server) -> None:
    answer = ask(server.url, "/error")
    assert (answer.status, answer.headers["RETRY-AFTER"], answer.retry_after) == (503, "7", 7.0)


# the environment


def test_the_environment_is_not_read_for_each_call(
    server: Server, echo: Echo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that appears later is not used, and a .netrc never speaks for us."""
    line = Transport("nylas", base_url=server.url)
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with nobody() as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        assert line.send("GET", server.url, headers={}).status == 200
    assert "authorization" not in echo.asked[0].headers


def test_the_proxy_of_the_environment_is_used(server: Server, echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    assert ask("http://api.nylas.example", "/v3/grants").body == b"hello"
    assert echo.asked[0].headers["host"] == "api.nylas.example"


def test_an_address_that_no_proxy_serves_is_reached_directly(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with nobody() as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert ask(server.url).status == 200


# trouble


def test_a_kept_connection_that_died_is_made_anew(server: Server) -> None:
    line = Transport("nylas", base_url=server.url)
    assert line.send("GET", server.url, headers={}).status == 200
    server.stop()
    server.start()
    assert line.send("GET", server.url, headers={}).status == 200


@pytest.mark.parametrize("act", [DropBefore(), DropAfter()], ids=["before the request", "before the answer"])
def test_a_connection_cut_in_the_middle_is_tried_once_more(server: Server, faults: Faults, act: Any) -> None:
    faults.add(Fault(act, times=1))
    assert ask(server.url).status == 200
    assert server.requests == 2


def test_and_not_more_than_once(server: Server, faults: Faults) -> None:
    faults.add(Fault(DropBefore()))
    error = refusal(lambda: ask(server.url))
    assert (error.reason, error.evidence.vendor, error.retry_after) == ("nylas_unreachable", "nylas", None)
    assert server.requests == 2


@pytest.mark.parametrize(
    ("path", "times"),
    [
        pytest.param("/cut", 2, id="an answer cut off"),
        pytest.param("/lies", 1, id="an encoding that is a lie"),
        pytest.param("/lies-at-length", 1, id="a long lie"),
        pytest.param("/redirect-nowhere", 1, id="a redirect to no URL"),
    ],
)
def test_an_answer_that_cannot_be_read_is_no_answer(server: Server, path: str, times: int) -> None:
    assert refusal(lambda: ask(server.url, path)).reason == "nylas_unreachable"
    assert server.requests <= times


def test_nobody_listens() -> None:
    with nobody() as port:
        assert refusal(lambda: ask(f"http://127.0.0.1:{port}")).reason == "nylas_unreachable"


def test_a_name_that_nobody_knows() -> None:
    assert refusal(lambda: ask("http://nylas.invalid")).reason == "nylas_unreachable"


def test_an_answer_that_does_not_come_is_not_asked_for_again(server: Server, faults: Faults) -> None:
    faults.add(Fault(Hold()))
    line = Transport("nylas", base_url=server.url, read_timeout=0.15)
    assert refusal(lambda: line.send("GET", server.url, headers={})).reason == "nylas_timed_out"
    assert server.requests == 1


def test_a_connection_that_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT", 0.15)
    with wall() as port:
        assert refusal(lambda: ask(f"http://127.0.0.1:{port}")).reason == "nylas_timed_out"


def test_a_slow_answer_is_waited_for(server: Server, faults: Faults) -> None:
    faults.add(Fault(Delay(0.03)))
    assert ask(server.url).status == 200


def test_a_status_is_no_trouble_here(server: Server, faults: Faults) -> None:
    for status in (400, 401, 404, 412, 429, 500, 503):
        faults.clear()
        faults.add(Fault(Say(status, body=b"told")))
        answer = ask(server.url)
        assert (answer.status, answer.body) == (status, b"told")


def test_an_error_tells_no_address(server: Server, faults: Faults) -> None:
    faults.add(Fault(DropBefore()))
    told = str(refusal(lambda: ask(server.url, "/v3/grants/ann@contoso.example", params={"any_email": "d@f.example"})))
    assert "@" not in told
    assert "127.0.0.1" not in told


# piece by piece


def line_to(server: Server, **given: Any) -> Transport:
    return Transport("nylas", base_url=server.url, **given)


def test_a_long_answer_comes_in_pieces_over_a_connection_that_is_kept(server: Server) -> None:
    line = line_to(server)
    for _ in range(2):
        with line.stream("GET", server.url + "/long", headers={}) as told:
            pieces = list(told.pieces)
        assert (told.status, b"".join(pieces)) == (200, b"p" * 500_000)
        assert len(pieces) > 1
        assert max(map(len, pieces)) <= PIECE
    assert line.send("GET", server.url, headers={}).status == 200
    assert (server.connections, server.requests) == (1, 3)


def test_what_is_asked_for_in_pieces_goes_out_as_given(server: Server, echo: Echo) -> None:
    headers = {"Authorization": "Bearer key"}
    with line_to(server).stream("GET", server.url + "/a%2Fb", headers=headers, params={"id": "a+b&c"}) as told:
        assert list(told.pieces) == [b"hello"]
    (asked,) = echo.asked
    assert asked.scope["raw_path"] == b"/a%2Fb"
    assert (dict(asked.query_params), asked.headers["authorization"]) == ({"id": "a+b&c"}, "Bearer key")
    assert asked.headers.get("cookie") is None


def test_an_answer_without_end_can_be_left(server: Server, echo: Echo) -> None:
    with line_to(server).stream("GET", server.url + "/endless", headers={}) as told:
        assert next(told.pieces)
    assert echo.left.wait(5)


def test_who_leaves_with_an_error_of_his_own_raises_it(server: Server, echo: Echo) -> None:
    with (
        pytest.raises(ValueError, match="mine"),
        line_to(server).stream("GET", server.url + "/endless", headers={}),
    ):
        raise ValueError("mine")
    assert echo.left.wait(5)


def test_a_refusal_is_read_as_far_as_it_is_wanted(server: Server) -> None:
    line = line_to(server)
    with line.stream("GET", server.url + "/error", headers={}) as told:
        assert told.whole(1000) == Answer(503, told.headers, b"no")
        assert told.whole(1000).retry_after == 7.0
    with line.stream("GET", server.url + "/endless", headers={}) as told:
        assert len(told.whole(250_000).body) == 250_000


def test_a_packed_answer_is_unpacked_in_pieces_too(server: Server) -> None:
    with line_to(server).stream("GET", server.url + "/gzip", headers={}) as told:
        assert b"".join(told.pieces) == b"packed"


def test_redirects_are_not_followed_in_pieces_either(server: Server) -> None:
    with line_to(server).stream("GET", server.url + "/redirect", headers={}) as told:
        assert told.status == 302
    assert server.requests == 1


def test_a_kept_connection_that_died_is_made_anew_for_pieces(server: Server) -> None:
    line = line_to(server)
    assert line.send("GET", server.url, headers={}).status == 200
    server.stop()
    server.start()
    with line.stream("GET", server.url + "/long", headers={}) as told:
        assert sum(map(len, told.pieces)) == 500_000


def begun(line: Transport, url: str) -> None:
    with line.stream("GET", url, headers={}):
        pytest.fail("there was an answer")


def read(line: Transport, url: str) -> None:
    with line.stream("GET", url, headers={}) as told:
        for _ in told.pieces:
            pass


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("act", [DropBefore(), DropAfter()], ids=["before the request", "before the answer"])
def test_a_beginning_that_is_cut_off_is_tried_once_more(server: Server, faults: Faults, act: Any, times: int) -> None:
    faults.add(Fault(act, times=times))
    line = line_to(server)
    if times == 1:
        read(line, server.url + "/long")
    else:
        error = refusal(lambda: begun(line, server.url + "/long"))
        assert (error.reason, error.evidence.vendor) == ("nylas_unreachable", "nylas")
    assert server.requests == 2


@pytest.mark.parametrize("path", ["/cut", "/lies", "/lies-at-length"])
def test_an_answer_that_breaks_off_is_trouble_and_not_begun_again(server: Server, path: str) -> None:
    """Half of it has been handed on."""
    assert refusal(lambda: read(line_to(server), server.url + path)).reason == "nylas_unreachable"
    assert server.requests == 1


def test_what_came_before_it_broke_off_was_handed_on(server: Server, faults: Faults) -> None:
    faults.add(Fault(DropMidway(200_000)))
    got: list[bytes] = []

    def keep() -> None:
        with line_to(server).stream("GET", server.url + "/long", headers={}) as told:
            got.extend(told.pieces)

    assert refusal(keep).reason == "nylas_unreachable"
    assert 0 < sum(map(len, got)) <= 200_000


def test_an_answer_that_falls_silent_is_waited_for_no_longer_than_one_that_never_begins(
    server: Server, faults: Faults
) -> None:
    faults.add(Fault(HoldMidway(200_000), times=1), Fault(Hold()))
    line = line_to(server, read_timeout=0.15)
    refusal(lambda: read(line, server.url + "/long"))
    assert refusal(lambda: begun(line, server.url + "/long")).reason == "nylas_timed_out"
    assert server.requests == 2


def test_nobody_is_there_to_stream_from() -> None:
    with nobody() as port:
        line = Transport("nylas", base_url=f"http://127.0.0.1:{port}")
        assert refusal(lambda: begun(line, f"http://127.0.0.1:{port}")).reason == "nylas_unreachable"


def test_a_beginning_that_cannot_be_read_is_no_answer(server: Server) -> None:
    assert refusal(lambda: begun(line_to(server), server.url + "/redirect-nowhere")).reason == "nylas_unreachable"
    assert server.requests == 1


# TLS


def test_a_certificate_that_nobody_vouches_for_is_refused(echo: Echo, tmp_path: Path) -> None:
    certificate = Certificate()
    with Server(echo, certificate=certificate) as server:
        assert refusal(lambda: ask(server.url)).reason == "nylas_unreachable"
        trusting = Transport("nylas", base_url=server.url, verify=str(certificate.bundle(tmp_path / "trusted.pem")))
        assert trusting.send("GET", server.url, headers={}).status == 200


# Retry-After


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "30"}, 30.0),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, 0.0),
        ({"Retry-After": "1e999"}, LONGEST_RETRY_AFTER),
        ({"Retry-After": "nan"}, None),
    ],
)
def test_retry_after_in_seconds(given: dict[str, str], seconds: float | None) -> None:
    assert Answer(429, CaseInsensitiveDict(given), b"").retry_after == seconds


@pytest.mark.parametrize(
    ("named", "seconds"),
    [
        ("Wed, 21 Oct 2026 07:28:00 GMT", 90.0),
        ("Wednesday, 21-Oct-26 07:28:00 GMT", 90.0),
        ("Wed Oct 21 07:28:00 2026", 90.0),
        ("Wed, 21 Oct 2026 07:26:00 GMT", 0.0),
        ("Sat, 01 Jan 2050 00:00:00 GMT", LONGEST_RETRY_AFTER),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
        ("21 Oct", None),
    ],
)
def test_retry_after_as_a_date_counts_by_the_clock_of_who_named_it(named: str, seconds: float | None) -> None:
    headers = {"Retry-After": named, "Date": "Wed, 21 Oct 2026 07:26:30 GMT"}
    assert Answer(503, CaseInsensitiveDict(headers), b"").retry_after == seconds


def test_or_by_ours_where_it_does_not_tell_its_time() -> None:
    headers = CaseInsensitiveDict({"Retry-After": formatdate(time.time() + 600, usegmt=True)})
    named = Answer(503, headers, b"").retry_after
    assert named is not None
    assert 590 < named <= 600


@given(st.text(max_size=40) | st.from_regex(r"\A[A-Z][a-z]{2},? [0-9]{1,5} [A-Za-z]{3} [0-9:+. -]{1,20}\Z"))
def test_whatever_retry_after_says_is_a_time_to_wait_or_nothing(named: str) -> None:
    waits = Answer(503, {"Retry-After": named, "Date": named}, b"").retry_after
    assert waits is None or 0 <= waits <= LONGEST_RETRY_AFTER
