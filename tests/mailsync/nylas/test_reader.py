"""Reading from Nylas over a real socket: messages with their headers, listings page by page, folders, grants."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import pytest

from mailsync.errors import (
    GrantError,
    MessageError,
    MessageGoneError,
    Scope,
    ThrottledError,
    TransientError,
    UnreadableError,
)
from mailsync.gates import Gate, Pace
from mailsync.nylas.reader import CursorError, GrantDetails, Listed, Page
from sandbox.faults import Answer, Fault
from sandbox.mail import File
from tests.mailsync.parts import NOW, NylasServed, mail, new_address, new_id

ODD_IDS = [
    "18d5a4b2c3e4f567",
    "AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0A_x==",
    "<a+b@mail.example>",
    "with/slash",
    "with%2Fslash",
    "100% sure?",
    "a#b&c=d;e",
    "ein Brief von Jörg",
    "日本語 ☃ \U0001f600",
    "a\\b'c\"d",
    "%",
    "x" * 900,
]


@pytest.fixture
def grant(nylas: NylasServed) -> str:
    return nylas.stand_in.connect(new_address(), "google", created_at=NOW)


def say(nylas: NylasServed, status: int, body: object = b"", **headers: str) -> None:
    """Let Nylas answer this to whatever it is asked."""
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    nylas.faults.add(Fault(Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, written)))


# one message


def test_a_message_comes_with_its_headers_in_one_request(nylas: NylasServed, grant: str) -> None:
    letter = mail(
        "dora@fabrikam.example",
        "ann@contoso.example",
        subject="Grüße 日本",
        message_id="<new@mail.example>",
        in_reply_to="<old@mail.example>",
        references="<oldest@mail.example> <old@mail.example>",
    )
    message_id = nylas.stand_in.deliver(grant, letter, notify=False)
    message = nylas.reader().message(grant, message_id)
    assert (message.id, message.subject, message.body) == (message_id, "Grüße 日本", "<p>Hello</p>")
    assert message.header("message-id") == "<new@mail.example>"
    assert message.header("In-Reply-To") == "<old@mail.example>"
    assert message.header("References") == "<oldest@mail.example> <old@mail.example>"
    assert nylas.server.requests == 1


def test_a_live_message_stands_still_for_the_pace_of_its_mailbox_where_an_old_one_is_turned_away(
    nylas: NylasServed, grant: str
) -> None:
    message_id = nylas.stand_in.deliver(grant, mail("dora@fabrikam.example"), notify=False)
    pace = Pace(60_000, clock=time.monotonic)
    gate = Gate("mailbox", clock=time.monotonic, scope=Scope.MAILBOX, pace=pace)
    reader = nylas.reader(gate_of=lambda _: gate)
    pace.wait_for(6_400)  # half a second's worth more than there is
    with pytest.raises(TransientError, match="paced"):
        reader.message(grant, message_id)
    assert reader.message(grant, message_id, live=True).id == message_id


@pytest.mark.parametrize("message_id", ODD_IDS, ids=lambda text: text[:12])
def test_any_id_is_asked_for_as_it_is(nylas: NylasServed, grant: str, message_id: str) -> None:
    nylas.stand_in.deliver(grant, mail("dora@fabrikam.example"), message_id=message_id, notify=False)
    assert nylas.reader().message(grant, message_id).id == message_id


def test_a_mail_without_message_id_has_an_empty_list_of_headers(nylas: NylasServed, grant: str) -> None:
    message_id = nylas.stand_in.deliver(grant, mail("dora@fabrikam.example", message_id=None), notify=False)
    assert nylas.reader().message(grant, message_id).headers == ()


@pytest.mark.parametrize("headers", [..., None], ids=["absent", "null"])
def test_without_the_list_of_headers_nobody_knows_whose_mail_it_is(
    nylas: NylasServed, grant: str, headers: object
) -> None:
    """Taken for a mail without Message-ID, the same mail would get a second identity."""
    message_id = nylas.stand_in.deliver(
        grant, mail("dora@fabrikam.example"), overrides={"headers": headers}, notify=False
    )
    with pytest.raises(TransientError) as error:
        nylas.reader().message(grant, message_id)
    assert error.value.reason == "nylas_without_headers"


def test_a_message_that_is_not_there(nylas: NylasServed, grant: str) -> None:
    with pytest.raises(MessageGoneError):
        nylas.reader().message(grant, "nothing")


def test_a_message_of_a_mailbox_that_is_not_there(nylas: NylasServed) -> None:
    with pytest.raises(MessageGoneError):
        nylas.reader().message(new_id(), "nothing")


def test_an_expired_grant(nylas: NylasServed, grant: str) -> None:
    nylas.stand_in.expire(grant)
    with pytest.raises(GrantError) as error:
        nylas.reader().message(grant, "any")
    assert (error.value.reason, error.value.evidence.code) == ("grant_refused", "unauthorized")


def test_a_wrong_api_key(nylas: NylasServed, grant: str) -> None:
    with pytest.raises(GrantError) as error:
        nylas.reader(api_key="nyk_of_somebody_else").message(grant, "any")
    assert "NYLAS_API_KEY" in str(error.value)


@pytest.mark.parametrize(
    "overrides",
    [
        {"subject": 17},
        {"date": "yesterday"},
        {"to": "ann@contoso.example"},
        {"from": [["dora@fabrikam.example"]]},
        {"id": None},
        {"headers": {"Message-ID": "<a@b>"}},
    ],
    ids=["subject", "date", "to", "from", "id", "headers"],
)
def test_a_message_in_another_shape_is_put_aside_without_being_quoted(
    nylas: NylasServed, grant: str, overrides: dict[str, object]
) -> None:
    message_id = nylas.stand_in.deliver(grant, mail("dora@fabrikam.example"), overrides=overrides, notify=False)
    with pytest.raises(MessageError) as error:
        nylas.reader().message(grant, message_id)
    assert error.value.reason == "message_shape"
    assert "example" not in str(error.value)
    assert next(iter(overrides)) in str(error.value)


@pytest.mark.parametrize(
    "overrides",
    [
        dict.fromkeys(["subject", "body", "snippet", "date", "from", "to", "cc", "bcc", "reply_to", "folders"]),
        dict.fromkeys(["thread_id", "subject", "body", "date", "from", "to", "cc", "bcc", "folders"], ...),
        {"from": [None], "to": [{}, None, {"name": None, "email": None}], "folders": [None], "attachments": [None]},
        {"headers": [None, {}, {"name": None}, {"value": "x"}, {"name": "X-A", "value": None}]},
        {"surprise": {"of": ["any", "kind"]}, "date": 1.5},
    ],
    ids=["all null", "all absent", "nulls inside", "headers with holes", "unknown fields"],
)
def test_what_may_be_missing_may_be_missing(nylas: NylasServed, grant: str, overrides: dict[str, object]) -> None:
    message_id = nylas.stand_in.deliver(grant, mail("dora@fabrikam.example"), overrides=overrides, notify=False)
    assert nylas.reader().message(grant, message_id).id == message_id


NOT_WHAT_IS_DOCUMENTED = {
    "HTML": (b"<html>Please sign in</html>", {"content_type": "text/html"}),
    "HTML that says it is JSON": (b"<html>Please sign in</html>", {}),
    "nothing": (b"", {}),
    "a text": (b'"ok"', {}),
    "a list": (b"[]", {}),
    "half": (b'{"data": {"id": "x"', {}),
    "nested without end": (b'{"data": ' + b"[" * 100_000, {}),
}


@pytest.mark.parametrize(("body", "headers"), NOT_WHAT_IS_DOCUMENTED.values(), ids=NOT_WHAT_IS_DOCUMENTED)
def test_a_200_that_is_something_else_passes_by_itself(
    nylas: NylasServed, grant: str, body: bytes, headers: dict[str, str]
) -> None:
    say(nylas, 200, body, **headers)
    reader = nylas.reader()
    for ask in (
        lambda: reader.message(grant, "m"),
        lambda: reader.page(grant, after=0, before=1, limit=1, cursor=None),
        lambda: reader.folders(grant),
        lambda: reader.grant(grant),
    ):
        with pytest.raises(TransientError) as error:
            ask()
        assert error.value.reason == "nylas_shape"


@pytest.mark.parametrize("data", ["null", "{}", " { } ", "[]", '""'])
def test_a_200_without_the_message_is_no_message_of_another_shape(nylas: NylasServed, grant: str, data: str) -> None:
    """It may be there the next time, and is put aside only if it never is."""
    say(nylas, 200, f'{{"request_id": "r-1", "data": {data}}}'.encode())
    with pytest.raises(UnreadableError) as error:
        nylas.reader().message(grant, "m")
    assert (error.value.reason, error.value.evidence.request_id) == ("nylas_empty", "r-1")


def test_throttling_names_its_time(nylas: NylasServed, grant: str) -> None:
    say(nylas, 429, {"error": {"type": "rate_limit_error", "message": "x"}}, retry_after="17")
    with pytest.raises(ThrottledError) as error:
        nylas.reader().page(grant, after=0, before=1, limit=1, cursor=None)
    assert (error.value.reason, error.value.retry_after, error.value.scope) == ("nylas_throttled", 17.0, Scope.MAILBOX)


# listings


def listed(nylas: NylasServed, grant: str, after: int, before: int, limit: int) -> list[Page]:
    reader, pages, cursor = nylas.reader(), [], None
    while not pages or cursor:
        pages.append(reader.page(grant, after=after, before=before, limit=limit, cursor=cursor))
        cursor = pages[-1].cursor
    return pages


@pytest.mark.parametrize("absent", [False, True], ids=["last cursor null", "last cursor absent"])
def test_a_listing_is_read_page_by_page_newest_first(nylas: NylasServed, grant: str, absent: bool) -> None:
    nylas.stand_in.behaviour.last_cursor_absent = absent
    ids = [
        nylas.stand_in.deliver(grant, mail("dora@fabrikam.example", date=NOW + number), notify=False)
        for number in range(7)
    ]
    pages = listed(nylas, grant, NOW, NOW + 6, 2)
    found = [one for page in pages for one in page.messages]
    assert [one.id for one in found] == list(reversed(ids[1:6]))  # the stand-in takes both ends as exclusive
    assert [one.date for one in found] == [NOW + number for number in (5, 4, 3, 2, 1)]
    assert all(set(one.folders or ()) == {"UNREAD", "CATEGORY_PERSONAL", "INBOX"} for one in found)
    assert [len(page.messages) for page in pages] == [2, 2, 1]
    assert nylas.server.requests == 3


def test_a_mailbox_with_nothing_in_it(nylas: NylasServed, grant: str) -> None:
    assert nylas.reader().page(grant, after=0, before=NOW, limit=40, cursor=None) == Page((), None)


@pytest.mark.parametrize("data", [None, []], ids=["null", "empty"])
def test_a_page_of_nothing(nylas: NylasServed, grant: str, data: object) -> None:
    say(nylas, 200, {"data": data})
    assert nylas.reader().page(grant, after=0, before=NOW, limit=40, cursor=None) == Page((), None)


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "odd", "date": "yesterday", "folders": ["INBOX"]},
        {"id": "odd", "date": 1, "folders": 7},
        {"id": "odd", "folders": [{"name": "INBOX"}]},
    ],
    ids=["date", "folders", "a folder"],
)
def test_a_listed_message_in_another_shape_counts_by_its_id(nylas: NylasServed, grant: str, odd: object) -> None:
    say(nylas, 200, {"data": [{"id": "one", "date": 2}, odd, {"id": "three", "date": 1}], "next_cursor": "c"})
    page = nylas.reader().page(grant, after=0, before=NOW, limit=40, cursor=None)
    assert page == Page((Listed("one", 2), Listed("odd"), Listed("three", 1)), "c")


NAMELESS = [{}, None, "m", ["m"], {"id": None}, {"id": 7}, {"id": ""}, {"id": "x" * 70_000}, {"date": 1}]


def test_listed_messages_that_nobody_can_ask_for_are_told_and_cost_no_other(
    nylas: NylasServed, grant: str, caplog: pytest.LogCaptureFixture
) -> None:
    say(nylas, 200, {"data": [{"id": "one"}, *NAMELESS, {"id": "last"}]})
    page = nylas.reader().page(grant, after=0, before=NOW, limit=40, cursor=None)
    assert page == Page((Listed("one"), Listed("last")), None)
    assert f"event=messages_without_id grant={grant} count={len(NAMELESS)}" in caplog.text


def test_only_what_a_sweep_uses_is_asked_for(nylas: NylasServed, grant: str) -> None:
    nylas.reader().page(grant, after=1, before=2, limit=40, cursor=None)
    nylas.faults.add(Fault(Answer(404), path="."))
    with pytest.raises(MessageGoneError):
        nylas.reader().page(grant, after=1, before=2, limit=40, cursor=None)
    (hit,) = nylas.faults.hits
    asked = f"/v3/grants/{grant}/messages?limit=40&received_after=1&received_before=2&select="
    assert hit.path == asked + quote("id,grant_id,date,folders", safe="")


def test_a_cursor_that_is_no_longer_good(nylas: NylasServed, grant: str) -> None:
    for number in range(3):
        nylas.stand_in.deliver(grant, mail("dora@fabrikam.example", date=NOW - number - 1), notify=False)
    reader = nylas.reader()
    first = reader.page(grant, after=0, before=NOW, limit=2, cursor=None)
    nylas.stand_in.forget_cursors()
    with pytest.raises(CursorError) as error:
        reader.page(grant, after=0, before=NOW, limit=2, cursor=first.cursor)
    assert (error.value.reason, error.value.scope) == ("nylas_cursor", Scope.MAILBOX)


@pytest.mark.parametrize(
    ("status", "cursor", "kind"),
    [
        (400, "c", CursorError),
        (404, "c", CursorError),
        (410, "c", CursorError),
        (422, "c", CursorError),
        (401, "c", GrantError),
        (403, "c", GrantError),
        (429, "c", ThrottledError),
        (408, "c", TransientError),
        (502, "c", TransientError),
        (400, None, MessageError),
        (404, None, MessageGoneError),
    ],
)
def test_which_refusals_are_the_cursors_fault(
    nylas: NylasServed, grant: str, status: int, cursor: str | None, kind: type[Exception]
) -> None:
    say(nylas, status)
    with pytest.raises(kind) as error:
        nylas.reader().page(grant, after=0, before=1, limit=1, cursor=cursor)
    assert type(error.value) is kind


def test_one_folder_is_listed_alone(nylas: NylasServed, grant: str) -> None:
    nylas.stand_in.deliver(grant, mail("dora@fabrikam.example", date=NOW), notify=False)
    sent = nylas.stand_in.deliver(grant, mail("ann@contoso.example", date=NOW), "sent", notify=False)
    folder = nylas.stand_in.folder_id(grant, "sent")
    page = nylas.reader().page(grant, after=0, before=NOW + 1, limit=5, cursor=None, folder=folder)
    assert [one.id for one in page.messages] == [sent]


# the whole header


@pytest.mark.parametrize("provider", ["google", "microsoft", "imap", "ews", "icloud", "yahoo"])
def test_the_whole_header_is_read_from_the_beginning_of_the_raw_message(nylas: NylasServed, provider: str) -> None:
    grant = nylas.stand_in.connect(new_address(), provider, created_at=NOW)
    large = File("large.bin", "application/octet-stream", b"x" * 3_000_000)
    letter = mail(
        "dora@fabrikam.example", headers=(("Sensitivity", "Private"), ("X-Long", "word " * 300)), files=(large,)
    )
    message = nylas.stand_in.deliver(grant, letter, notify=False)
    before = nylas.server.requests
    header = nylas.reader().header(grant, message)
    assert header is not None
    told = {(one.name or "").lower(): one.value for one in header}
    assert told["sensitivity"] == "Private"
    assert {"from", "subject", "message-id", "x-long"} <= told.keys()
    assert nylas.server.requests == before + 1


@pytest.mark.parametrize("answer", [400, 403], ids=str)
def test_a_header_that_can_t_be_had_is_none(nylas: NylasServed, grant: str, answer: int) -> None:
    message = nylas.stand_in.deliver(grant, mail("dora@fabrikam.example"), notify=False)
    say(nylas, answer, {"error": {"type": "x", "message": "y"}})
    assert nylas.reader().header(grant, message) is None


def test_a_raw_form_that_is_not_found_may_be_found_later(nylas: NylasServed, grant: str) -> None:
    message = nylas.stand_in.deliver(grant, mail("dora@fabrikam.example"), notify=False)
    nylas.stand_in.refuse_raw_mime(grant, message, 404)
    with pytest.raises(MessageGoneError):
        nylas.reader().header(grant, message)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"data": {"id": "m", "object": "message"}}, id="no raw message"),
        pytest.param({"data": {"raw_mime": ""}}, id="an empty one"),
        pytest.param({"data": {"raw_mime": "AAA?"}}, id="no base64"),
        pytest.param({"data": {"text": "a" * 2_200_000}}, id="much else"),
    ],
)
def test_an_answer_without_a_raw_message_holds_no_header(nylas: NylasServed, grant: str, body: object) -> None:
    say(nylas, 200, body)
    assert not nylas.reader().header(grant, "m")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>Sign in</html>", id="a page"),
        pytest.param(b"<html>" + b"a" * 2_200_000, id="a long page"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"data"', id="a beginning"),
    ],
)
def test_what_is_no_answer_of_nylas_is_trouble_and_no_mail_without_a_header(
    nylas: NylasServed, grant: str, body: bytes
) -> None:
    """Mail without a header counts as private, and would stay out for good."""
    say(nylas, 200, body)
    with pytest.raises(TransientError) as error:
        nylas.reader().header(grant, "m")
    assert error.value.reason == "nylas_shape"


@pytest.mark.parametrize("status", [429, 500, 503], ids=str)
def test_trouble_while_a_header_is_read_is_trouble(nylas: NylasServed, grant: str, status: int) -> None:
    say(nylas, status)
    with pytest.raises(TransientError):
        nylas.reader().header(grant, "m")


# one person's mail


@pytest.mark.parametrize("provider", ["google", "microsoft", "imap", "ews"])
def test_the_mail_with_a_person_is_listed_with_what_tells_its_identity(nylas: NylasServed, provider: str) -> None:
    grant = nylas.stand_in.connect(new_address(), provider, created_at=NOW)
    theirs = mail("dora@fabrikam.example", "ann@contoso.example", date=NOW - 10**8, subject="Old")
    mine = mail("ann@contoso.example", "Dora@xn--bcher-kva.example", date=NOW)
    for letter in (theirs, mine, mail("bob@fabrikam.example", "ann@contoso.example")):
        nylas.stand_in.deliver(grant, letter, notify=False)
    asked = ("dora@fabrikam.example", "dora@xn--bcher-kva.example", "dora@bücher.example")
    found, cursor = nylas.reader().correspondence(grant, asked, limit=10, cursor=None)
    assert cursor is None
    assert [(one.header("Message-ID"), one.date, one.subject, one.body) for one in found] == [
        (mine.message_id, mine.date, mine.subject, None),
        (theirs.message_id, theirs.date, theirs.subject, None),
    ]
    assert [one.email for one in found[1].from_ or () if one] == ["dora@fabrikam.example"]


def test_it_comes_in_pages_and_a_message_in_another_shape_counts_by_its_id(nylas: NylasServed, grant: str) -> None:
    for number in range(3):
        nylas.stand_in.deliver(grant, mail("dora@fabrikam.example", date=NOW - number), notify=False)
    nylas.stand_in.deliver(
        grant, mail("dora@fabrikam.example", date=NOW - 9), notify=False, message_id="odd", overrides={"subject": 5}
    )
    reader, found, cursor = nylas.reader(), [], None
    while True:
        page, cursor = reader.correspondence(grant, ["dora@fabrikam.example"], limit=2, cursor=cursor)
        found += page
        if cursor is None:
            break
    assert len(found) == 4
    assert (found[-1].id, found[-1].headers) == ("odd", None)


# folders


@pytest.mark.parametrize("provider", ["google", "microsoft", "imap", "ews", "icloud", "yahoo"])
def test_folders_are_known_by_id_with_their_attributes(nylas: NylasServed, provider: str) -> None:
    grant = nylas.stand_in.connect(new_address(), provider)
    folders = nylas.reader().folders(grant)
    for role, attribute in {"inbox": "\\Inbox", "sent": "\\Sent", "junk": "\\Junk", "trash": "\\Trash"}.items():
        assert folders[nylas.stand_in.folder_id(grant, role)].attributes == (attribute,)


def test_more_folders_than_a_page_holds(nylas: NylasServed, grant: str) -> None:
    made = [nylas.stand_in.make_folder(grant, f"Customer {number}") for number in range(230)]
    folders = nylas.reader().folders(grant)
    assert [folders[folder].name for folder in made] == [f"Customer {number}" for number in range(230)]
    assert nylas.server.requests == 2


def test_an_id_beats_a_name_that_is_spelled_alike(nylas: NylasServed, grant: str) -> None:
    """Some listings name folders where others give ids; one in another shape is none."""
    data = [
        {"id": "INBOX", "name": "SENT", "attributes": ["\\Inbox", None]},
        {"id": "SENT", "name": None, "attributes": ["\\Sent"]},
        {"id": "f3", "name": "Junk-E-Mail", "attributes": ["\\Junk"]},
        {"id": "f4", "name": "Plain", "attributes": None},
        {"id": "f5", "name": 5},
        None,
    ]
    say(nylas, 200, {"data": data})
    assert {known: folder.id for known, folder in nylas.reader().folders(grant).items()} == {
        "INBOX": "INBOX",
        "SENT": "SENT",
        "f3": "f3",
        "Junk-E-Mail": "f3",
        "f4": "f4",
        "Plain": "f4",
    }


# grants


def test_a_grant_with_its_aliases(nylas: NylasServed) -> None:
    address = new_address()
    grant = nylas.stand_in.connect(address, "microsoft", aliases=["Ann@contoso.example"], created_at=NOW)
    assert nylas.reader().grant(grant) == GrantDetails(
        id=grant,
        email=address,
        provider="microsoft",
        grant_status="valid",
        created_at=NOW,
        email_aliases=("Ann@contoso.example",),
    )


def test_a_grant_of_a_provider_without_aliases(nylas: NylasServed) -> None:
    grant = nylas.stand_in.connect(new_address(), "imap", aliases=["other@contoso.example"])
    assert nylas.reader().grant(grant).email_aliases is None
