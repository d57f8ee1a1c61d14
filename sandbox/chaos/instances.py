"""The instances of the app, and how they are killed and started again at random."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from random import Random

from sandbox.host import HostError, HostProcess


class Instances:
    """Several processes of the app on one storage account."""

    def __init__(self, first: HostProcess, *others: HostProcess, lead: Callable[[str], None]) -> None:
        self._hosts = (first, *others)
        self._lead = lead
        self.kills = 0
        self._lock = threading.Lock()
        for other in others:
            other.start()

    def kill_one(self, random: Random) -> None:
        """End one of them by SIGKILL, sometimes all, and start what was ended again."""
        with self._lock:
            some = self._hosts if random.random() < 0.15 else (random.choice(self._hosts),)
            for host in some:
                host.kill()
                self.kills += 1
            self._lead(next((host.url for host in self._hosts if host.running), some[0].url))
            for host in some:
                host.start()
                self._lead(host.url)

    def sweep(self) -> bool:
        """Let the timer fire, as it does in one instance only; False when none could be asked."""
        for host in self._hosts:
            try:
                host.run("sweep_missed")
            except (HostError, OSError):
                continue
            except Exception as error:  # urllib3's, of a host that has just been killed
                if not type(error).__module__.startswith("urllib3"):
                    raise
                continue
            return True
        return False

    def stop(self) -> None:
        """End all but the first, whose world ends it."""
        with self._lock:
            for host in self._hosts[1:]:
                host.stop()

    @property
    def log(self) -> list[str]:
        """Every line that any of them wrote."""
        return [line for host in self._hosts for line in host.log]


class Every:
    """Does something again and again, in a thread of its own, until told to stop; its failure is the caller's."""

    def __init__(self, pause: float, act: Callable[[], object]) -> None:
        self._pause = pause
        self._act = act
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._pause):
                self._act()
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever waits in end()
            self._failure = error

    def end(self) -> None:
        """Stop, and raise what went wrong."""
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure


def until(deadline: float, so: Callable[[], object], pause: float = 0.2) -> bool:
    """Wait until something is so; False when the time is over first."""
    while not so():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
