"""The last nightly proof of each mailbox."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailsync.storage.account import StorageAccount
from mailsync.storage.proofs import Proofs, Proven
from tests.mailsync.parts import NOW, new_id

WHOLE = Proven(
    grant="",
    tried=NOW,
    made=NOW + 9,
    since=NOW - 100,
    until=NOW,
    seen=40,
    unexplained=3,
    doubled=2,
    left_open=1,
    listing="listed",
    span=3600,
)


@pytest.fixture
def proofs(account: StorageAccount) -> Proofs:
    return Proofs(account)


def test_a_proof_reads_back_as_it_was_made(proofs: Proofs) -> None:
    proven = replace(WHOLE, grant=new_id())
    proofs.put(proven)
    assert proofs.get(proven.grant) == proven
    assert proven in proofs.all()


def test_a_mailbox_has_its_last_proof_alone(proofs: Proofs) -> None:
    grant = new_id()
    for proven in (replace(WHOLE, grant=grant), Proven(grant=grant, tried=NOW + 5)):
        proofs.put(proven)
        assert proofs.get(grant) == proven
    assert proofs.get(new_id()) is None


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        pytest.param({"unexplained": 0, "doubled": 0, "left_open": 0}, True, id="all is accounted for"),
        pytest.param({"doubled": 0, "left_open": 0}, False, id="some is unexplained"),
        pytest.param({"unexplained": 0, "left_open": 0}, False, id="some is doubled"),
        pytest.param({"unexplained": 0, "doubled": 0}, False, id="some is left open"),
        pytest.param({"unexplained": 0, "doubled": 0, "left_open": 0, "made": None}, False, id="none was ever made"),
    ],
)
def test_a_proof_holds(changes: dict[str, int | None], holds: bool) -> None:
    assert replace(WHOLE, **changes).holds is holds  # type: ignore[arg-type]
