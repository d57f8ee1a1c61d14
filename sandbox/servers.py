"""Serves one stand-in on this machine: uvicorn in a thread of its own, over TLS, on a free port.

Responsible for the certificate, the socket, and counting connections and requests. What is answered is the
stand-in's business, and going wrong on purpose is that of `faults`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import certifi
import trustme
import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ABORT = "sandbox.abort"
"""Scope extension: `abort` cuts this request's connection, as a crash of the server would; `close` lets what was sent
go out first."""

GRACE = 1.0
"""Seconds that answers in the making get to notice that the server stops."""


class Certificate:
    """A certificate for this machine, signed by an authority made on the spot."""

    def __init__(self, *names: str) -> None:
        self._authority = trustme.CA()
        self._leaf = self._authority.issue_cert(*(names or ("127.0.0.1", "localhost")))

    @property
    def authority(self) -> bytes:
        """The authority's own certificate, as PEM."""
        return self._authority.cert_pem.bytes()

    def context(self) -> ssl.SSLContext:
        """What a server needs to speak TLS with this certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._leaf.configure_cert(context)
        return context

    def bundle(self, path: Path) -> Path:
        """Write our authority and those this machine trusts anyway into one file, for REQUESTS_CA_BUNDLE."""
        usual = (os.environ.get(name, "") for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
        trusted = next((Path(name) for name in usual if name and Path(name).is_file()), Path(certifi.where()))
        path.write_bytes(self.authority + b"\n" + trusted.read_bytes())
        return path


class Server:
    """One ASGI app on 127.0.0.1; may be stopped and started again on the same port."""

    def __init__(self, app: ASGIApp, *, certificate: Certificate | None = None, port: int = 0) -> None:
        self.app = app
        self.certificate = certificate
        self.port = port
        self.connections = 0
        """TCP connections accepted so far (over TLS, those that shook hands)."""
        self.requests = 0
        """Requests received so far."""
        self._running: _Running | None = None

    @property
    def url(self) -> str:
        """Where to reach it, without a slash at the end; known once it has started."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Listen, and return when connections are accepted."""
        if self._running is not None:
            raise RuntimeError("this server runs already")
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        self._running = _Running(self._config(), listener)
        try:
            self._running.begin()
        except BaseException:
            self._running = None
            raise
        return self

    def stop(self) -> None:
        """Cut every connection and return when the thread has ended; stopping twice does nothing."""
        running, self._running = self._running, None
        if running is not None:
            running.end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    def _config(self) -> uvicorn.Config:
        counts = self

        class Counting(HttpToolsProtocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                counts.connections += 1
                super().connection_made(transport)

            def on_message_begin(self) -> None:
                counts.requests += 1
                super().on_message_begin()
                self.scope["extensions"] = {ABORT: {"abort": self.transport.abort, "close": self.transport.close}}

        context = self.certificate.context() if self.certificate else None
        return uvicorn.Config(
            self.app,
            interface="asgi3",
            http=Counting,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=300,
            ssl_context_factory=(lambda _config, _default: context) if context else None,
        )


class _Running(uvicorn.Server):
    """One run of a server: a thread, its loop and its listening socket."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._leave: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="sandbox-server", daemon=True)

    def begin(self) -> None:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise RuntimeError("the server did not start") from self._failure

    def end(self) -> None:
        if self._loop is not None and self._leave is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self.serve(sockets=[self._listener]))
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits in begin()
            self._failure = error
        finally:
            self._listener.close()
            self._ready.set()

    async def main_loop(self) -> None:
        """Keep the Date header fresh until told to leave, at once then rather than at the next tick."""
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        await self.on_tick(0)
        self._ready.set()
        while not self._leave.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leave.wait(), timeout=1)
            await self.on_tick(0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut what is open; a client sees what it would see of a server that died."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            transport: Any = connection.transport
            transport.abort()
        if tasks := set(self.server_state.tasks):
            _, unfinished = await asyncio.wait(tasks, timeout=GRACE)
            for task in unfinished:
                task.cancel()
        for server in self.servers:
            await server.wait_closed()
