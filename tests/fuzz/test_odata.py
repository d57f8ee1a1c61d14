"""No text leaves the literal it was put into: what a query says is decided by us, whatever a mail holds.

The reader on the other side is the sandbox's, which shares no code with what writes.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailsync.dataverse import odata
from mailsync.dataverse.address_book import SOURCES, AddressBook
from mailsync.dataverse.batch import Changeset, Request, encode
from mailsync.dataverse.resolver import ancestors_request, messageid_query
from mapping.addresses import normalise
from mapping.identity import activityid_of, canonical_message_id
from sandbox.dataverse import multipart
from sandbox.dataverse.filters import Filter
from sandbox.dataverse.model import Model, load_model
from sandbox.dataverse.queries import options_of, parse_query
from tests.fuzz.material import texts as any_texts
from tests.fuzz.material import tries
from tests.fuzz.material import whole_texts as texts
from tests.mapping.strategies import addresses, message_ids

MODEL: Model = load_model()
EMAIL = MODEL.tables["email"]
BOUNDARY = "batch_0123456789abcdef"


def read_back(path: str) -> tuple[str, list[object]]:
    """The condition that the service would read, and the values it would compare with."""
    assert path.isascii()
    assert not set(path) & set(' "\r\n\t#<>\\^`{|}')
    parts = urlsplit(path)
    assert not parts.fragment
    table = next(one for one in MODEL.tables.values() if one.set == parts.path.rpartition("/")[2])
    query = parse_query(MODEL, table, options_of(parts.query))
    return query.where, list(query.values)


@tries(400)
@given(texts)
@example("'")
@example("' or activityid ne null or 'a' eq '")
@example("\r\nDELETE /api/data/v9.2/emails(1) HTTP/1.1")
def test_a_literal_holds_its_text_and_nothing_else_does(text: str) -> None:
    path = odata.query("emails", select="activityid", filter=f"subject eq {odata.literal(text)}")
    assert read_back(path) == ('"subject" = ?', [text])


@tries(300)
@given(st.lists(texts, min_size=1, max_size=5))
def test_a_list_of_literals_holds_its_texts(values: list[str]) -> None:
    path = odata.query("emails", filter=odata.any_of("messageid", values), select="activityid")
    marks = ",".join("?" * len(values))
    assert read_back(path) == (f'"messageid" IN ({marks})', values)


@tries(300)
@given(texts, texts)
def test_no_text_ends_the_literal_it_stands_in(one: str, other: str) -> None:
    """Two conditions stay two, and each keeps its value."""
    told = f"subject eq {odata.literal(one)} and sender eq {odata.literal(other)}"
    found = Filter(EMAIL, told, {})
    assert found.sql() == ('"subject" = ? AND "sender" = ?', [one, other])


@tries(150)
@given(st.lists(message_ids | texts, min_size=1, max_size=12))
def test_message_ids_are_looked_for_as_they_are(raw: list[str]) -> None:
    """Those of a mail and of its ancestors, as canonical ids reach Dataverse."""
    ids = [found for written in raw if (found := canonical_message_id(written)) is not None]
    for one in ids:
        where, values = read_back(messageid_query((f"<{one}>", one)))
        assert (where, values) == ('"messageid" IN (?,?)', [f"<{one}>", one])
    if ids:
        where, values = read_back(ancestors_request(ids).path)
        wanted = {spelled for one in ids for spelled in (one, f"<{one}>", str(activityid_of(one)))}
        assert set(values) <= wanted
        assert {ids[0], str(activityid_of(ids[0]))} & set(values), "the nearest one is looked for, however long"
        assert set(where.replace('"messageid" IN', "").replace('"activityid" = ?', "")) <= set("(?,) OR")


@tries(200)
@given(st.lists(addresses | texts.map(lambda text: f"{text}@x.example"), min_size=1, max_size=8))
def test_addresses_are_looked_for_as_they_are(written: list[str | None]) -> None:
    """In every table of people, and by nothing but their columns of addresses."""
    wanted = list(dict.fromkeys(one for text in written if (one := normalise(text)) is not None))
    _, unknown, _ = AddressBook().known(wanted)
    question = AddressBook().question(unknown)
    assert len(question.requests) == (len(SOURCES) if unknown else 0)
    for source, asking in zip(question.sources, question.requests, strict=True):
        where, values = read_back(asking.path)
        assert set(unknown) <= set(map(str, values))
        columns = " OR ".join(
            f'"{column}" IN ({",".join("?" * (len(values) // len(source.addresses)))})' for column in source.addresses
        )
        assert where == columns


@tries(200)
@given(st.lists(texts, min_size=1, max_size=3))
def test_a_batch_holds_what_was_put_into_it(values: list[str]) -> None:
    """Read by the sandbox: no text in a path or a body begins a part, a header or a request of its own."""
    paths = ["/api/data/v9.2/" + odata.query("emails", filter=odata.any_of("subject", [one])) for one in values]
    bodies = [msgspec.json.encode({"subject": one}) for one in values]
    looks = [Request("GET", path) for path in paths]
    writes = Changeset(tuple(Request("POST", "/api/data/v9.2/emails", body) for body in bodies))
    *found, written = multipart.parse(
        encode([*looks, writes], boundary=BOUNDARY), f"multipart/mixed; boundary={BOUNDARY}"
    )
    assert [(one.method, one.url) for one in found] == [("GET", path) for path in paths]
    assert [(one.method, one.body) for one in written.operations] == [("POST", body) for body in bodies]


@tries(200)
@given(any_texts)
def test_what_can_not_be_told_in_utf8_is_never_sent(text: str) -> None:
    """A lone surrogate ends in an error here; the mapping has made another character of it long before."""
    try:
        assert odata.query("emails", filter=odata.literal(text)).isascii()
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            text.encode()
