"""The command: serves one app until a signal says otherwise, and says on standard output when it is ready.

python -m sandbox.host --app . --settings local.settings.json
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from sandbox.host.errors import HostError
from sandbox.host.host import LOG, PROCESSING_VISIBILITY, Host
from sandbox.host.routes import Keys


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal says otherwise."""
    options = _arguments(argv)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(130) if stop.is_set() else stop.set())
    if options.settings:
        _settings_from(options.settings)
    _leave_own_path()
    app_dir = options.app.resolve()
    os.chdir(app_dir)
    try:
        host = _host(app_dir, options).start()
    except (HostError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    _say_ready(host)
    if options.end_with_stdin:
        threading.Thread(target=_watch_stdin, args=(stop,), daemon=True).start()
    stop.wait()
    if host.stop(options.drain):
        return 0
    LOG.error("functions were still running after %s s; they are cut off", options.drain)
    logging.shutdown()
    os._exit(1)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox.host", description="Runs an Azure Functions app.")
    parser.add_argument("--app", type=Path, required=True, help="the folder of function_app.py and host.json")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    parser.add_argument("--settings", type=Path, help="a local.settings.json; the environment wins over it")
    parser.add_argument(
        "--visibility",
        type=float,
        default=PROCESSING_VISIBILITY,
        help="seconds that a message stays hidden while it is in work",
    )
    parser.add_argument("--max-poll", type=float, help="seconds between polls at most, under host.json's own")
    parser.add_argument("--drain", type=float, default=10.0, help="seconds that functions get to end at a stop")
    parser.add_argument("--no-timers", action="store_true", help="timers run by hand only")
    parser.add_argument("--function-key", help="with --master-key: keys are asked for")
    parser.add_argument("--master-key")
    parser.add_argument("--log-level", default="INFO")
    parser.add_argument("--end-with-stdin", action="store_true", help="stop when standard input closes")
    return parser.parse_args(argv)


def _host(app_dir: Path, options: argparse.Namespace) -> Host:
    return Host(
        app_dir,
        port=options.port,
        processing_visibility=options.visibility,
        max_poll=options.max_poll,
        timers=not options.no_timers,
        keys=Keys(options.function_key, options.master_key) if options.master_key else None,
    )


def _say_ready(host: Host) -> None:
    names = [function.name for function in host.functions]
    ready = {"event": "ready", "url": host.url, "pid": os.getpid(), "functions": names, "errors": host.errors}
    sys.stdout.write(f"{json.dumps(ready)}\n")
    sys.stdout.flush()


def _settings_from(path: Path) -> None:
    document = json.loads(path.read_text("utf-8-sig"))
    for name, value in document.get("Values", {}).items():
        os.environ.setdefault(name, str(value))


def _leave_own_path() -> None:
    """Let the app find its own modules: the folder this command was started from is not the app's."""
    here = Path(__file__).resolve().parents[2]
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]


def _watch_stdin(stop: threading.Event) -> None:
    while os.read(0, 1024):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
