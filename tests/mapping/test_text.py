from __future__ import annotations

import pytest

from mapping.text import clean, fit, single_line, units_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("plain words", "plain words", id="plain text stays"),
        pytest.param("a\tb\nc", "a\tb\nc", id="tab and line feed stay"),
        pytest.param("a\r\nb\rc", "a\nb\nc", id="every line end is a line feed"),
        pytest.param("a\u2028b\x85c", "a\nb\nc", id="unicode line ends are line feeds"),
        pytest.param("a\x00b\x07c\x7fd\x9be", "abcde", id="control characters go"),
        pytest.param("a\ufffeb\uffffc", "abc", id="what XML does not know goes"),
        pytest.param("a\ud800b", "a\ufffdb", id="a lone surrogate is replaced"),
        pytest.param("日本語 😀 é", "日本語 😀 é", id="other scripts stay"),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Re: a\r\n\tfolded subject", "Re: a folded subject", id="folding is one space"),
        pytest.param("  a \t b  ", "a b", id="runs of blanks are one space, none at the ends"),
        pytest.param("a\u00a0b", "a b", id="a no-break space is a space"),
        pytest.param("\x00\n", "", id="nothing is left of controls"),
    ],
)
def test_single_line(text: str, expected: str) -> None:
    assert single_line(text) == expected


@pytest.mark.parametrize(
    ("text", "units", "expected"),
    [
        pytest.param("abc", 3, "abc", id="what fits stays"),
        pytest.param("abcd", 3, "abc", id="what does not fit is cut"),
        pytest.param("ab😀", 4, "ab😀", id="an emoji is two units"),
        pytest.param("ab😀", 3, "ab", id="an emoji is never split"),
        pytest.param("ééé", 2, "éé", id="other letters are one unit"),
        pytest.param("abc", 0, "", id="nothing fits into nothing"),
    ],
)
def test_fit(text: str, units: int, expected: str) -> None:
    assert fit(text, units) == expected


def test_units_are_those_of_utf_16() -> None:
    assert [units_of(text) for text in ("", "a", "é", "😀", "\ud800")] == [0, 1, 1, 2, 1]
