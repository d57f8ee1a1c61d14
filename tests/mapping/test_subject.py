from __future__ import annotations

import time

import pytest

from mapping.subject import bare, is_forward

REPLIES = (
    "Re", "RE", "AW", "Antw", "Antwort", "SV", "VS", "Ref", "RIF", "R", "RES", "Odp", "YNT", "VÁ", "Vá", "Atb", "ATS", "ANT",
    "Bls", "HB", "YAN", "ΑΠ", "ΣΧΕΤ", "Отв", "Ответ", "השב", "رد", "回复", "回覆", "答复", "返信", "답장",
)  # fmt: skip
FORWARDS = (
    "FW", "Fwd", "WG", "Weitergeleitet", "TR", "RV", "ENC", "I", "VB", "VL", "FS", "Doorst", "PD", "TOV", "İLT", "ilt", "Prev",
    "ΠΡΘ", "Προώθ", "Пер", "Пересл", "הועבר", "إعادة توجيه", "转发", "轉寄", "轉發", "転送", "전달",
)  # fmt: skip
EITHER = [pytest.param(prefix, False, id=prefix) for prefix in REPLIES] + [
    pytest.param(prefix, True, id=prefix) for prefix in FORWARDS
]


@pytest.mark.parametrize(("prefix", "forward"), EITHER)
def test_each_language_s_prefix_is_known_for_what_it_is(prefix: str, forward: bool) -> None:
    for written in (f"{prefix}: Offer", f"{prefix.lower()} :Offer", f"{prefix}\uff1a Offer", f"{prefix}[2]: Offer"):
        assert bare(written) == "Offer"
        assert is_forward(written) is forward


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("Offer 12", "Offer 12", id="nothing before it"),
        pytest.param("RE: AW: Fwd: Offer 12", "Offer 12", id="several, in several languages"),
        pytest.param("Re[3]: Re (2): Re^4: RE5: Offer", "Offer", id="counted replies"),
        pytest.param("[sales-list] Re: [EXT] Offer 12", "Offer 12", id="list tags before and between"),
        pytest.param("Re:Offer", "Offer", id="no blank"),
        pytest.param("Re:\r\n Offer", "Offer", id="a fold"),
        pytest.param("Regarding: Offer 12", "Regarding: Offer 12", id="a word that only begins like a prefix"),
        pytest.param("Report: Offer", "Report: Offer", id="another one"),
        pytest.param("Offer [12]", "Offer [12]", id="a bracket that is not in front"),
        pytest.param("[" + "x" * 61 + "] Offer", "[" + "x" * 61 + "] Offer", id="a bracket too long for a tag"),
        pytest.param("Offer Re: 12", "Offer Re: 12", id="a prefix that is not in front"),
        pytest.param("[Fwd: Offer 12]", "Offer 12", id="a forward in brackets, as Thunderbird did"),
        pytest.param("Re: [Fwd: Offer [12]]", "Offer [12]", id="an answer to one"),
        pytest.param("Re:", "", id="nothing behind it"),
        pytest.param("", "", id="empty"),
        pytest.param(None, "", id="no subject"),
    ],
)
def test_a_subject_without_what_is_put_before_it(written: str | None, expected: str) -> None:
    assert bare(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("Fwd: Re: Offer", True, id="a forward of a reply"),
        pytest.param("Re: Fwd: Offer", False, id="a reply to a forward"),
        pytest.param("[sales] FW: Offer", True, id="behind a list's tag"),
        pytest.param("[sales] Offer", False, id="only a list's tag"),
        pytest.param("[Fwd: Offer]", True, id="in brackets"),
        pytest.param("Forward: Offer", False, id="a word"),
        pytest.param("VS: Offer", False, id="a reply in Finnish, whatever it is in Danish"),
        pytest.param("Offer", False, id="nothing"),
        pytest.param(None, False, id="no subject"),
    ],
)
def test_a_forward_is_told_by_the_outermost_prefix(written: str | None, expected: bool) -> None:
    assert is_forward(written) is expected


def test_no_subject_takes_long() -> None:
    before = time.process_time()
    for text in ("re:" * 100_000, "[" * 100_000, "[a]" * 50_000, "re" * 100_000, "[fwd: " * 50_000, "Re [" * 50_000):
        bare(text)
        is_forward(text)
    assert time.process_time() - before < 5
