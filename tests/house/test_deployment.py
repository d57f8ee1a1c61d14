"""What is deployed: the files that .funcignore lets through, with requirements.txt alone, are a whole app."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.funcignore import Reading, azd_takes, func_takes

ROOT = Path(__file__).parents[2]
FUNCTIONS = [
    "collect_poison",
    "collect_sweep_poison",
    "health",
    "ingest_webhook",
    "manage",
    "shorten_journal",
    "status",
    "sweep_mailbox",
    "sweep_missed",
    "verify_nightly",
    "write_email",
]
LISTING = """
import json, function_app
print(json.dumps(sorted(built.get_function_name() for built in function_app.app.get_functions())))
"""


IGNORE = (ROOT / ".funcignore").read_text(encoding="utf-8").split()


def deployed(takes: Reading = func_takes) -> Iterator[Path]:
    """The tracked files that .funcignore lets through."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    yield from (Path(line) for line in tracked.stdout.splitlines() if takes(IGNORE, line))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployed")
    for path in deployed():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    return folder


@pytest.mark.parametrize("takes", [pytest.param(func_takes, id="func"), pytest.param(azd_takes, id="azd")])
def test_the_deployed_files_are_no_more_than_the_app_needs(takes: Reading) -> None:
    names = {path.parts[0] for path in deployed(takes)}
    assert names == {"function_app.py", "host.json", "requirements.txt", "tracking.toml", "mapping", "mailsync"}


def test_func_and_azd_deploy_the_same_files() -> None:
    files = set(deployed(func_takes))
    assert set(deployed(azd_takes)) == files
    assert len([path for path in files if path.suffix == ".py"]) > 50, "modules below the top are among them"


@pytest.mark.parametrize(
    ("lines", "path", "func", "azd"),
    [
        pytest.param(["/*", "!/mapping"], "mapping/body.py", True, False, id="azd's star goes below the top"),
        pytest.param(["/*", "!/mapping", "!/mapping/**"], "mapping/body.py", True, True, id="both are told of what is below"),
        pytest.param(["!/mapping", "!/mapping/**", "/*"], "mapping/body.py", True, False, id="for azd the last line wins"),
        pytest.param(["/*", "!/host.json"], "host.json", True, True, id="a file at the top"),
        pytest.param(["/*", "!/mapping/**"], "mapping/a/b.py", True, True, id="a file further below"),
        pytest.param(["/*", "!/mapping/**", "**/__pycache__"], "mapping/__pycache__/a.pyc", True, False, id="a cache"),
        pytest.param(["/*", "!/host.json"], "infra/host.json", False, False, id="the same name elsewhere"),
        pytest.param(["__pycache__"], "mapping/__pycache__/a.pyc", True, False, id="a bare name is func's top alone"),
    ],
)  # fmt: skip
def test_the_two_tools_read_patterns_in_their_own_ways(lines: list[str], path: str, func: bool, azd: bool) -> None:
    assert (func_takes(lines, path), azd_takes(lines, path)) == (func, azd)


def test_the_deployed_files_alone_index_all_functions_without_any_setting(app: Path, tmp_path: Path) -> None:
    """With only requirements.txt installed, in an empty environment."""
    venv = tmp_path / "venv"
    uv = str(Path(sys.executable).with_name("uv"))
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "PYTHON"))}
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, venv], env=keep, check=True)
    subprocess.run(
        [uv, "pip", "install", "-q", "--python", venv / "bin/python", "-r", app / "requirements.txt"],
        env=keep,
        check=True,
    )
    listed = subprocess.run(
        [venv / "bin/python", "-c", LISTING],
        cwd=app,
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout) == FUNCTIONS


def test_host_json_holds_what_the_code_assumes() -> None:
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    queues = host["extensions"]["queues"]
    assert queues["maxPollingInterval"] == "00:00:02", "messages sent by the SDK don't wake the listener"
    assert queues["visibilityTimeout"] == "00:00:30"
    assert queues["messageEncoding"] == "base64"
    assert queues["maxDequeueCount"] == 5
    assert queues["batchSize"] + queues["newBatchThreshold"] <= 64, "storage keeps 64 connections"
    assert host["functionTimeout"] == "00:10:00"
    assert "retry" not in host, "host.json's queue settings retry; a retry policy would hide a message for longer"
    assert host["extensionBundle"]["version"] == "[4.*, 5.0.0)"


def test_each_function_is_named_after_its_python_function() -> None:
    """Someone who reads a failure in the portal can open the file without searching."""
    tree = ast.parse((ROOT / "function_app.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert sorted(function.name for function in functions) == FUNCTIONS
    for function in functions:
        names = [
            call.args[0]
            for call in function.decorator_list
            if isinstance(call, ast.Call) and call.func.attr == "function_name"
        ]  # type: ignore[attr-defined]
        assert [name.value for name in names if isinstance(name, ast.Constant)] == [function.name]


def test_the_example_names_every_setting_once() -> None:
    example = json.loads(
        (ROOT / "local.settings.example.json").read_text(encoding="utf-8"), object_pairs_hook=_no_doubles
    )
    tree = ast.parse((ROOT / "mailsync/settings.py").read_text(encoding="utf-8"))
    read = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"required", "optional"}
        and isinstance(node.args[0], ast.Constant)
    }
    own = set(example["Values"])
    assert read - {"REQUESTS_CA_BUNDLE", "AZURE_AUTHORITY_HOST"} <= own
    beside = {
        "FUNCTIONS_WORKER_RUNTIME",
        "SWEEP_SCHEDULE",
        "VERIFY_SCHEDULE",
        "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY",
    }
    assert own - read == beside
    assert all(isinstance(value, str) for value in example["Values"].values())
    assert not [name for name in own if name.startswith("AZURE_")], "to azure-identity an empty one is set"


def test_the_reference_explains_every_setting() -> None:
    example = json.loads((ROOT / "local.settings.example.json").read_text(encoding="utf-8"))
    reference = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    missing = [name for name in example["Values"] if f"`{name}`" not in reference]
    assert not missing


def test_requirements_hold_every_package_pinned_with_markers_where_versions_differ() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert all("==" in line for line in lines)
    assert sum(line.startswith("azure-functions==") for line in lines) == 2, (
        "one line below Python 3.13, one from it on"
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {line.partition("==")[0] for line in lines}
    assert set(project["dependencies"]) <= pinned
    developing = {
        line.partition("==")[0] for line in (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    }
    assert pinned <= developing


def _no_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), "a setting is named twice"
    return dict(pairs)
