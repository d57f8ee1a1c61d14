"""Where the CPU of an email goes: samples of the host's threads while they hold the interpreter, by py-spy."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.world import APP

RATE = 250
"""Samples per second."""
_FRAME = re.compile(r"(?P<function>.*) \((?P<file>[^()]*?)(:\d+)?\)")
_LIBRARY = re.compile(r".*/(?:site-packages|lib/python3\.\d+)/(?P<parts>.+)")


class ProfilerError(RuntimeError):
    """The profiler cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Hotspots:
    """Shares of the samples, largest first."""

    rooms: Counter[str]
    """By the innermost function of this repository that was at work."""
    libraries: Counter[str]
    """By the package, ours or a library, whose code ran."""

    def lines(self, cpu_ms: float, most: int = 16) -> Iterator[str]:
        """A table; `cpu_ms` is what one email cost in all."""
        for title, found in (("for whom", self.rooms), ("in whose code", self.libraries)):
            yield f"\n| {title} | share | ms per email |\n|---|---|---|"
            total = sum(found.values())
            for name, samples in found.most_common(most):
                yield f"| {name} | {samples / total:.1%} | {samples / total * cpu_ms:.2f} |"


@contextmanager
def sampled(pid: int) -> Iterator[list[str]]:
    """Sample a process for the length of the block; the list holds the stacks afterwards, in py-spy's raw form."""
    spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if spy is None:
        raise ProfilerError("py-spy is not installed; run `uv pip install py-spy`")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stacks"
        command = [spy, "record", "--gil", "--full-filenames", "-f", "raw", "-r", str(RATE), "-d", "3600"]
        process = subprocess.Popen(
            [*command, "-o", str(file), "--pid", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        stacks: list[str] = []
        try:
            yield stacks
        finally:
            process.send_signal(signal.SIGINT)
            _, told = process.communicate()
        if not file.is_file():
            raise ProfilerError(f"py-spy could not look into the host: {told.strip()}")
        stacks += file.read_text(encoding="utf-8").splitlines()


def hotspots(stacks: Iterable[str]) -> Hotspots:
    """Group samples by whom they were for and whose code ran."""
    rooms: Counter[str] = Counter()
    libraries: Counter[str] = Counter()
    for line in stacks:
        stack, _, samples = line.rpartition(" ")
        frames = [found for frame in stack.split(";") if (found := _FRAME.fullmatch(frame))]
        if not frames:
            continue
        ours = [frame for frame in frames if _is_ours(frame["file"])]
        where = ours[-1] if ours else frames[0]
        rooms[f"{where['function']} ({_short(where['file'])})"] += int(samples)
        libraries[_package(frames[-1]["file"])] += int(samples)
    return Hotspots(rooms, libraries)


def _is_ours(file: str) -> bool:
    return file.startswith(str(APP)) and "site-packages" not in file


def _short(file: str) -> str:
    if _is_ours(file):
        return file.removeprefix(f"{APP}/")
    found = _LIBRARY.fullmatch(file)
    return found["parts"] if found else file


def _package(file: str) -> str:
    parts = _short(file).removesuffix(".py").split("/")
    return parts[0] if _is_ours(file) else "/".join(parts[:2])
