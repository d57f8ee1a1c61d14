"""What runs on GitHub names targets, files and packages that exist, and runs nobody's code but that of a known commit."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PARAMETERS = json.loads((ROOT / "infra/main.parameters.json").read_text(encoding="utf-8"))["parameters"]


def targets() -> set[str]:
    rules = re.findall(r"^([\w./]+):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return set(rules) - {".PHONY"}


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield job
        yield from job.get("steps", [])


def problems(text: str) -> list[str]:
    """What a workflow names and nobody has."""
    found = []
    for step in steps(yaml.safe_load(text)):
        uses, run = step.get("uses", ""), step.get("run", "")
        if uses.startswith("./"):
            if not (ROOT / uses).is_file():
                found.append(f"{uses} is not there")
        elif uses and not re.search(rf"{re.escape(uses)} # v\d+\.\d+\.\d+$", text, re.MULTILINE):
            found.append(f"{uses} is not told with its version")
        elif uses and not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", uses):
            found.append(f"{uses} may change")
        found += [f"make {name} is no target" for name in re.findall(r"\bmake ([\w./]+)", run) if name not in targets()]
        named = re.findall(r"(?<![\w./-])(?:tests|infra|docs|sandbox|bench)/[\w./-]+", run)
        found += [f"{name} is not there" for name in named if not (ROOT / name).exists()]
        if "${{" in run:
            found.append("a script holds what somebody else wrote")
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_names_only_what_is_there(path: Path) -> None:
    assert problems(path.read_text(encoding="utf-8")) == []


def workflow(step: str) -> str:
    return f"jobs:\n  one:\n    runs-on: ubuntu-24.04\n    steps:\n      - {step}\n"


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        pytest.param("run: make everything", "make everything is no target", id="no such target"),
        pytest.param("run: pytest tests/house/test_nothing.py", "tests/house/test_nothing.py is not there", id="no such file"),
        pytest.param("uses: ./.github/workflows/other.yml", "./.github/workflows/other.yml is not there", id="no such workflow"),
        pytest.param("uses: actions/checkout@v7 # v7.0.1", "actions/checkout@v7 may change", id="a tag that can be moved"),
        pytest.param(
            f"uses: actions/checkout@{'a' * 40}", f"actions/checkout@{'a' * 40} is not told with its version", id="no version"
        ),
        pytest.param(
            "run: echo ${{ github.head_ref }}", "a script holds what somebody else wrote", id="an expression in a script"
        ),
    ],
)  # fmt: skip
def test_what_a_workflow_names_wrongly_is_told(step: str, problem: str) -> None:
    assert problems(workflow(step)) == [problem]


def test_ci_runs_everything_on_each_python_that_is_supported() -> None:
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    pythons = ci["jobs"]["test"]["strategy"]["matrix"]["python"]
    least = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert pythons[0] == least.removeprefix(">=")
    assert [int(python.partition(".")[2]) for python in pythons] == [11, 12, 13]
    assert [step.get("run") for step in ci["jobs"]["test"]["steps"]][-1] == "make test"


def test_each_week_the_proofs_that_take_too_long_for_every_change_are_made() -> None:
    proof = yaml.safe_load((ROOT / ".github/workflows/proof.yml").read_text(encoding="utf-8"))
    assert proof[True]["schedule"], "YAML 1.1 reads `on` as a truth value"
    ran = [step["run"] for step in steps(proof) if "run" in step]
    assert ran == ["make chaos", "make thorough", "make fuzz"]


def test_only_the_job_that_deploys_may_ask_for_a_token_and_it_waits_for_ci_and_for_people() -> None:
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        read = yaml.safe_load(text)
        assert read["permissions"] == {"contents": "read"}, path.name
        asking = {name: job for name, job in read["jobs"].items() if "id-token" in job.get("permissions", {})}
        assert set(asking) == ({"deploy"} if path.name == "deploy.yml" else set())
        for job in asking.values():
            assert job["needs"] == "ci"
            assert job["environment"], "an environment can hold rules: who approves, which branch"
        assert "secrets." not in text, "Azure trusts the workflow; the app's secrets are in its vault"


def test_the_variables_that_deploying_needs_are_those_azd_passes() -> None:
    text = (ROOT / ".github/workflows/deploy.yml").read_text(encoding="utf-8")
    comment = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    named = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", comment))
    assert named
    assert named <= {value["value"].strip("${}") for value in PARAMETERS.values()}


def test_dependabot_looks_where_there_is_something() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text(encoding="utf-8"))["updates"]
    files = {"pip": "requirements.txt", "npm": "package-lock.json", "github-actions": ".github/workflows"}
    assert {update["package-ecosystem"] for update in updates} == set(files)
    for update in updates:
        assert (ROOT / update["directory"].strip("/") / files[update["package-ecosystem"]]).exists()
