from __future__ import annotations

import pytest

from mapping.notes import CUT, MISSING_FILES, MISSING_PICTURE, in_place, note, without_notes


def test_a_note_stands_in_brackets_and_holds_no_others() -> None:
    assert note("a [b] <c> & 'd'") == "<p>[a (b) &lt;c&gt; &amp; 'd']</p>"
    assert in_place("a [b]") == "<span>[a (b)]</span>"


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        pytest.param(f"<p>a</p>{note(CUT)}", "<p>a</p><p></p>", id="a note at the end"),
        pytest.param(f"a{in_place(MISSING_PICTURE + ' b')}c", "a<span></span>c", id="a note in the middle"),
        pytest.param(note(f"{MISSING_FILES} [1].pdf; <x>.") * 2, "<p></p><p></p>", id="several"),
        pytest.param("[a] [b]", "[a] [b]", id="brackets of others"),
        pytest.param(CUT, CUT, id="the words alone"),
        pytest.param(f"[{MISSING_PICTURE} a", f"[{MISSING_PICTURE} a", id="a note that was cut"),
    ],
)
def test_a_description_without_what_we_noted_in_it(description: str, expected: str) -> None:
    assert without_notes(description) == expected
