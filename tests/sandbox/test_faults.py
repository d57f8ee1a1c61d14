"""A script of faults strikes exactly the requests it names, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from sandbox.faults import Act, Answer, Delay, DropAfter, DropBefore, DropMidway, Fault, Faults, Hold, HoldMidway
from sandbox.servers import Certificate, Server


class Echo:
    """Answers the body it was sent, and remembers having worked."""

    def __init__(self) -> None:
        self.worked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        self.worked.append(request.method)
        await PlainTextResponse(body or b"nothing")(scope, receive, send)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def faults(echo: Echo) -> Faults:
    return Faults(echo, seed=7)


@pytest.fixture
def server(faults: Faults) -> Iterator[Server]:
    with Server(faults) as server:
        yield server


def test_a_scripted_answer_is_given_as_often_as_it_says(server: Server, faults: Faults, echo: Echo) -> None:
    fault = Fault(Answer(503, {"Retry-After": "2", "content-type": "text/html"}, b"<h1>no</h1>"), times=2)
    faults.add(fault)
    answers = [requests.post(server.url, data=b"x" * 200_000, timeout=5) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "2"
    assert answers[0].headers["Content-Type"] == "text/html"
    assert answers[0].content == b"<h1>no</h1>"
    assert faults.count(fault) == 2
    assert echo.worked == ["POST"]


@pytest.mark.parametrize(
    ("fault", "struck"),
    [
        pytest.param(Fault(Answer(500)), [500, 500, 500], id="no condition meets all"),
        pytest.param(Fault(Answer(500), method="post"), [200, 500, 500], id="method"),
        pytest.param(Fault(Answer(500), path=r"^/v3/grants/[^/]+$"), [500, 200, 500], id="path"),
        pytest.param(Fault(Answer(500), path=r"\?fields=all$"), [200, 500, 200], id="query"),
        pytest.param(Fault(Answer(500), body="second"), [200, 500, 200], id="body"),
        pytest.param(Fault(Answer(500), method="POST", path="/b", body="third"), [200] * 3, id="all conditions"),
        pytest.param(Fault(Answer(500), skip=1), [200, 500, 500], id="the first pass"),
        pytest.param(Fault(Answer(500), skip=1, times=1), [200, 500, 200], id="one in the middle"),
        pytest.param(Fault(Answer(500), probability=0.0), [200] * 3, id="never"),
    ],
)
def test_a_fault_meets_only_what_it_names(server: Server, faults: Faults, fault: Fault, struck: list[int]) -> None:
    faults.add(fault)
    with requests.Session() as session:
        answers = [
            session.get(server.url + "/v3/grants/a%2Fb", timeout=5),
            session.post(server.url + "/v3/b?fields=all", data=b"the second", timeout=5),
            session.post(server.url + "/v3/grants/c", data=b"the third", timeout=5),
        ]
    assert [answer.status_code for answer in answers] == struck


def test_the_app_still_reads_a_body_the_fault_looked_at(server: Server, faults: Faults) -> None:
    faults.add(Fault(Answer(500), body="nowhere"))
    large = b"abc" * 100_000
    assert requests.post(server.url, data=large, timeout=5).content == large


def test_probability_is_seeded(echo: Echo) -> None:
    def run(seed: int) -> list[int]:
        faults = Faults(echo, seed=seed)
        faults.add(Fault(Answer(429), probability=0.5))
        with Server(faults) as server, requests.Session() as session:
            return [session.get(server.url, timeout=5).status_code for _ in range(40)]

    first = run(3)
    assert first == run(3) != run(4)
    assert 10 < first.count(429) < 30


def test_a_delay_comes_before_the_next_fault(server: Server, faults: Faults) -> None:
    faults.add(Fault(Delay(0.05)), Fault(Answer(418)))
    begun = time.monotonic()
    assert requests.get(server.url, timeout=5).status_code == 418
    assert time.monotonic() - begun >= 0.05
    assert len(faults.hits) == 2


@pytest.mark.parametrize(
    ("act", "worked"),
    [
        pytest.param(DropBefore(), [], id="dropped before"),
        pytest.param(DropAfter(), ["POST"], id="dropped after"),
    ],
)
def test_a_dropped_connection_tells_nothing_of_what_was_done(
    server: Server, faults: Faults, echo: Echo, act: Act, worked: list[str]
) -> None:
    faults.add(Fault(act, times=1))
    with requests.Session() as session:
        with pytest.raises(requests.ConnectionError):
            session.post(server.url, data=b"x", timeout=5)
        assert echo.worked == worked
        assert session.post(server.url, data=b"x", timeout=5).status_code == 200


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "over TLS"])
@pytest.mark.parametrize("after", [0, 1, 70_000, 299_999])
def test_an_answer_may_end_in_its_middle(faults: Faults, echo: Echo, tmp_path: Path, tls: bool, after: int) -> None:
    faults.add(Fault(DropMidway(after), times=1))
    certificate = Certificate()
    trusted = str(certificate.bundle(tmp_path / "bundle.pem"))
    with Server(faults, certificate=certificate if tls else None) as server, requests.Session() as session:
        answer = session.post(server.url, data=b"x" * 300_000, timeout=5, stream=True, verify=trusted)
        assert (answer.status_code, answer.headers["Content-Length"]) == (200, "300000")
        assert len(answer.raw.read(after)) == after
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            answer.content  # noqa: B018 - reads the rest
        assert echo.worked == ["POST"]
        assert len(session.post(server.url, data=b"x" * 300_000, timeout=5, verify=trusted).content) == 300_000


def test_an_answer_may_fall_silent_in_its_middle(server: Server, faults: Faults, echo: Echo) -> None:
    faults.add(Fault(HoldMidway(5), times=1))
    answer = requests.post(server.url, data=b"0123456789", timeout=0.1, stream=True)
    assert answer.raw.read(5) == b"01234"
    with pytest.raises(requests.ConnectionError, match="timed out"):
        answer.content  # noqa: B018 - reads the rest
    assert requests.post(server.url, data=b"0123456789", timeout=5).content == b"0123456789"


def test_a_held_request_ends_with_the_clients_patience(server: Server, faults: Faults, echo: Echo) -> None:
    faults.add(Fault(Hold(), times=1))
    with pytest.raises(requests.ReadTimeout):
        requests.get(server.url, timeout=0.05)
    assert requests.get(server.url, timeout=5).status_code == 200
    assert echo.worked == ["GET"]


def test_a_held_request_ends_when_the_server_stops(faults: Faults, wait: Callable[..., None]) -> None:
    faults.add(Fault(Hold()))
    with ThreadPoolExecutor(1) as pool:
        with Server(faults) as server:
            held = pool.submit(requests.get, server.url, timeout=30)
            wait(lambda: len(faults.hits) == 1)
        with pytest.raises(requests.ConnectionError):
            held.result(5)


def test_after_clearing_everything_passes(server: Server, faults: Faults) -> None:
    faults.add(Fault(Answer(500)))
    faults.clear()
    assert requests.get(server.url, timeout=5).text == "nothing"
    assert faults.hits == []


@pytest.fixture
def wait() -> Callable[..., None]:
    def until(fact: Callable[[], bool]) -> None:
        end = time.monotonic() + 5
        while not fact():
            assert time.monotonic() < end
            time.sleep(0.005)

    return until
