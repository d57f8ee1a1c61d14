from __future__ import annotations

import time

import pytest

from mapping.policy import PolicyError, parse_policy
from mapping.policy_file import PolicyFile


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('track = "all"\nthread = \n', "t:2: not valid TOML: Invalid value", id="no value"),
        pytest.param("\n\nown_domains = [", "t:3: not valid TOML: ", id="no end"),
        pytest.param("track = 'all'\ntrack = 'all'", "t:2: not valid TOML: ", id="a key twice"),
        pytest.param("deny = 1", "t:1: deny must be a table, written [deny]", id="no table"),
        pytest.param("# x\ndeny.domain = []", "t:2: deny.domain is no key of this file", id="dotted key"),
        pytest.param("\ndeny = { domain = [] }", "t:2: deny.domain is no key of this file", id="inline table"),
        pytest.param('\n[ "deny" ]\n"domain" = []', "t:3: deny.domain is no key of this file", id="quoted keys"),
        pytest.param('x = """\ntrack = 1\n"""\ntrack = 2', "t:4: track = 2 is not known", id="a key inside a text"),
        pytest.param("own_domains = ['*.contoso.com']", 't:1: own_domains holds "*.contoso.com"', id="a pattern"),
        pytest.param("own_domains = ['contoso']", 't:1: own_domains holds "contoso"', id="a single label"),
        pytest.param("own_domains = ['']", 't:1: own_domains holds ""', id="nothing"),
        pytest.param("[[deny]]\n", "t:1: deny must be a table, written [deny]", id="a list of tables"),
        pytest.param("\nmailboxes = []", "t:2: mailboxes must be a table", id="a list instead of a table"),
        pytest.param(
            "\n[mailboxes]\n'a@b.org' = 1", 't:3: mailboxes."a@b.org" must be a table', id="a value instead of a table"
        ),
        pytest.param(
            "[regarding]\ntables = {}", "t:2: regarding.tables must be a list of tables, each written [[regarding.tables]]",
            id="a table instead of a list",
        ),
        pytest.param("regarding.tables = [1]", "t:1: regarding.tables must be a list of tables", id="a list of numbers"),
        pytest.param(
            "[[regarding.tables]]\nname='a'\ntable='t'\ncontact='c'\n\n[[regarding.tables]]\nname='b'\ntable='T'",
            "t:8: regarding.tables.1.table", id="the second table of a list",
        ),
        pytest.param("[mailboxes.'a@b.org']\ndeny = []", 't:2: mailboxes."a@b.org".deny must be a table', id="a table inside"),
        pytest.param(
            "[mailboxes.'a@b.org'.deny]\n\nsenders = ['@']", 't:3: mailboxes."a@b.org".deny.senders holds "@"', id="a key of one"
        ),
        pytest.param("mailboxes.'a@b.org'.bulk = 1", 't:1: mailboxes."a@b.org".bulk = 1 is not known', id="all in one key"),
        pytest.param("owner.fallback = 7", "t:1: owner.fallback = 7 must be a user or team", id="a number for a text"),
        pytest.param("track = 2026-01-01", "t:1: track = 2026-01-01 is not known", id="a date"),
        pytest.param("track = ['all']", "t:1: track = ['all'] is not known", id="a list for a word"),
    ],
)  # fmt: skip
def test_a_problem_is_found_again_by_its_line(text: str, expected: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "t")
    assert any(line.startswith(expected) for line in str(caught.value).splitlines()), str(caught.value)


def test_problems_stand_in_the_order_of_the_file_each_once() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy("bulk = 1\ninvites = 2\n\nbounces = 3\n[mailboxes.'a@b.org']\nbulk = 'skip'", "t")
    assert [line.partition(" = ")[0] for line in str(caught.value).splitlines()] == ["t:1: bulk", "t:2: invites", "t:4: bounces"]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "has", "names"),
    [
        pytest.param(("a",), True, ("b", "c"), id="a table"),
        pytest.param(("a", "b"), True, (), id="a value"),
        pytest.param(("a", "c"), True, ("0", "1"), id="a list of tables by number"),
        pytest.param(("a", "c", "1"), True, ("d",), id="one of them"),
        pytest.param(("a", "c", "2"), False, (), id="one there is not"),
        pytest.param(("a", "b", "x"), False, (), id="a key of a value"),
        pytest.param(("x",), False, (), id="nothing"),
        pytest.param((), True, ("a",), id="the file"),
    ],
)
def test_a_path_leads_through_tables_and_lists_of_them(
    path: tuple[str, ...], has: bool, names: tuple[str, ...]
) -> None:
    file = PolicyFile("[a]\nb = 0\n[[a.c]]\n[[a.c]]\nd = 1", "t")
    assert file.has(path) is has
    assert file.names(path) == names
    assert file.problems == []


def test_every_value_has_its_default() -> None:
    file = PolicyFile("empty = ''", "t")
    assert file.choice(("x",), ("a", "b"), "b") == "b"
    assert file.flag(("x",), default=True) is True
    assert file.text(("x",), str.upper, "a word", "c") == "c"
    assert file.text(("empty",), str.upper, "a word", "c") == "c"
    assert file.entries(("x",), str.upper, "a word") is None
    assert file.is_table(("x",))
    assert file.is_tables(("x",))
    assert file.problems == []


def test_an_entry_stands_once_however_it_is_written() -> None:
    assert PolicyFile("x = ['a', 'B', 'A']", "t").entries(("x",), str.upper, "a word") == ("A", "B")


def test_a_file_that_is_no_toml_has_no_values() -> None:
    file = PolicyFile("a = 1\nb = ", "t")
    assert not file.has(("a",))
    assert len(file.problems) == 1


def test_a_large_file_with_a_problem_is_read_in_time() -> None:
    boxes = "\n".join(f"[mailboxes.'m{number}@x.org']\nbulk = 'skip'" for number in range(400))
    before = time.process_time()
    with pytest.raises(PolicyError, match="t:801: other is no key of this file"):
        parse_policy(f"{boxes}\n[other]\n", "t")
    assert time.process_time() - before < 10
