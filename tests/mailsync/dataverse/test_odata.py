"""Values inside a query stay values: a strict reader finds the same text again, and nothing beside it."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from mailsync.dataverse.odata import any_of, literal, query

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    [
        "O'Hara",
        "' or 1 eq 1 or '",
        "a&$top=1",
        "a#b?c",
        "100%",
        "%27",
        "a+b",
        "日本",
        "a\r\nGET / HTTP/1.1",
        "'']) or ((",
    ]
)


@given(text=texts)
def test_a_literal_holds_its_text(text: str) -> None:
    written = literal(text)
    assert (written[0], written[-1]) == ("'", "'")
    assert written[1:-1].replace("''", "").count("'") == 0
    assert written[1:-1].replace("''", "'") == text


@given(values=st.lists(texts, min_size=1, max_size=4), column=st.sampled_from(["messageid", "emailaddress1"]))
def test_a_filter_is_one_option_and_reads_back(values: list[str], column: str) -> None:
    path = query("emails", select="activityid,messageid", filter=any_of(column, values))
    assert path.isascii()
    assert not set(path) & set(' \r\n"<>\\^`{|}')
    parts = urlsplit(path)
    assert (parts.path, parts.fragment) == ("emails", "")
    options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    assert options == [
        ("$select", "activityid,messageid"),
        ("$filter", any_of(column, values)),
    ]


def test_the_query_function_as_dataverse_spells_it() -> None:
    assert any_of("messageid", ["<a@x>", "it's"]) == (
        "Microsoft.Dynamics.CRM.In(PropertyName='messageid',PropertyValues=['<a@x>','it''s'])"
    )
