"""The host as a process of its own, which can be killed: started, spoken to and ended from outside.

Responsible for the process and what it says; what runs in it is `__main__`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import urllib3

from sandbox.host.errors import HostError
from sandbox.host.routes import Keys

READY = '{"event": "ready"'
"""How the line begins that says that the host serves; the only line of its own on standard output."""

_START = 60.0
"""Seconds that a start may take."""


class HostProcess:
    """The host as a process of its own; may be started again, on the same port, after its end.

    `env` is laid over this process's environment; None takes a variable away.
    """

    def __init__(
        self,
        app_dir: Path,
        env: Mapping[str, str | None] | None = None,
        *,
        port: int = 0,
        visibility: float | None = None,
        max_poll: float | None = None,
        timers: bool = True,
        drain: float | None = None,
        settings: Path | None = None,
        keys: Keys | None = None,
        log_file: Path | None = None,
    ) -> None:
        given = {"--visibility": visibility, "--max-poll": max_poll, "--drain": drain, "--settings": settings}
        self._command = [sys.executable, "-m", "sandbox.host", "--app", str(app_dir.resolve()), "--end-with-stdin"]
        self._command += [part for name, value in given.items() if value is not None for part in (name, str(value))]
        self._command += [] if timers else ["--no-timers"]
        self._command += [f"--function-key={keys.function}", f"--master-key={keys.master}"] if keys else []
        self.keys = keys
        self._port = port
        merged = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._env = {name: value for name, value in merged.items() if value is not None}
        self._log_file = log_file
        self._process: subprocess.Popen[str] | None = None
        self.log: list[str] = []
        """Every line it wrote, over all its starts."""
        self.ready: dict[str, Any] = {}
        """What it said when it was ready: url, pid, functions, errors."""

    @property
    def url(self) -> str:
        """Where its HTTP functions are; the same after another start."""
        return str(self.ready["url"])

    @property
    def pid(self) -> int:
        """The process id of the start last made."""
        return int(self.ready["pid"])

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it and return when it serves."""
        if self.running:
            raise HostError("this host runs already")
        self._process = process = subprocess.Popen(
            [*self._command, "--port", str(self._port)],
            cwd=Path(__file__).parents[2],
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for us, who end it
        )
        said: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        self._reader = threading.Thread(target=self._read, args=(process, said), daemon=True)
        self._reader.start()
        try:
            self.ready = said.result(_START)
        except (TimeoutError, concurrent.futures.CancelledError):
            self.kill()
            raise HostError("the host did not start:\n" + "\n".join(self.log[-20:])) from None
        self._port = int(self.url.rpartition(":")[2])
        return self

    def stop(self, patience: float = 20.0) -> int:
        """End it in an orderly way, letting what runs finish; gives the exit code."""
        if self._process is None:
            return 0
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        return self._wait(patience)

    def kill(self) -> int:
        """End it at once, as a crash would; gives the exit code."""
        if self._process is None:
            return 0
        self._process.kill()
        return self._wait(10.0)

    def functions(self) -> dict[str, dict[str, Any]]:
        """Each function's counts since the start: running, succeeded, failed."""
        return {one["name"]: one for one in json.loads(self._ask("GET", "functions"))}

    def run(self, name: str, text: str = "") -> None:
        """Run a timer or queue function by hand, in the background."""
        self._ask("POST", f"functions/{name}", json.dumps({"input": text}).encode())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        with urllib3.PoolManager() as pool:
            headers = {"x-functions-key": self.keys.master} if self.keys is not None else {}
            answer = pool.request(method, f"{self.url}/admin/{path}", body=body, headers=headers, timeout=10.0)
        if answer.status >= 400:
            raise HostError(f"{method} /admin/{path} was answered with {answer.status}")
        return answer.data

    def _read(self, process: subprocess.Popen[str], said: concurrent.futures.Future[dict[str, Any]]) -> None:
        assert process.stdout is not None
        with contextlib.ExitStack() as stack:
            lines = stack.enter_context(process.stdout)
            copy = stack.enter_context(self._log_file.open("a")) if self._log_file else None
            for line in lines:
                self.log.append(line.rstrip("\n"))
                if copy:
                    copy.write(line)
                    copy.flush()
                if not said.done() and line.startswith(READY):
                    said.set_result(json.loads(line))
        said.cancel()

    def _wait(self, patience: float) -> int:
        assert self._process is not None
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._reader.join(5)
        self._process = None
        return code
