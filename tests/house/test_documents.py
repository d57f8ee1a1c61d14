"""The documents say what is so: commands that exist, files that exist, events that exist, nothing of any one machine."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from mailsync.dashboard.reasons import REASONS, Who
from mailsync.nylas.webhooks import TRIGGERS
from mailsync.settings import SWEEP_SCHEDULE, VERIFY_SCHEDULE, Settings, _Reading
from mapping.policy import parse_policy
from mapping.policy_schema import schema_of_policy
from mapping.tracking import CHAIN
from sandbox import world
from tests.house.reference import BLOCKS, SCHEMA, commands, schema

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("**/*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_command_named_in_a_document_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", document.read_text(encoding="utf-8"), re.MULTILINE))
    assert {one or other for one, other in named} <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_inside_the_repository_leads_somewhere(document: Path) -> None:
    for target, place in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            meant = document.parent / target if target else document
            assert meant.exists(), target
            assert not place or place in headings(meant), f"{target}#{place}"


def headings(document: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


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


@pytest.mark.parametrize(("document", "mark"), BLOCKS, ids=lambda part: getattr(part, "name", part))
def test_what_is_made_from_the_code_is_as_the_code_says(document: Path, mark: str) -> None:
    """`make reference` writes it anew."""
    page = document.read_text(encoding="utf-8")
    assert f"<!-- {mark} -->\n{BLOCKS[document, mark]()}\n<!-- /{mark} -->" in page


def test_the_schema_of_the_policy_is_made_from_its_keys() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema()


def test_the_page_of_commands_names_each_in_its_table() -> None:
    table = (ROOT / "docs/commands.md").read_text(encoding="utf-8").partition("## Each command")[0]
    each = re.findall(r"^### `python -m mailsync ([a-z ]+)`$", commands(), re.MULTILINE)
    groups = {name for name in each if any(other.startswith(f"{name} ") for other in each)}
    told = {word for line in table.splitlines() if line.startswith("| `") for word in re.findall(r"[a-z]+", line)}
    assert len(each) > 20
    assert [name for name in each if name not in groups and not set(name.split()) <= told] == []


def test_the_page_of_settings_tells_each_with_the_default_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no default, the page says in words what happens."""
    read: dict[str, object] = {"SWEEP_SCHEDULE": SWEEP_SCHEDULE, "VERIFY_SCHEDULE": VERIFY_SCHEDULE}
    ordinary = _Reading.optional

    def noted(reading: _Reading, name: str, parse: Callable[[str], object], default: object) -> object:
        read[name] = default
        return ordinary(reading, name, parse, default)

    monkeypatch.setattr(_Reading, "optional", noted)
    required = {"NYLAS_API_KEY": "k", "NYLAS_WEBHOOK_SECRET": "s", "DATAVERSE_URL": "https://contoso.crm.dynamics.com"}
    Settings.from_env({"AzureWebJobsStorage": "UseDevelopmentStorage=true", **required})
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \|", page.partition("## Optional")[2], re.MULTILINE))
    for name, default in read.items():
        if default is None:
            assert name in page, name
            assert "`" not in told.get(name, ""), name
        else:
            assert told[name].strip() == f"`{str(default).lower() if isinstance(default, bool) else default}`", name
    assert len(read) > 12


def test_the_shipped_policy_is_the_default_that_the_documents_promise() -> None:
    policy = parse_policy((ROOT / "tracking.toml").read_text(encoding="utf-8"), "tracking.toml")
    assert policy == parse_policy("", "empty"), "the shipped file spells out the defaults"


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
            r"(/(work|root)/|/home/[a-z]+/|/tmp/[a-z]|AccountKey=[A-Za-z0-9+/]{40,})",
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
