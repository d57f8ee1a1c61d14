"""`python -m sandbox demo` plays the main job; `serve` keeps a world running to play with, and its status page."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import count, cycle
from uuid import uuid4

from rich.console import Console

from sandbox import demo
from sandbox.host import Keys
from sandbox.mail import characters, samples
from sandbox.world import World

WIDTH = 130
"""Columns of the table, also where the output is no terminal."""
EVERY = 5.0
"""Seconds between two mails of the running sandbox."""
REFUSED = 6
"""Which mail Dataverse refuses at first, so that there is something to replay."""
ON_HOLD = 20.0
"""Seconds that it does so."""


def serve(console: Console) -> None:
    """Run until interrupted: a mail every few seconds, sweep and proof every minute, the app's log as it is written."""
    settings = {"SWEEP_SCHEDULE": "0 * * * * *", "VERIFY_SCHEDULE": "30 * * * * *"}
    keys = Keys(secrets.token_urlsafe(24), secrets.token_urlsafe(24))
    with World(settings=settings, timers=True, keys=keys, progress=console.print) as world:
        people = characters()
        world.know(people)
        world.connect(people)
        console.print("\nThe settings that lead into this world, for an app of your own:")
        for name, value in world.settings().items():
            if value:
                console.print(f"  {name}={value}", highlight=False, soft_wrap=True)
        console.print("\nThe status page, with live traffic:")
        for line in (
            f"{world.host.url}/api/status?code={keys.function}",
            f"admin key, to be typed in there: {keys.master}",
        ):
            console.print(f"  {line}", highlight=False, soft_wrap=True)
        console.print(f"\nMail keeps arriving, and number {REFUSED} is refused until it is replayed; stop with Ctrl-C.")
        console.print("The app's log:")
        shown = 0
        for number, mail in zip(count(1), cycle(samples(int(time.time())))):
            if number == REFUSED:
                _refuse_for_now(world, mail.subject)
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


def _refuse_for_now(world: World, subject: str | None) -> None:
    """Let a plug-in of Dataverse's refuse this mail for a while."""
    until = time.monotonic() + ON_HOLD
    before = world.dataverse.behaviour.plug_in

    def refuse(table: str, values: Mapping[str, object]) -> str | None:
        is_on_hold = values.get("subject") == subject and time.monotonic() < until
        return "this customer is on hold" if is_on_hold else before(table, values)

    world.dataverse.behaviour.plug_in = refuse


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
