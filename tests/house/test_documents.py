"""The documents say what is so: commands that exist, files that exist, events that exist, nothing of any one machine."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from mailsync.dashboard.reasons import REASONS, Who
from mailsync.nylas.webhooks import TRIGGERS
from mailsync.telemetry import EVENTS, METRICS
from mapping.policy import parse_policy
from mapping.policy_schema import reference_of_policy, schema_of_policy
from mapping.tracking import CHAIN
from sandbox import world

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("**/*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_command_named_in_a_document_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", document.read_text(encoding="utf-8"), re.MULTILINE))
    assert {one or other for one, other in named} <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_inside_the_repository_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_every_test_that_the_proof_names_exists() -> None:
    named = re.findall(
        r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`", (ROOT / "docs/proof.md").read_text(encoding="utf-8")
    )
    assert len(named) > 50
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"


def test_what_nylas_is_asked_to_tell_is_the_same_in_the_code_the_documents_and_the_sandbox() -> None:
    page = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    assert [trigger for trigger in TRIGGERS if f"`{trigger}`" not in page] == []
    assert set(world.TRIGGERS) == set(TRIGGERS)


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").rstrip().endswith("exec make test")


def test_the_log_reference_names_every_event() -> None:
    reference = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    assert [event for event in EVENTS if f"`{event}`" not in reference] == []


def test_the_reference_of_metrics_is_the_codes() -> None:
    reference = (ROOT / "docs/operate.md").read_text(encoding="utf-8").partition("## Metrics")[2].partition("\n## ")[0]
    told = [[cell.strip() for cell in line.strip("|").split("|")] for line in reference.splitlines() if "| `" in line]
    assert told == [
        [f"`{name}`", metric.kind, metric.unit, ", ".join(f"`{one}`" for one in metric.by), metric.says]
        for name, metric in METRICS.items()
    ]


def test_the_shipped_policy_is_the_default_that_the_documents_promise() -> None:
    policy = parse_policy((ROOT / "tracking.toml").read_text(encoding="utf-8"), "tracking.toml")
    assert policy == parse_policy("", "empty"), "the shipped file spells out the defaults"


def test_the_reference_of_the_policy_is_made_from_its_keys() -> None:
    page = (ROOT / "docs/policy.md").read_text(encoding="utf-8")
    assert reference_of_policy() in page
    assert json.loads((ROOT / "docs/tracking.schema.json").read_text(encoding="utf-8")) == schema_of_policy()


def test_the_policy_page_names_every_rule() -> None:
    page = (ROOT / "docs/policy.md").read_text(encoding="utf-8")
    assert [rule.name for rule in CHAIN if f"`{rule.name}`" not in page] == []


def test_every_key_of_the_shipped_policy_is_one_that_the_schema_allows() -> None:
    policy = tomllib.loads((ROOT / "tracking.toml").read_text(encoding="utf-8"))
    schema = schema_of_policy()["properties"]
    for key, value in policy.items():
        assert key in schema
        if isinstance(value, dict):
            assert value.keys() <= schema[key]["properties"].keys()


def test_no_path_of_a_machine_and_no_secret_is_committed() -> None:
    """Azurite's well-known key is public; it is spelled out once, where the short connection string is expanded."""
    found = subprocess.run(
        [
            "git",
            "grep",
            "-lE",
            r"(/work/|/home/[a-z]+/|/root/|/tmp/[a-z]|AccountKey=[A-Za-z0-9+/]{40,})",
            "--",
            ".",
            ":!tests/house",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout.split() in ([], ["mailsync/settings.py"])


def test_the_status_page_says_what_each_reason_means_and_who_acts_as_the_table_of_failures_does() -> None:
    """Those that only a person at the keyboard is told have no kind there, and no meaning on the page."""
    who = {
        "transient": {Who.NOBODY, Who.DEVELOPER, Who.ADMINISTRATOR},
        "throttled": {Who.NOBODY},
        "authorisation": {Who.OWNER},
        "configuration": {Who.ADMINISTRATOR},
        "data": {Who.OPERATOR, Who.DEVELOPER, Who.OWNER},
    }
    table = (ROOT / "docs/failures.md").read_text(encoding="utf-8").partition("## Reasons")[2]
    told = set()
    for line in table.splitlines()[4:]:
        names, kind = (cell.strip() for cell in line.split("|")[1:3])
        for name in re.findall(r"`([a-z_]+)`", names) if kind else ():
            told.add(name)
            assert name in REASONS, f"{name} means nothing on the status page"
            assert REASONS[name].who in who[kind], name
    assert set(REASONS) - told == {"grant"}, "the reason of what waits in the journal for a sign-in"


def test_the_table_of_failures_names_every_reason_in_the_code_and_no_other() -> None:
    """A reason in a log line or a journal row can be looked up."""
    table = (ROOT / "docs/failures.md").read_text(encoding="utf-8").partition("## Reasons")[2]
    told = {name for line in table.splitlines()[4:] for name in re.findall(r"`([a-z_]+)`", line.split("|")[1])}
    source = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("mailsync/**/*.py"))
    used = set(re.findall(r'reason="([a-z_]+)"', source)) | set(re.findall(r'"(grant_[a-z]+)" if', source))
    made = {f"{vendor}_{how}" for vendor in ("nylas", "dataverse") for how in ("timed_out", "unreachable")}
    gates = {
        f"{gate}_{how}" for gate in re.findall(r'Gate\(\s*"([a-z]+)"', source) for how in ("closed", "busy", "paced")
    }
    assert used - told == set(), "reasons nobody can look up"
    assert told <= used | made | gates | {"nylas_throttled", "nylas_unavailable"}, "reasons that no longer exist"
