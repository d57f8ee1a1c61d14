"""Headless Chromium out of its npm package, with fonts of its own: a page looks the same on every machine.

Responsible for finding a browser that can be started; what it is shown is the caller's business. Nothing is downloaded:
the package holds the browser itself, packed, for Linux on x86-64. Elsewhere a Chrome or Chromium that is installed
serves, or the one that the environment variable `CHROMIUM` names.
"""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

MODULES = Path(__file__).parent / "node_modules"
PACKAGE = MODULES / "@sparticuz" / "chromium"
AXE = MODULES / "axe-core" / "axe.min.js"
"""The accessibility checker, as a script to be put into a page."""
INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
UNPACK = "process.stdout.write(require('zlib').brotliDecompressSync(require('fs').readFileSync(process.argv[1])))"
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{folder}/fonts</dir>
  <cachedir>{folder}/fonts-cache</cachedir>
</fontconfig>
"""
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--font-render-hinting=none",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)


class NoBrowserError(Exception):
    """There is no browser on this machine that could be started; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Chromium:
    """A browser to start, and the environment it needs."""

    path: str
    environment: dict[str, str]


def chromium() -> Chromium:
    """The browser of this machine; unpacks the package's own the first time, which takes two seconds."""
    named = os.environ.get("CHROMIUM")
    if named:
        return Chromium(named, {})
    if PACKAGE.is_dir() and platform.system() == "Linux" and platform.machine() in {"x86_64", "AMD64"}:
        folder = _unpacked()
        return Chromium(str(folder / "chromium"), _environment(folder))
    found = next((path for name in INSTALLED if (path := shutil.which(name)) is not None), None)
    if found is None:
        raise NoBrowserError(
            "no browser: the npm package holds one for Linux on x86-64 only; install Chrome or Chromium, or let the "
            "environment variable CHROMIUM name one"
        )
    return Chromium(found, {})


@contextmanager
def started() -> Iterator[Browser]:
    """A headless browser that runs; raises NoBrowserError."""
    found = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found.path, args=list(ARGUMENTS), env={**_least(), **found.environment}
        )
        try:
            yield browser
        finally:
            browser.close()


def _least() -> dict[str, str | float | bool]:
    """No proxy and no setting of this machine's has a say in what a page may reach."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}


def _unpacked() -> Path:
    """Where the package's browser stands ready; several may unpack it at once, and one of them wins."""
    version = json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))["version"]
    folder = MODULES / ".chromium" / version
    if folder.is_dir():
        return folder
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work) / version
        made.mkdir()
        binary = made / "chromium"
        binary.write_bytes(_inflated("chromium.br"))
        binary.chmod(0o755)
        for packed in ("fonts.tar.br", "al2023.tar.br"):
            _lay_out(_inflated(packed), made)
        (made / "fonts.conf").write_text(FONTS.format(folder=folder), encoding="utf-8")
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def _lay_out(archive: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for member in packed:
            content = packed.extractfile(member) if member.isfile() else None
            if content is not None:
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())


def _inflated(name: str) -> bytes:
    done = subprocess.run(["node", "-e", UNPACK, str(PACKAGE / "bin" / name)], capture_output=True, check=True)
    return done.stdout


def _environment(folder: Path) -> dict[str, str]:
    """Its fonts, and the few libraries it needs beside the C library where the machine has none."""
    needed = subprocess.run(["ldd", folder / "chromium"], capture_output=True, text=True, check=False).stdout
    own = {"LD_LIBRARY_PATH": str(folder / "lib")} if "not found" in needed else {}
    return {"FONTCONFIG_FILE": str(folder / "fonts.conf"), **own}
