"""Azurite, the storage emulator, as one object: started on free ports, stopped and cleaned up by process id.

Responsible for the emulator's process, its folder and the connection strings of its accounts. Which version runs is
package.json's business, what is stored in it everybody else's.
"""

from __future__ import annotations

import base64
import os
import queue
import re
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_PACKAGE = Path(__file__).parent
_SCRIPT = _PACKAGE / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
_INSTALL = f"npm ci --prefix {_PACKAGE.name}"
_ACCOUNT = "devstoreaccount"
_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (http://\S+)")
_SERVICES = ("Blob", "Queue", "Table")

# Ends Azurite when our end of its standard input closes, so that a killed parent leaves nothing behind.
_END_WITH_PARENT = """data:text/javascript,
import { rmSync } from "node:fs";
process.stdin.on("end", () => {
  const folder = process.env.AZURITE_TEMPORARY_FOLDER;
  if (folder) rmSync(folder, { recursive: true, force: true });
  process.exit(0);
}).resume().unref();
""".replace("\n", "")


class AzuriteError(RuntimeError):
    """Azurite is not installed or did not start; the message says what to do."""


class Azurite:
    """Blob, queue and table services on free ports of 127.0.0.1, in a temporary folder unless one is given.

    Several accounts share nothing but the process: each has queues and tables of its own, whatever their names.
    """

    def __init__(self, folder: Path | None = None, *, accounts: int = 1, start_timeout: float = 60.0) -> None:
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="azurite-"))
        # Keys made on the spot: no well-known one has to stand in the repository.
        self._keys = {
            f"{_ACCOUNT}{number}": base64.b64encode(secrets.token_bytes(64)).decode()
            for number in range(1, accounts + 1)
        }
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.connection_strings: tuple[str, ...] = ()
        """One for each account."""
        try:
            self._process = self._launch()
            endpoints = self._await_endpoints(time.monotonic() + start_timeout)
            self.connection_strings = tuple(self._connection_string(account, endpoints) for account in self._keys)
        except BaseException:
            self.stop()
            raise

    @property
    def connection_string(self) -> str:
        """That of the first account."""
        return self.connection_strings[0]

    @property
    def pid(self) -> int:
        """The process id of the emulator."""
        if self._process is None:
            raise AzuriteError("Azurite is not running")
        return self._process.pid

    def stop(self) -> None:
        """End the emulator and remove its folder when it is a temporary one; a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            if self._own_folder:
                process.kill()
            else:
                process.terminate()  # lets it write its database
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> subprocess.Popen[str]:
        node = shutil.which("node")
        if node is None:
            raise AzuriteError("Azurite needs Node.js 20 or later, and there is no `node` on the path")
        if not _SCRIPT.is_file():
            raise AzuriteError(f"Azurite is not installed; run `{_INSTALL}` in {_PACKAGE.parent}")
        command = [node, "--import", _END_WITH_PARENT, str(_SCRIPT), "--location", str(self.folder)]
        for service in ("blob", "queue", "table"):
            # Idle connections are kept: a client's pool then never meets one that is just being closed.
            command += [f"--{service}Port", "0", f"--{service}KeepAliveTimeout", "600"]
        command += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        accounts = ";".join(f"{account}:{key}" for account, key in self._keys.items())
        env = {**os.environ, "AZURITE_ACCOUNTS": accounts, "NODE_ENV": "production"}
        env["AZURITE_TEMPORARY_FOLDER"] = str(self.folder) if self._own_folder else ""
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is for us; the emulator ends after those who use it
        )
        threading.Thread(target=self._read, args=(process,), name="azurite-output", daemon=True).start()
        return process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)

    def _await_endpoints(self, deadline: float) -> dict[str, str]:
        endpoints: dict[str, str] = {}
        said: list[str] = []
        while len(endpoints) < len(_SERVICES):
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AzuriteError(f"Azurite did not listen in time; it said: {''.join(said)}") from None
            if line is None:
                raise AzuriteError(f"Azurite ended while starting; it said: {''.join(said)}")
            said.append(line)
            if found := _LISTENING.search(line):
                endpoints[found[1]] = found[2].rstrip("/")
        return endpoints

    def _connection_string(self, account: str, endpoints: dict[str, str]) -> str:
        parts = ["DefaultEndpointsProtocol=http", f"AccountName={account}", f"AccountKey={self._keys[account]}"]
        parts += [f"{service}Endpoint={endpoints[service]}/{account}" for service in _SERVICES]
        return ";".join(parts) + ";"
