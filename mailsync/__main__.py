"""`python -m mailsync`: the operator's commands."""

from __future__ import annotations

from mailsync.admin.commands import app

if __name__ == "__main__":
    app(prog_name="python -m mailsync")
