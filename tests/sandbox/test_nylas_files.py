"""Files and raw mail are handed out piece by piece, cost the stand-in next to nothing, and count as what they are."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from email import message_from_bytes, policy
from typing import Any
from urllib.parse import quote

import pytest
import requests
from starlette.types import Message, Receive, Scope, Send

from sandbox.faults import Act, Answer, DropMidway, Fault, Faults, HoldMidway
from sandbox.mail import PIECE, File, Mail
from sandbox.mime import mail_of
from sandbox.nylas import NylasStandIn, download_of
from sandbox.servers import Server
from tests.sandbox.nylas_client import KEY, NOON, Client, Clock, mail

MB = 1_000_000
PDF = File("Offer + drawings/final.pdf", "application/pdf", b"%PDF-1.7\n" * 20_000)
CSV = File("loads.csv", "text/csv", b"a,b\n")


def place_of(grant: str, file: dict[str, Any]) -> str:
    return f"/v3/grants/{grant}/attachments/{quote(file['id'], safe='')}"


def files_of(nylas: NylasStandIn, grant: str) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = nylas.messages(grant)[0]["attachments"]
    return shown


def eventually(fact: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.005)


class Sent:
    """Counts the bytes of bodies that an app sends."""

    def __init__(self, nylas: NylasStandIn) -> None:
        self.nylas = nylas
        self.bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def count(message: Message) -> None:
            self.bytes += len(message.get("body", b""))
            await send(message)

        await self.nylas.app(scope, receive, count)


@pytest.fixture
def sent(nylas: NylasStandIn) -> Sent:
    return Sent(nylas)


@pytest.fixture
def counted(sent: Sent) -> Iterator[Server]:
    with Server(sent) as server:
        yield server


def begin(server: Server, path: str, **params: str) -> requests.Response:
    """Ask, and read nothing but the head of the answer."""
    headers = {"Authorization": f"Bearer {KEY}", "Accept-Encoding": "identity"}
    return requests.get(server.url + path, params=params, headers=headers, timeout=5, stream=True)


# downloads


@pytest.mark.parametrize("size", [0, 1, 200, PIECE, PIECE + 1, 3 * PIECE])
@pytest.mark.parametrize("provider", ["google", "microsoft", "ews", "imap"])
def test_a_download_is_the_bytes_and_says_how_many(nylas: NylasStandIn, api: Client, provider: str, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    grant = nylas.connect("ida@fjordlight.example", provider)
    message = nylas.deliver(grant, mail(files=(File("a.bin", "application/x", content[:size]),)))
    got = api.get(f"{place_of(grant, files_of(nylas, grant)[0])}/download", message_id=message)
    assert got.content == content[:size]
    assert got.headers["Content-Length"] == str(size)
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert "Content-Encoding" not in got.headers


def test_a_download_may_be_zipped_and_says_no_size_then(nylas: NylasStandIn, api: Client) -> None:
    nylas.behaviour.gzip_downloads = True
    grant = nylas.connect("ida@fjordlight.example", "google")
    message = nylas.deliver(grant, mail(files=(PDF, CSV)))
    large, small = (api.get(f"{place_of(grant, file)}/download", message_id=message) for file in files_of(nylas, grant))
    assert (large.content, large.headers["Content-Encoding"]) == (PDF.content, "gzip")
    assert large.headers["Transfer-Encoding"] == "chunked"
    assert (small.content, small.headers["Content-Length"]) == (CSV.content, "4")


@pytest.mark.parametrize("size", [25 * MB, 60 * MB])
def test_a_large_file_is_sent_without_a_copy_of_it(nylas: NylasStandIn, server: Server, size: int) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    message = nylas.deliver(grant, mail(files=(File("large.bin", "application/x", bytes(size)),)), notify=False)
    path = f"{place_of(grant, files_of(nylas, grant)[0])}/download"
    gc.collect()
    tracemalloc.start()
    try:
        with begin(server, path, message_id=message) as answer:
            got = sum(len(chunk) for chunk in answer.iter_content(MB))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert got == size
    assert peak < 8 * MB  # both sides of it


def test_who_hangs_up_in_a_download_stops_it(nylas: NylasStandIn, sent: Sent, counted: Server) -> None:
    nylas.behaviour.courtesy = True
    grant = nylas.connect("ida@fjordlight.example", "microsoft")
    message = nylas.deliver(grant, mail(files=(File("large.bin", "application/x", bytes(60 * MB)),)), notify=False)
    path = f"{place_of(grant, files_of(nylas, grant)[0])}/download"
    for _ in range(6):
        with closing(begin(counted, path, message_id=message)) as answer:
            assert len(answer.raw.read(1000)) == 1000
        eventually(lambda: nylas._box(grant).in_flight == 0)
    assert nylas.calls["GET attachments/id/download"] == 6
    assert sent.bytes < 6 * 30 * MB
    assert begin(counted, f"/v3/grants/{grant}/messages/{quote(message)}").status_code == 200


@pytest.mark.parametrize(
    ("act", "read"),
    [
        pytest.param(Answer(500), None, id="refused"),
        pytest.param(DropMidway(100_000), 100_000, id="cut in the middle"),
        pytest.param(HoldMidway(100_000), 100_000, id="silent in the middle"),
    ],
)
@pytest.mark.parametrize("safe", ["", ":=", "/:=+"], ids=["all encoded", "little encoded", "as it is"])
def test_one_files_trouble_is_its_own(
    nylas: NylasStandIn, server: Server, faults: Faults, act: Act, read: int | None, safe: str
) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    message = nylas.deliver(grant, mail(files=(PDF, CSV)))
    bad, good = files_of(nylas, grant)
    fault = Fault(act, path=download_of(bad["id"]))
    faults.add(fault)
    headers = {"Authorization": f"Bearer {KEY}"}
    url = f"{server.url}/v3/grants/{grant}/attachments"
    answer = requests.get(
        f"{url}/{quote(bad['id'], safe=safe)}/download?message_id={message}", headers=headers, timeout=0.5, stream=True
    )
    if read is None:
        assert answer.status_code == 500
    else:
        assert (answer.status_code, len(answer.raw.read(read))) == (200, read)
        with pytest.raises(requests.RequestException):
            answer.content  # noqa: B018 - reads the rest
    assert faults.count(fault) == 1
    got = requests.get(f"{url}/{quote(good['id'], safe='')}/download?message_id={message}", headers=headers, timeout=5)
    assert (got.content, faults.count(fault)) == (CSV.content, 1)
    assert begin(server, place_of(grant, bad), message_id=message).status_code == 200


# ids and descriptions


def test_an_id_of_googles_must_be_encoded_in_a_path(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    files = tuple(File(f"ab?ab>{number}.txt", "text/plain", b"x" * number) for number in range(1, 40))
    message = nylas.deliver(grant, mail(files=files))
    shown = files_of(nylas, grant)
    assert set(":/+=") <= set("".join(file["id"] for file in shown))
    for file, given in zip(shown, files, strict=True):
        assert api.get(f"{place_of(grant, file)}/download", message_id=message).content == given.content
    slashed = next(file["id"] for file in shown if "/" in file["id"])
    assert api.refused(f"/v3/grants/{grant}/attachments/{slashed}", message_id=message)[0] == 404


@pytest.mark.parametrize(
    ("filename", "content_type", "disposition", "told"),
    [
        pytest.param("a.pdf", "application/pdf", "", 'application/pdf; name="a.pdf"', id="as programs write it"),
        pytest.param("a.pdf", "application/pdf", None, "application/pdf", id="as its header has it"),
        pytest.param("é.pdf", "application/pdf", "", "", id="a name that is not ASCII"),
        pytest.param("é.pdf", 'application/pdf; name="x"', "attachment", "", id="the same, with a header of its own"),
        pytest.param(None, "text/calendar; method=REQUEST", "", "text/calendar; method=REQUEST", id="no name"),
    ],
)
def test_what_google_says_of_a_files_type(
    nylas: NylasStandIn, filename: str | None, content_type: str, disposition: str | None, told: str
) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    nylas.deliver(grant, mail(files=(File(filename, content_type, b"x", disposition=disposition),)))
    assert files_of(nylas, grant)[0]["content_type"] == told


@pytest.mark.parametrize("provider", ["google", "imap"])
def test_a_disposition_may_be_absent_or_as_it_came(nylas: NylasStandIn, provider: str) -> None:
    grant = nylas.connect("ida@fjordlight.example", provider)
    files = tuple(File("a", "text/csv", b"x" * n, disposition=d) for n, d in enumerate(("", None, "x-odd; q=1")))
    nylas.deliver(grant, mail(files=(*files, File(None, "text/csv", b"xxxx", inline=True))))
    told = [file.get("content_disposition", "absent") for file in files_of(nylas, grant)]
    assert told == ['attachment; filename="a"', "absent", "x-odd; q=1", "inline"]


@pytest.mark.parametrize(("alike", "ids", "last"), [(False, 2, b"bbb"), (True, 1, b"aaa")], ids=["own", "shared"])
def test_two_files_that_look_alike_on_google(
    nylas: NylasStandIn, api: Client, alike: bool, ids: int, last: bytes
) -> None:
    nylas.behaviour.alike_files_share_id = alike
    grant = nylas.connect("ida@fjordlight.example", "google")
    message = nylas.deliver(grant, mail(files=tuple(File("a.txt", "text/plain", 3 * one) for one in (b"a", b"b"))))
    shown = files_of(nylas, grant)
    assert (len(shown), len({file["id"] for file in shown})) == (2, ids)
    got = [api.get(f"{place_of(grant, file)}/download", message_id=message).content for file in shown]
    assert got == [b"aaa", last]


@pytest.mark.parametrize(("provider", "size"), [("google", 900), ("imap", 900), ("microsoft", 1200), ("ews", 1200)])
def test_a_size_is_an_estimate_where_exchange_gives_it(nylas: NylasStandIn, provider: str, size: int) -> None:
    grant = nylas.connect("ida@fjordlight.example", provider)
    nylas.deliver(grant, mail(files=(File("a", "text/plain", b"x" * 900),)))
    assert files_of(nylas, grant)[0]["size"] == size


# raw mail


def large_mail(*, read_off_the_wire: bool) -> Mail:
    written = mail(files=(File("large.bin", "application/x", bytes(range(256)) * (30 * MB // 256)),))
    return mail_of(written.mime(NOON)) if read_off_the_wire else written


@pytest.mark.parametrize("accepted", ["identity", "gzip"])
@pytest.mark.parametrize("read_off_the_wire", [False, True], ids=["written here", "off the wire"])
def test_who_reads_only_the_beginning_of_a_large_mail_costs_only_that(
    nylas: NylasStandIn, sent: Sent, counted: Server, read_off_the_wire: bool, accepted: str
) -> None:
    nylas.behaviour.courtesy = True
    grant = nylas.connect("ida@fjordlight.example", "microsoft")
    message = nylas.deliver(grant, large_mail(read_off_the_wire=read_off_the_wire), notify=False)
    url = f"{counted.url}/v3/grants/{grant}/messages/{quote(message)}?fields=raw_mime"
    headers = {"Authorization": f"Bearer {KEY}", "Accept-Encoding": accepted}
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(5):
            with closing(requests.get(url, headers=headers, timeout=5, stream=True)) as answer:
                assert answer.headers["Content-Type"] == "application/json"
                assert next(answer.iter_content(1000))[:14] == b'{"request_id":'
            eventually(lambda: nylas._box(grant).in_flight == 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert nylas.calls == {"GET messages/id raw_mime": 5}
    assert sent.bytes < 5 * 25 * MB  # what the buffers of the sockets take; a whole one is 55 MB
    assert peak < 8 * MB
    assert requests.get(url.partition("?")[0], headers=headers, timeout=5).status_code == 200


@pytest.mark.parametrize("read_off_the_wire", [False, True], ids=["written here", "off the wire"])
def test_a_large_mail_comes_whole_to_who_reads_on(nylas: NylasStandIn, api: Client, read_off_the_wire: bool) -> None:
    given = large_mail(read_off_the_wire=read_off_the_wire)
    grant = nylas.connect("ida@fjordlight.example", "google")
    answer = api.get(f"/v3/grants/{grant}/messages/{nylas.deliver(grant, given, notify=False)}", fields="raw_mime")
    assert answer.headers["Content-Encoding"] == "gzip"
    raw = Client.raw_mime(answer.json()["data"])
    assert mail_of(raw).files[0].content == given.files[0].content


def test_raw_mail_is_listed_and_selected(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    mimes = [f"Subject: {number}\r\n\r\nhi".encode() for number in range(3)]
    for mime in mimes:
        nylas.deliver(grant, mail_of(mime), notify=False)
    path = f"/v3/grants/{grant}/messages"
    shown = api.data(path, fields="raw_mime")
    assert [Client.raw_mime(one) for one in reversed(shown)] == mimes
    assert api.data(path, fields="raw_mime", select="raw_mime") == [{"raw_mime": one["raw_mime"]} for one in shown]
    assert api.data(path, fields="raw_mime", select="id") == [{"id": one["id"]} for one in shown]
    assert nylas.calls == {"GET messages raw_mime": 3}


def test_a_mail_written_here_is_well_formed_with_its_files(nylas: NylasStandIn) -> None:
    files = (
        File("été.png", 'image/png; name="a.png"', bytes(range(256)) * 1000, "<a@x>", inline=True, disposition=None),
        File(None, 'text/calendar; method="REQUEST"', b"BEGIN", disposition='inline; x="1"'),
        File("empty", "text/plain", b""),
        File("inner.eml", "message/rfc822", b"Subject: inner\r\n\r\nhi"),
    )
    parsed = message_from_bytes(mail(files=files).mime(NOON), policy=policy.SMTP)
    found = list(parsed.iter_attachments())
    assert [one["Content-Type"] for one in found] == [file.content_type for file in files]
    assert [one["Content-Disposition"] for one in found] == [
        None,
        'inline; x="1"',
        'attachment; filename="empty"',
        'attachment; filename="inner.eml"',
    ]
    *read, inner = mail_of(mail(files=files).mime(NOON)).files
    assert [file.content for file in read] == [file.content for file in files[:-1]]
    assert inner.content.startswith(files[-1].content)
    assert [one["Subject"] for one in found[-1].iter_parts()] == ["inner"]


@pytest.mark.parametrize("status", [400, 404])
def test_the_raw_mime_of_one_message_may_be_refused_for_good(nylas: NylasStandIn, api: Client, status: int) -> None:
    grant = nylas.connect("ida@fjordlight.example", "imap")
    refused, other = (nylas.deliver(grant, mail(number), notify=False) for number in range(2))
    nylas.refuse_raw_mime(grant, refused, status)
    path = f"/v3/grants/{grant}/messages"
    for _ in range(3):
        assert api.refused(f"{path}/{refused}", fields="raw_mime")[0] == status
    assert api.get(f"{path}/{refused}", fields="include_headers").status_code == 200
    assert api.get(f"{path}/{other}", fields="raw_mime").status_code == 200
    with pytest.raises(ValueError, match="400 or 404"):
        nylas.refuse_raw_mime(grant, other, 500)


# what it costs a mailbox


@pytest.mark.parametrize("what", ["download", "describe", "raw_mime"])
def test_gmail_counts_files_and_raw_mail(nylas: NylasStandIn, api: Client, clock: Clock, what: str) -> None:
    nylas.behaviour.gmail_units = 40
    grant = nylas.connect("ida@fjordlight.example", "google")
    message = nylas.deliver(grant, mail(files=(CSV,)), notify=False)
    file = place_of(grant, files_of(nylas, grant)[0])
    path, params = {
        "download": (f"{file}/download", {"message_id": message}),
        "describe": (file, {"message_id": message}),
        "raw_mime": (f"/v3/grants/{grant}/messages/{message}", {"fields": "raw_mime"}),
    }[what]
    answers = [api.get(path, **params) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["Nylas-Gmail-Quota-Usage"] == "20"
    assert answers[2].json()["error"]["type"] == "quota_exceeded_error"
    clock.now += 60
    assert api.get(path, **params).status_code == 200


@pytest.mark.parametrize(("provider", "refused"), [("microsoft", [429, 429]), ("google", [200, 200])])
def test_microsoft_counts_what_is_still_being_sent(
    nylas: NylasStandIn, server: Server, provider: str, refused: list[int]
) -> None:
    nylas.behaviour.courtesy = True
    grant = nylas.connect("ida@fjordlight.example", provider)
    message = nylas.deliver(grant, large_mail(read_off_the_wire=False), notify=False)
    download = f"{place_of(grant, files_of(nylas, grant)[0])}/download"
    raw = f"/v3/grants/{grant}/messages/{quote(message)}"
    with ExitStack() as held:
        for path, params in 2 * [(download, {"message_id": message}), (raw, {"fields": "raw_mime"})]:
            answer = held.enter_context(closing(begin(server, path, **params)))
            assert (answer.status_code, len(answer.raw.read(10))) == (200, 10)
        more = [begin(server, raw, fields="raw_mime"), begin(server, download, message_id=message)]
        for answer in more:
            answer.close()
        assert [answer.status_code for answer in more] == refused
    eventually(lambda: begin(server, raw).status_code == 200)


# a narrow scope


def test_googles_scope_for_metadata_opens_headers_only(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google", metadata_only=True)
    message = nylas.deliver(grant, mail(files=(CSV,), headers=(("List-Id", "<l.x.example>"),)))
    path = f"/v3/grants/{grant}/messages"
    assert api.data(f"/v3/grants/{grant}")["scope"] == ["https://www.googleapis.com/auth/gmail.metadata"]
    for shown in (api.data(f"{path}/{message}"), api.data(path)[0]):
        assert shown.keys().isdisjoint({"body", "snippet", "attachments"})
        assert shown["subject"] == "Mail 0"
    headers = api.data(f"{path}/{message}", fields="include_headers")["headers"]
    assert {"name": "List-Id", "value": "<l.x.example>"} in headers
    assert api.refused(f"{path}/{message}", fields="raw_mime") == (403, "insufficient_scopes")
    assert api.refused(path, fields="raw_mime") == (403, "insufficient_scopes")
    for rest in ("x", "x/download"):
        refused = api.refused(f"/v3/grants/{grant}/attachments/{rest}", message_id=message)
        assert refused == (403, "insufficient_scopes")
    nylas.label(grant, message, "STARRED")
    told = nylas.webhooks.notifications()[-2:]
    assert [one.type for one in told] == ["message.created.metadata", "message.updated.metadata"]
    assert all(one.data["object"].keys().isdisjoint({"body", "snippet", "attachments"}) for one in told)
    with pytest.raises(ValueError, match="only Google"):
        nylas.connect("marcus@fjordlight.example", "microsoft", metadata_only=True)
