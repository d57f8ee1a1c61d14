"""A stand-in is served over real sockets, counted, and leaves nothing behind."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import certifi
import pytest
import requests
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from sandbox.servers import Certificate, Server


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("a mistake in a stand-in")


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return Certificate()


def test_tls_is_trusted_through_the_bundle_by_address_and_by_name(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.bundle(tmp_path / "bundle.pem")))
    with Server(hello, certificate=certificate) as server:
        assert requests.get(server.url, timeout=5).text == "hello"
        assert requests.get(f"https://localhost:{server.port}", timeout=5).text == "hello"


def test_tls_of_a_stand_in_is_not_trusted_without_the_bundle(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    with Server(hello, certificate=certificate) as server, pytest.raises(requests.exceptions.SSLError):
        requests.get(server.url, timeout=5)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_bundle_keeps_what_the_machine_trusts(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    assert Path(certifi.where()).read_bytes() in certificate.bundle(tmp_path / "usual.pem").read_bytes()
    company = tmp_path / "company.pem"
    company.write_bytes(b"the company's own authority\n")
    monkeypatch.setenv(variable, str(company))
    written = certificate.bundle(tmp_path / "both.pem").read_bytes()
    assert certificate.authority in written
    assert company.read_bytes() in written


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "over TLS"])
def test_a_kept_connection_counts_once_and_every_request_counts(
    certificate: Certificate, tmp_path: Path, tls: bool
) -> None:
    trusted = str(certificate.bundle(tmp_path / "bundle.pem"))
    with Server(hello, certificate=certificate if tls else None) as server:
        with requests.Session() as session:
            for _ in range(5):
                session.get(server.url, timeout=5, verify=trusted)
        assert (server.connections, server.requests) == (1, 5)
        requests.get(server.url, timeout=5, verify=trusted)
        assert (server.connections, server.requests) == (2, 6)


def test_many_connections_are_served_at_once() -> None:
    with Server(hello) as server:
        together = threading.Barrier(8)

        def ask(_: int) -> str:
            together.wait(5)
            return requests.get(server.url, timeout=5).text

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(8))) == ["hello"] * 8
        assert server.connections == 8


def test_a_stopped_server_refuses_and_comes_back_on_the_same_port() -> None:
    server = Server(hello).start()
    url = server.url
    server.stop()
    server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)
    with server:
        assert server.url == url
        assert requests.get(url, timeout=5).text == "hello"


def test_a_port_that_is_taken_is_an_error_and_leaves_no_thread() -> None:
    with Server(hello) as server:
        before = threading.active_count()
        with pytest.raises(OSError, match="in use"):
            Server(hello, port=server.port).start()
        with pytest.raises(RuntimeError, match="runs already"):
            server.start()
        assert threading.active_count() == before


def test_stopping_cuts_a_request_that_is_never_answered() -> None:
    server = Server(slow).start()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(requests.get, server.url, timeout=20)
        while not server.requests:
            threading.Event().wait(0.005)
        server.stop()
        with pytest.raises(requests.ConnectionError):
            waiting.result(5)


def test_a_mistake_in_a_stand_in_is_answered_and_told(caplog: pytest.LogCaptureFixture) -> None:
    with Server(broken) as server:
        assert requests.get(server.url, timeout=5).status_code == 500
    assert "a mistake in a stand-in" in caplog.text
