"""`python -m sandbox demo` plays the main job; `python -m sandbox serve` keeps a world running to play with."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from itertools import count, cycle
from uuid import uuid4

from rich.console import Console

from sandbox import demo
from sandbox.mail import characters, samples
from sandbox.world import World

WIDTH = 130
"""Columns of the table, also where the output is no terminal."""
EVERY = 5.0
"""Seconds between two mails of the running sandbox."""


def serve(console: Console) -> None:
    """Run until interrupted: a mail every few seconds, the sweep every minute, the app's log as it is written."""
    settings = {"SWEEP_SCHEDULE": "0 * * * * *"}
    with World(settings=settings, timers=True, progress=console.print) as world:
        people = characters()
        world.know(people)
        world.connect(people)
        console.print("\nThe settings that lead into this world, for an app of your own:")
        for name, value in world.settings().items():
            if value:
                console.print(f"  {name}={value}", highlight=False, soft_wrap=True)
        console.print("\nMail keeps arriving; stop with Ctrl-C. The app's log:")
        shown = 0
        for number, mail in zip(count(1), cycle(samples(int(time.time())))):
            fresh = replace(mail, message_id=f"<{uuid4()}@sandbox.example>" if mail.message_id else None, date=None)
            for copy in mail.copies:
                world.nylas.deliver(copy.mailbox, fresh, copy.folder, notify=number % 10 != 0)
            until = time.monotonic() + EVERY
            while time.monotonic() < until:
                lines = world.host.log[shown:]
                shown += len(lines)
                for line in lines:
                    console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
                time.sleep(0.2)


def main(arguments: list[str]) -> int:
    """Exit code 0 when all went well."""
    console = Console()
    console.width = max(console.width, WIDTH)
    if arguments == ["demo"]:
        return 0 if demo.run(console) else 1
    if arguments == ["serve"]:
        try:
            serve(console)
        except KeyboardInterrupt:
            console.print("stopped")
        return 0
    console.print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
