"""Serves the status page of several worlds on one port, each below its own name, with the keys a Functions host asks for.

What is answered is the app's own doing: the page's reader, the page, the manage endpoints.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mailsync.dashboard import answers
from mailsync.dashboard.answers import Answer
from mailsync.dashboard.manage import Asked
from mailsync.wiring import Wiring
from sandbox.servers import Server

FUNCTION_KEY, ADMIN_KEY = "the-function-key", "the-admin-key"


class Served:
    """Worlds behind one port."""

    def __init__(self, worlds: Mapping[str, Wiring]) -> None:
        self.worlds = dict(worlds)
        self.asked: list[tuple[str, str]] = []
        """Every request: method, and path with its query."""
        self.down = threading.Event()
        """While set, every request is answered 500."""
        self._server = Server(self._serve)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def origin(self) -> str:
        """Where all of this is."""
        return self._server.url

    def url(self, world: str) -> str:
        """The page of a world, as somebody opens it."""
        return f"{self.origin}/{world}/api/status?code={FUNCTION_KEY}"

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        query = f"?{request.url.query}" if request.url.query else ""
        self.asked.append((request.method, request.url.path + query))
        body = await request.body()
        answer = await run_in_threadpool(self._answer, request, body)
        response = Response(answer.body, answer.status, dict(answer.headers), answer.kind)
        await response(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Answer:
        world, _, path = request.url.path.lstrip("/").partition("/")
        wiring = self.worlds.get(world)
        if self.down.is_set():
            return Answer(500, b"", answers.TEXT)
        if wiring is None or not path.startswith("api/"):
            return Answer(404, b"", answers.TEXT)
        headers = {name.lower(): value for name, value in request.headers.items()}
        params = dict(request.query_params)
        given = headers.get("x-functions-key") or params.get("code", "")
        what = path.removeprefix("api/")
        if not _opens(given, ADMIN_KEY) and (what != "status" or not _opens(given, FUNCTION_KEY)):
            return Answer(401, b"", answers.TEXT)
        if what == "status":
            return answers.shown(wiring.status.read(), params=params, headers=headers)
        asked = Asked(
            method=request.method, what=what.removeprefix("manage/"), params=params, headers=headers, body=body
        )
        return wiring.manage.answer(asked)


def _opens(given: str, key: str) -> bool:
    return hmac.compare_digest(given.encode(), key.encode())


def wiring_for(storage: str, clock: Callable[[], float], **settings: Any) -> Wiring:
    """The app on this storage; its vendors are nowhere."""
    wiring = Wiring(
        {
            "AzureWebJobsStorage": storage,
            "NYLAS_API_KEY": "nyk_only_for_tests",
            "NYLAS_WEBHOOK_SECRET": "a secret of the webhook",
            "NYLAS_API_URI": "http://127.0.0.1:9",
            "DATAVERSE_URL": "http://127.0.0.1:9",
            **settings,
        }
    )
    wiring.clock = clock
    return wiring
