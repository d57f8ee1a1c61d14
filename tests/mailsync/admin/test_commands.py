"""All commands together: each teaches itself, and the shell completes them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mailsync.admin.commands import app

ROOT = Path(__file__).parents[3]
CALLED = ROOT / "bin/mailsync"


def commands(group: typer.Typer, *words: str) -> Iterator[tuple[str, ...]]:
    """Every command, by the words that lead to it."""
    for command in group.registered_commands:
        yield (*words, command.name or str(getattr(command.callback, "__name__", "")))
    for below in group.registered_groups:
        assert below.typer_instance is not None
        yield from commands(below.typer_instance, *words, str(below.name))


COMMANDS = [pytest.param(words, id=" ".join(words)) for words in commands(app)]


def help_of(words: tuple[str, ...]) -> str:
    said = CliRunner().invoke(app, [*words, "--help"], prog_name="python -m mailsync", env={"COLUMNS": "200"})
    assert said.exit_code == 0, said.output
    return " ".join(said.output.split())


@pytest.mark.parametrize("words", COMMANDS)
def test_the_help_of_a_command_teaches_by_an_example(words: tuple[str, ...]) -> None:
    """Beside its usage line."""
    assert help_of(words).count(f"python -m mailsync {' '.join(words)}") > 1


def test_every_command_stands_in_the_documents() -> None:
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    for words in commands(app):
        assert all(word in page for word in words), words


def shell(script: str, **more: str) -> str:
    env = {
        **os.environ,
        "PATH": f"{CALLED.parent}:{os.environ['PATH']}",
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, env={**env, **more}, cwd="/", timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_have_a_name_of_their_own_in_any_folder() -> None:
    assert "Usage: mailsync " in shell("mailsync --help")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        pytest.param("webhook ro", ["rotate"], id="a command in a group"),
        pytest.param("doc", ["doctor"], id="a command"),
        pytest.param("doctor --u", ["--url"], id="an option"),
    ],
)
def test_bash_completes_commands_and_options(typed: str, completed: list[str]) -> None:
    """By the very function that `--install-completion` would install."""
    words = ["mailsync", *typed.split()]
    script = f"""
        source <(mailsync --show-completion bash)
        COMP_WORDS=({" ".join(words)})
        COMP_CWORD={len(words) - 1}
        _mailsync_completion mailsync {words[-1]} {words[-2]}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    assert shell(script).split() == completed


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_other_shells_are_taught_too(name: str) -> None:
    assert f"_MAILSYNC_COMPLETE=complete_{name}" in shell(f"mailsync --show-completion {name}")
