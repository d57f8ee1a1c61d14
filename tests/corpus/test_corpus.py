"""Every case of the corpus comes to what is written beside it, and to the whole of what `expected/` holds."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mapping.text import units_of
from mapping.tracking import CHAIN
from tests.corpus.cases import Case, Written, case, cases, themes
from tests.corpus.expected import EXPECTED, of_theme, settled, told
from tests.corpus.outcome import at_a_glance
from tests.mapping.active_content import active_content

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\d+) \| [^|]+ \| (yes|no) \| ([^|]*)\|$", re.MULTILINE)
CASES = [pytest.param(one, id=one.name) for one in cases()]


@pytest.mark.parametrize("one", CASES)
def test_a_mail_comes_to_what_its_case_says(one: Case) -> None:
    came_to = glance(one)
    for key, value in one.written.expect.items():
        match key:
            case "says":
                assert [text for text in value if text not in came_to["description"]] == []
            case "says_not":
                assert [text for text in value if text in came_to["description"]] == []
            case "units_at_most":
                assert units_of(came_to["description"]) <= value
            case "same_as":
                assert told(one) == told(case(value))
            case "other_than":
                assert came_to["activityid"] != glance(case(value))["activityid"]
            case "told_apart_from":
                assert came_to["guard"] != glance(case(value))["guard"]
            case "known_again_as":
                other = glance(case(value))
                assert (came_to["activityid"], came_to["guard"]) == (other["activityid"], other["guard"])
            case _:
                assert came_to.get(key) == value


@pytest.mark.parametrize("one", CASES)
def test_a_mail_comes_to_the_whole_of_what_is_expected(one: Case) -> None:
    """`make corpus` writes the expected files; a difference is read before it is committed."""
    assert told(one) == of_theme(one.theme).get(one.written.name)


@pytest.mark.parametrize("theme", themes())
def test_nothing_is_expected_of_a_case_that_is_gone(theme: str) -> None:
    assert list(of_theme(theme)) == [one.written.name for one in cases() if one.theme == theme]
    assert {path.stem for path in EXPECTED.glob("*.json")} == set(themes())


def test_a_case_has_a_name_of_its_own_and_says_what_it_expects() -> None:
    assert [name for name, times in Counter(one.written.name for one in cases()).items() if times > 1] == []
    assert [one.name for one in cases() if not one.written.expect] == []
    assert [one.name for one in cases() if (one.written.mime is None) == (one.written.fields is None)] == []
    assert len(cases()) >= 130


def test_every_rule_skips_somewhere_and_lets_pass_elsewhere() -> None:
    skipped = {(came_to["skip"], came_to["at"]) for came_to in map(glance, cases()) if "skip" in came_to}
    assert {(rule.name, rule.step.value) for rule in CHAIN} == skipped
    assert sum("skip" not in came_to for came_to in map(glance, cases())) > 100


def test_no_expected_description_is_active() -> None:
    """Checked with another parser than the one that cleaned it."""
    found = {}
    for one in cases():
        email = settled(one).email
        if email is not None and (active := active_content(str(email.row()["description"]))):
            found[one.name] = active
    assert found == {}


def test_a_reason_to_skip_is_a_sentence_without_addresses() -> None:
    for one in cases():
        skip = settled(one).skip
        assert skip is None or (skip.reason.endswith(".") and "@" not in skip.reason)


@cache
def glance(one: Case) -> dict[str, Any]:
    """What a case comes to, in a few words each."""
    return at_a_glance(settled(one), one.world)


def test_every_complaint_is_shown_by_a_case_or_by_tests_that_exist() -> None:
    rows = ROW.findall(Path(__file__).with_name("README.md").read_text(encoding="utf-8"))
    assert [int(number) for number, _, _ in rows] == list(range(1, 26))
    named = {number for one in cases() for number in one.written.complaint}
    assert {int(number) for number, by_cases, _ in rows if by_cases == "yes"} == named
    for number, by_cases, elsewhere in rows:
        tests = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", elsewhere)
        assert by_cases == "yes" or tests, number
        for path, test in tests:
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"


def test_the_readme_names_every_key_of_a_case() -> None:
    told = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    assert [key for key in Written.__struct_fields__ if key != "why" and f"`{key}`" not in told] == []
    keys = set(glance(cases()[0])) | {key for one in cases() for key in one.written.expect}
    assert [key for key in sorted(keys - {"guard"}) if f"`{key}`" not in told] == []


def test_the_page_on_mapping_names_every_column_that_a_row_has() -> None:
    page = (ROOT / "docs/mapping.md").read_text(encoding="utf-8")
    written = [one for one in map(told, cases()) if "email" in one]
    rows = [row for one in written for row in (one["email"], one["completion"], *one.get("attachments", ()))]
    parties = [one["email"]["email_activity_parties"] for one in written]
    rows += [party for those in parties if isinstance(those, list) for party in those]
    columns = {
        re.sub(r"^(regardingobjectid|partyid)_.*", r"\1", name.partition("@")[0]) for row in rows for name in row
    }
    unnamed = {name for name in columns if not re.search(rf"`[^`]*\b{name}\b[^`]*`", page)}
    assert unnamed == {"partyid", "participationtypemask"}, "these two are told in words"
