"""`python -m mailsync`: the operator's commands."""

from __future__ import annotations

from mailsync.admin.commands import app
from mailsync.wiring import called

if __name__ == "__main__":
    app(prog_name=called())
