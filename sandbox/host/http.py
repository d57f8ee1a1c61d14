"""Serves the app's HTTP functions and the host's own addresses on a port of this machine.

Responsible for the socket, the order of routes and /admin. What a request and an answer are is told by `routes`.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import uvicorn

from sandbox.host.errors import HostError
from sandbox.host.routes import JSON, Answer, Call, Keys, Route
from sandbox.host.runner import Runner


class HttpFront:
    """An ASGI app and the server it runs in."""

    def __init__(
        self,
        runner: Runner,
        routes: Sequence[Route],
        port: int,
        *,
        keys: Keys | None,
        report: Callable[[], list[dict[str, object]]],
        by_hand: Callable[[str, str], bool],
    ) -> None:
        self._runner = runner
        self._routes = routes
        self._keys = keys
        self._report = report
        self._by_hand = by_hand
        self._socket = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._serve,
                access_log=False,
                interface="asgi3",
                lifespan="off",
                log_config=None,
                log_level="warning",
                server_header=False,
                timeout_keep_alive=75,
                ws="none",
            )
        )
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Serve; returns when requests are answered."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise HostError("the HTTP server did not start")
            time.sleep(0.002)

    def stop(self, patience: float) -> None:
        """Take no more requests, and let those that are being answered end."""
        self._server.config.timeout_graceful_shutdown = max(1, round(patience))
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(patience + 5)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    async def _serve(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        parts = []
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        answer = await self._answer(Call.of(scope, b"".join(parts)))
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        bare = scope["method"] == "HEAD" or answer.status in {204, 304}
        await send({"type": "http.response.body", "body": b"" if bare else answer.body})

    async def _answer(self, call: Call) -> Answer:
        if call.path == "/":
            return Answer(200, b"The function app is up and running.\n", (("content-type", "text/plain"),))
        if call.path.startswith("/admin/"):
            return self._admin(call)
        for route in self._routes:
            values = route.match(call.method, call.path)
            if values is not None:
                if not self._allowed(route.level, call):
                    return Answer(401)
                return await asyncio.wrap_future(self._runner.submit(self._call, route, values, call))
        return Answer(404)

    def _call(self, route: Route, values: dict[str, str], call: Call) -> Answer:
        done = self._runner.run(route.function, lambda: call.request(values), caller=call.headers, finish=Answer.of)
        return done.value if done.succeeded else Answer(500)

    def _allowed(self, level: str, call: Call) -> bool:
        return self._keys is None or self._keys.open(level, call.key)

    def _admin(self, call: Call) -> Answer:
        if not self._allowed("ADMIN", call):
            return Answer(401)
        if (call.method, call.path) == ("GET", "/admin/functions"):
            return Answer(200, json.dumps(self._report()).encode(), JSON)
        found = re.fullmatch(r"/admin/functions/([^/]+)", call.path)
        if call.method != "POST" or found is None:
            return Answer(404)
        try:
            text = json.loads(call.body or b"{}").get("input") or ""
        except (ValueError, AttributeError):
            return Answer(400)
        text = text if isinstance(text, str) else json.dumps(text)
        return Answer(202 if self._by_hand(found[1], text) else 404)
