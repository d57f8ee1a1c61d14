"""The mails that Python's own email package is tested with: each becomes an email that Dataverse takes.

They are read where Python keeps them, and none is kept here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.corpus.cases import case_of
from tests.corpus.outcome import outcome_of
from tests.corpus.standing import assert_taken
from tests.mailsync.parts import DataverseServed
from tests.mapping.active_content import active_content

ALL = """
private = "track"
confidential = "track"
receipts = "track"
internal_only = "track"
"""
"""A policy that keeps no mail out."""


def python_mails() -> list[Path]:
    """None where the interpreter comes without its tests."""
    if importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_email") is None:
        return []
    spec = importlib.util.find_spec("test.test_email")
    assert spec is not None
    assert spec.origin is not None
    return sorted((Path(spec.origin).parent / "data").glob("msg_*.txt"))


MAILS = [pytest.param(path, id=path.stem) for path in python_mails()]


@pytest.mark.skipif(not MAILS, reason="this Python comes without its own tests")
@pytest.mark.parametrize("mailbox", ["ida", "marcus", "olga"], ids=["google", "microsoft", "imap"])
@pytest.mark.parametrize("path", MAILS)
def test_a_mail_of_pythons_own_tests_is_an_email(
    path: Path, mailbox: str, organisation: Callable[..., DataverseServed]
) -> None:
    one = case_of(path.read_bytes(), path.stem, mailbox=mailbox, policy=ALL)
    outcome = outcome_of(one)
    assert outcome.email is not None
    assert active_content(str(outcome.email.row()["description"])) == []
    assert_taken(organisation(), one)
