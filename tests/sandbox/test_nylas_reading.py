"""What Nylas answers about grants, folders, messages and attachments, and what it refuses."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email import message_from_bytes
from typing import Any
from urllib.parse import quote

import pytest
import requests

from sandbox.mail import File
from sandbox.mailboxes import PROVIDERS
from sandbox.nylas import NylasStandIn
from sandbox.servers import Server
from tests.sandbox.nylas_client import ANN, BEN, DAY, IDA, KEY, NOON, Client, Clock, fill, mail

# keys and paths


@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", f"Basic {KEY}", f"bearer {KEY}x"], ids=["none", "wrong", "basic", "longer"]
)
def test_without_the_api_key_nothing_is_told(server: Server, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    answer = requests.get(f"{server.url}/v3/grants", headers=headers, timeout=5)
    assert answer.status_code == 401
    assert answer.json()["error"] == {"type": "unauthorized", "message": "Unauthorized"}


@pytest.mark.parametrize("path", ["/", "/v2/grants", "/v3", "/v3/calendars", "/v3/grants/{g}/threads"])
def test_other_paths_are_not_found(nylas: NylasStandIn, api: Client, path: str) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    assert api.refused(path.format(g=grant)) == (404, "not_found_error")


def test_mailboxes_are_only_read_here(nylas: NylasStandIn, server: Server) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    url = f"{server.url}/v3/grants/{grant}/messages"
    assert requests.post(url, headers={"Authorization": f"Bearer {KEY}"}, timeout=5).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/v3/grants",
        "/v3/grants/{g}",
        "/v3/grants/{g}/folders",
        "/v3/grants/{g}/messages",
        "/v3/grants/{g}/messages/{m}",
    ],
)
def test_a_mistyped_parameter_is_found(nylas: NylasStandIn, api: Client, path: str) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    [message] = fill(nylas, grant, 1)
    path = path.format(g=grant, m=message)
    assert api.get(path).status_code == 200
    assert api.refused(path, recieved_after=1) == (400, "invalid_request_error")


# grants


def test_grants_are_paged_by_offset(nylas: NylasStandIn, api: Client) -> None:
    ids = [nylas.connect(f"u{number}@fjordlight.example", "google") for number in range(12)]
    assert [grant["id"] for grant in api.data("/v3/grants")] == ids[:10]
    assert [grant["id"] for grant in api.data("/v3/grants", offset=10)] == ids[10:]
    assert [grant["id"] for grant in api.data("/v3/grants", limit=200)] == ids
    assert api.get("/v3/grants", limit=3, offset=6).json()["offset"] == 6
    assert api.refused("/v3/grants", limit=201) == (400, "invalid_request_error")


def test_grants_are_filtered(nylas: NylasStandIn, api: Client) -> None:
    ida = nylas.connect("ida@fjordlight.example", "google", created_at=NOON - 10)
    marcus = nylas.connect("marcus@fjordlight.example", "microsoft", created_at=NOON)
    nylas.expire(marcus)

    def found(**params: object) -> list[str]:
        return [grant["id"] for grant in api.data("/v3/grants", **params)]

    assert found(grant_status="valid") == [ida]
    assert found(grant_status="invalid") == [marcus]
    assert found(provider="microsoft") == [marcus]
    assert found(email="IDA@fjordlight.example") == [ida]
    assert found(since=NOON) == [marcus]
    assert found(before=NOON) == [ida, marcus]
    assert api.refused("/v3/grants", grant_status="broken")[0] == 400


@pytest.mark.parametrize(
    ("provider", "told"),
    [("google", ["i@fjordlight.example"]), ("microsoft", ["i@fjordlight.example"]), ("imap", None), ("ews", None)],
)
def test_aliases_are_told_when_asked_for_and_where_they_are_known(
    nylas: NylasStandIn, api: Client, provider: str, told: list[str] | None
) -> None:
    grant = nylas.connect("ida@fjordlight.example", provider, name="Ida", aliases=["i@fjordlight.example"])
    assert "email_aliases" not in api.data(f"/v3/grants/{grant}")
    shown = api.data(f"/v3/grants/{grant}", expose_aliases="true")
    assert shown.get("email_aliases") == told
    assert (shown["name"], shown["provider"], shown["grant_status"]) == ("Ida", provider, "valid")
    assert shown["created_at"] == NOON


@pytest.mark.parametrize("called", ["{id}", "grant:{id}", "ida@fjordlight.example", "email:IDA@fjordlight.example"])
def test_a_grant_has_several_names(nylas: NylasStandIn, api: Client, called: str) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    named = quote(called.format(id=grant), safe="")
    assert api.data(f"/v3/grants/{named}")["id"] == grant
    assert api.data(f"/v3/grants/{named}/messages") == []


def test_an_expired_grant_is_known_but_opens_nothing(nylas: NylasStandIn, api: Client, clock: Clock) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    [message] = fill(nylas, grant, 1)
    nylas.expire(grant)
    assert api.data(f"/v3/grants/{grant}")["grant_status"] == "invalid"
    for path in ("folders", "messages", f"messages/{message}"):
        answer = api.get(f"/v3/grants/{grant}/{path}")
        assert answer.status_code == 401
        assert answer.json()["error"]["provider_error"]["code"] == 401
    clock.now += 60
    nylas.reauthenticate(grant)
    assert api.data(f"/v3/grants/{grant}/messages/{message}")["id"] == message
    assert api.data(f"/v3/grants/{grant}")["updated_at"] == NOON + 60


def test_a_deleted_grant_is_gone_and_connecting_again_makes_another(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    nylas.disconnect(grant)
    for path in ("", "/folders", "/messages", "/messages/1"):
        assert api.refused(f"/v3/grants/{grant}{path}") == (404, "not_found_error")
    assert nylas.connect("ida@fjordlight.example", "google") != grant
    with pytest.raises(LookupError, match="no such grant"):
        nylas.deliver(grant, mail())


# folders


def test_googles_folders_are_labels_with_literal_ids(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    marked = {folder["id"]: folder["attributes"] for folder in api.data(f"/v3/grants/{grant}/folders")}
    assert {label: marks for label, marks in marked.items() if marks} == {
        "INBOX": ["\\Inbox"],
        "SENT": ["\\Sent"],
        "DRAFT": ["\\Drafts"],
        "TRASH": ["\\Trash"],
        "SPAM": ["\\Junk"],
    }
    assert marked["UNREAD"] == []


@pytest.mark.parametrize(
    ("provider", "language", "sent"),
    [
        ("microsoft", "de", "Gesendete Elemente"),
        ("microsoft", "en", "Sent Items"),
        ("ews", "en", "Sent Items"),
        ("imap", "de", "Sent"),
    ],
)
def test_elsewhere_only_the_attribute_tells_a_folders_role(
    nylas: NylasStandIn, api: Client, provider: str, language: str, sent: str
) -> None:
    grant = nylas.connect("ida@fjordlight.example", provider, language=language)
    folders = api.data(f"/v3/grants/{grant}/folders")
    [found] = [folder for folder in folders if folder["attributes"] == ["\\Sent"]]
    assert found["name"] == sent
    assert found["id"] == nylas.folder_id(grant, "sent") != sent
    assert len({folder["id"] for folder in folders}) == len(folders) == 6
    assert api.data(f"/v3/grants/{grant}/folders/{quote(found['id'], safe='')}") == found
    assert api.refused(f"/v3/grants/{grant}/folders/nowhere")[0] == 404


def test_an_imap_server_may_tell_no_attributes(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "imap", folder_attributes=False)
    assert all(folder["attributes"] == [] for folder in api.data(f"/v3/grants/{grant}/folders"))
    message = nylas.deliver(grant, mail(), "sent")
    assert api.data(f"/v3/grants/{grant}/messages/{message}")["folders"] == [nylas.folder_id(grant, "Sent")]


def test_folders_are_paged(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "microsoft")
    for number in range(60):
        nylas.make_folder(grant, f"Project {number}")
    path = f"/v3/grants/{grant}/folders"
    first = api.get(path).json()
    second = api.get(path, page_token=first["next_cursor"]).json()
    assert [len(first["data"]), len(second["data"]), second["next_cursor"]] == [50, 16, None]
    assert len(api.data(path, limit=200)) == 66
    assert api.refused(path, limit=201)[0] == 400
    assert api.refused(path, page_token="made up")[0] == 400


@pytest.mark.parametrize("provider", ["microsoft", "ews"])
def test_a_folder_of_exchange_names_the_one_it_lies_in(nylas: NylasStandIn, api: Client, provider: str) -> None:
    grant = nylas.connect("ida@fjordlight.example", provider)
    customers = nylas.make_folder(grant, "Customers")
    roofs = nylas.make_folder(grant, "Roofs", parent="Customers")
    flat = nylas.make_folder(grant, "Flat", parent=roofs)
    other = nylas.make_folder(grant, "Roofs", parent="inbox")
    inbox = nylas.folder_id(grant, "inbox")
    shown = {folder["id"]: folder for folder in api.data(f"/v3/grants/{grant}/folders")}
    told = {at: (shown[at]["name"], shown[at].get("parent_id", "absent"), shown[at]["child_count"]) for at in shown}
    assert told[customers] == ("Customers", "absent", 1)
    assert told[roofs] == ("Roofs", customers, 1)
    assert told[flat] == ("Flat", roofs, 0)
    assert told[other] == ("Roofs", inbox, 0)
    assert told[inbox][1:] == ("absent", 1)
    assert nylas.folder_id(grant, "Customers/Roofs") == roofs
    assert nylas.folder_id(grant, "Customers/Roofs/Flat") == flat


@pytest.mark.parametrize("provider", ["google", "imap", "icloud", "yahoo"])
def test_elsewhere_a_folder_within_another_has_both_names(nylas: NylasStandIn, api: Client, provider: str) -> None:
    grant = nylas.connect("ida@fjordlight.example", provider)
    nylas.make_folder(grant, "Customers")
    roofs = nylas.make_folder(grant, "Roofs", parent="Customers")
    shown = api.data(f"/v3/grants/{grant}/folders/{roofs}")
    assert (shown["name"], "parent_id" in shown) == ("Customers/Roofs", False)
    assert shown.get("system_folder", False) is False
    assert nylas.folder_id(grant, "Customers/Roofs") == roofs
    with pytest.raises(LookupError):
        nylas.make_folder(grant, "Walls", parent="Suppliers")


@pytest.mark.parametrize("provider", ["microsoft", "ews", "imap", "icloud", "yahoo"])
def test_mail_moves_into_a_folder_of_the_users_own(nylas: NylasStandIn, api: Client, provider: str) -> None:
    grant = nylas.connect("ida@fjordlight.example", provider)
    nylas.make_folder(grant, "Customers")
    roofs = nylas.make_folder(grant, "Roofs", parent="Customers")
    message = nylas.deliver(grant, mail())
    nylas.move(grant, message, "Customers/Roofs")
    [shown] = api.data(f"/v3/grants/{grant}/messages", **{"in": roofs})
    assert (shown["id"], shown["folders"]) == (message, [roofs])
    with pytest.raises(ValueError, match="no labels"):
        nylas.label(grant, message, "Customers/Roofs")


# one message


@pytest.mark.parametrize(
    ("provider", "shape"),
    [("google", r"[0-9a-f]{16}"), ("microsoft", r"AAkA[\w=-]{90,}="), ("imap", r"[0-9a-z]{20,25}")],
)
def test_ids_have_the_shape_of_their_provider(nylas: NylasStandIn, api: Client, provider: str, shape: str) -> None:
    grant = nylas.connect("ida@fjordlight.example", provider)
    ids = fill(nylas, grant, 20)
    assert len(set(ids)) == 20
    for message in ids:
        assert re.fullmatch(shape, message)
        assert api.data(f"/v3/grants/{grant}/messages/{quote(message, safe='')}")["id"] == message


@pytest.mark.parametrize("awkward", ["a/b+c=#d", "AAk%2F=", "ümlaut id", "a?b&c"])
def test_an_awkward_id_is_found_when_it_is_encoded(nylas: NylasStandIn, api: Client, awkward: str) -> None:
    grant = nylas.connect("ida@fjordlight.example", "imap")
    nylas.deliver(grant, mail(), message_id=awkward)
    assert api.data(f"/v3/grants/{grant}/messages/{quote(awkward, safe='')}")["id"] == awkward
    assert api.refused(f"/v3/grants/{grant}/messages/{quote('a/b', safe='/')}")[0] == 404


def test_a_message_is_shown_whole_and_without_headers(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    message = nylas.deliver(grant, mail(7, cc=(BEN,), reply_to=(ANN,), in_reply_to="<0@customer.example>"))
    assert api.data(f"/v3/grants/{grant}/messages/{message}") == {
        "id": message,
        "grant_id": grant,
        "object": "message",
        "thread_id": message,
        "subject": "Mail 7",
        "from": [{"name": "Ann", "email": "Ann@customer.example"}],
        "to": [{"name": "Ida", "email": "ida@fjordlight.example"}],
        "cc": [{"email": "ben@customer.example"}],
        "bcc": [],
        "reply_to": [{"name": "Ann", "email": "Ann@customer.example"}],
        "date": NOON + 7,
        "body": "<p>Hello</p>",
        "snippet": "Hello",
        "starred": False,
        "unread": True,
        "folders": ["UNREAD", "CATEGORY_PERSONAL", "INBOX"],
        "attachments": [],
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param({}, ["Message-ID"], id="a first mail"),
        pytest.param(
            {"in_reply_to": "<0@x.example>", "references": "<0@x.example>\r\n <1@x.example>"},
            ["Message-ID", "In-Reply-To", "References"],
            id="an answer",
        ),
        pytest.param({"message_id": None}, [], id="none: an empty list"),
    ],
)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_basic_headers_are_a_list_even_when_empty(
    nylas: NylasStandIn, api: Client, provider: str, given: dict[str, Any], told: list[str]
) -> None:
    grant = nylas.connect("ida@fjordlight.example", provider)
    path = f"/v3/grants/{grant}/messages/{quote(nylas.deliver(grant, mail(5, **given)), safe='')}"
    headers = api.data(path, fields="include_basic_headers")["headers"]
    assert [header["name"] for header in headers] == told
    assert "headers" not in api.data(path, fields="standard")
    if "References" in told:
        assert headers[2]["value"] == given["references"]


@pytest.mark.parametrize(
    ("provider", "all_of_them"),
    [("google", True), ("microsoft", True), ("ews", False), ("imap", False), ("icloud", False), ("yahoo", False)],
)
def test_all_headers_are_there_only_where_the_provider_gives_them(
    nylas: NylasStandIn, api: Client, provider: str, all_of_them: bool
) -> None:
    grant = nylas.connect("ida@fjordlight.example", provider)
    message = nylas.deliver(grant, mail(5, bcc=(BEN,), headers=(("List-Id", "<list.example>"),)))
    headers = api.data(f"/v3/grants/{grant}/messages/{message}", fields="include_headers")["headers"]
    names = [header["name"] for header in headers]
    assert ("List-Id" in names and "From" in names) == all_of_them
    assert "Message-ID" in names
    assert "Bcc" not in names


@pytest.mark.parametrize("fields", ["include_everything", "include_basic_headers,raw_mime", ""])
def test_other_fields_are_refused(nylas: NylasStandIn, api: Client, fields: str) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    [message] = fill(nylas, grant, 1)
    assert api.refused(f"/v3/grants/{grant}/messages/{message}", fields=fields)[0] == 400


@pytest.mark.parametrize("fields", ["include_basic_headers", "include_headers"])
@pytest.mark.parametrize(
    ("provider", "switched", "headers"),
    [("microsoft", True, False), ("microsoft", False, True), ("google", True, True), ("ews", True, True)],
)
def test_what_was_sent_may_come_without_headers_on_microsoft(
    nylas: NylasStandIn, api: Client, provider: str, switched: bool, headers: bool, fields: str
) -> None:
    nylas.behaviour.sent_without_headers = switched
    grant = nylas.connect("ida@fjordlight.example", provider)
    sent, received = (nylas.deliver(grant, mail(1), folder) for folder in ("sent", "inbox"))
    path = f"/v3/grants/{grant}/messages"
    for _ in range(2):
        assert bool(api.data(f"{path}/{quote(sent)}", fields=fields)["headers"]) == headers
        nylas.move(grant, sent, "archive")  # they do not come with a move
    assert api.data(f"{path}/{quote(received)}", fields=fields)["headers"]
    assert "Message-ID: <1@customer.example>" in api.raw(f"{path}/{quote(sent)}").decode()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_read_may_lack_the_headers_altogether(nylas: NylasStandIn, api: Client, provider: str) -> None:
    grant = nylas.connect("ida@fjordlight.example", provider)
    message = nylas.deliver(grant, mail(), overrides={"headers": ...})
    path = f"/v3/grants/{grant}/messages/{quote(message)}"
    assert "headers" not in api.data(path, fields="include_basic_headers")
    assert "headers" not in api.data(path, fields="include_headers")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_raw_mime_is_the_mail_itself(nylas: NylasStandIn, api: Client, provider: str) -> None:
    grant = nylas.connect("ida@fjordlight.example", provider)
    message = nylas.deliver(grant, mail(3, subject="Grüße / ご挨拶", files=(File("a.txt", "text/plain", b"abc"),)))
    shown = api.data(f"/v3/grants/{grant}/messages/{quote(message)}", fields="raw_mime")
    assert shown.keys() == {"grant_id", "object", "id", "raw_mime"}
    parsed = message_from_bytes(Client.raw_mime(shown))
    assert parsed["Message-ID"] == "<3@customer.example>"
    assert [part.get_content_type() for part in parsed.walk()] == ["multipart/mixed", "text/html", "text/plain"]


def test_select_gives_only_what_it_names(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    [message] = fill(nylas, grant, 1)
    path = f"/v3/grants/{grant}/messages"
    assert api.data(path, select="id,date") == [{"id": message, "date": NOON}]
    assert api.data(f"{path}/{message}", select="subject") == {"subject": "Mail 0"}
    assert api.refused(path, select="id,dat")[0] == 400


def test_bcc_is_known_to_the_sender_only(nylas: NylasStandIn) -> None:
    grant = nylas.connect("ida@fjordlight.example", "microsoft")
    secret = mail(bcc=(BEN,))
    nylas.deliver(grant, secret, "sent")
    nylas.deliver(grant, secret, nylas.folder_id(grant, "sent"))
    nylas.deliver(grant, secret)
    assert [len(shown["bcc"]) for shown in nylas.messages(grant)] == [0, 1, 1]


def test_an_answer_joins_the_thread_of_its_mailbox(nylas: NylasStandIn) -> None:
    for provider in ("google", "microsoft", "imap"):
        grant = nylas.connect("ida@fjordlight.example", provider)
        nylas.deliver(grant, mail(1), notify=False)
        nylas.deliver(grant, mail(2, in_reply_to="<1@customer.example>"), notify=False)
        nylas.deliver(grant, mail(3, references="<lost@x.example> <2@customer.example>"), notify=False)
        nylas.deliver(grant, mail(4), notify=False)
        other, third, second, first = (shown["thread_id"] for shown in nylas.messages(grant))
        assert first == second == third != other


def test_fields_can_be_shown_otherwise_or_not_at_all(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    strange = {"subject": None, "to": [None], "date": ..., "headers": None}
    message = nylas.deliver(grant, mail(), overrides=strange)
    path = f"/v3/grants/{grant}/messages/{message}"
    shown = api.data(path)
    assert (shown["subject"], shown["to"], "date" in shown, "headers" in shown) == (None, [None], False, False)
    assert api.data(path, fields="include_basic_headers")["headers"] is None


def test_a_message_may_not_be_found_yet(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    message = nylas.deliver(grant, mail(), hidden=2)
    path = f"/v3/grants/{grant}/messages"
    assert api.data(path) == []
    assert [api.get(f"{path}/{message}").status_code for _ in range(3)] == [404, 404, 200]
    assert len(api.data(path)) == 1


# the list


def test_the_list_is_newest_first_whatever_came_last(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    for number in (5, 1, 9, 3, 9):
        nylas.deliver(grant, mail(number), notify=False)
    assert [shown["date"] - NOON for shown in api.data(f"/v3/grants/{grant}/messages")] == [9, 9, 5, 3, 1]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_pages_cover_everything_once(nylas: NylasStandIn, api: Client, size: int) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    ids = fill(nylas, grant, 6) + [nylas.deliver(grant, mail(5)) for _ in range(4)]
    seen: list[str] = []
    answer = api.get(f"/v3/grants/{grant}/messages", limit=size).json()
    seen += [shown["id"] for shown in answer["data"]]
    while answer["next_cursor"]:
        assert len(answer["data"]) == size
        nylas.deliver(grant, mail(100), notify=False)  # newer mail in the middle of it changes nothing
        answer = api.get(f"/v3/grants/{grant}/messages", limit=size, page_token=answer["next_cursor"]).json()
        seen += [shown["id"] for shown in answer["data"]]
    assert sorted(seen) == sorted(ids)


def test_the_limit_is_50_unless_told_and_200_at_most(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    fill(nylas, grant, 201)
    path = f"/v3/grants/{grant}/messages"
    assert len(api.data(path)) == 50
    assert len(api.data(path, limit=200)) == 200
    for limit in (0, 201, "many", -1):
        assert api.refused(path, limit=limit) == (400, "invalid_request_error")
    nylas.behaviour.clamp_limit = True
    assert len(api.data(path, limit=201)) == 200


def test_a_page_token_is_good_for_its_own_listing_only(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    other = nylas.connect("marcus@fjordlight.example", "google")
    fill(nylas, grant, 5)
    path = f"/v3/grants/{grant}/messages"
    token = api.get(path, limit=2, received_after=NOON - 1).json()["next_cursor"]
    assert len(api.data(path, limit=3, received_after=NOON - 1, page_token=token)) == 3
    for filters in ({}, {"received_after": NOON}, {"received_after": NOON - 1, "unread": "true"}):
        assert api.refused(path, limit=2, page_token=token, **filters)[0] == 400
    assert api.refused(f"/v3/grants/{other}/messages", received_after=NOON - 1, page_token=token)[0] == 400
    assert api.refused(path, received_after=NOON - 1, page_token=token[:-2] + "AA")[0] == 400
    assert api.refused(path, page_token="")[0] == 400
    nylas.forget_cursors()
    assert api.refused(path, limit=2, received_after=NOON - 1, page_token=token)[0] == 400


@pytest.mark.parametrize("absent", [False, True], ids=["null", "absent"])
def test_the_last_page_has_no_cursor(nylas: NylasStandIn, api: Client, absent: bool) -> None:
    nylas.behaviour.last_cursor_absent = absent
    grant = nylas.connect("ida@fjordlight.example", "google")
    fill(nylas, grant, 2)
    last = api.get(f"/v3/grants/{grant}/messages", limit=2).json()
    assert ("next_cursor" in last) != absent
    assert last.get("next_cursor") is None


def test_pages_may_repeat_a_message(nylas: NylasStandIn, api: Client) -> None:
    nylas.behaviour.repeat_across_pages = True
    grant = nylas.connect("ida@fjordlight.example", "google")
    ids = fill(nylas, grant, 4)
    path = f"/v3/grants/{grant}/messages"
    first = api.get(path, limit=2).json()
    second = api.data(path, limit=2, page_token=first["next_cursor"])
    assert [shown["id"] for shown in first["data"] + second] == [ids[3], ids[2], ids[2], ids[1]]


def test_the_list_may_leave_bodies_out(nylas: NylasStandIn, api: Client) -> None:
    nylas.behaviour.list_has_body = False
    grant = nylas.connect("ida@fjordlight.example", "google")
    [message] = fill(nylas, grant, 1)
    path = f"/v3/grants/{grant}/messages"
    assert "body" not in api.data(path)[0]
    assert api.data(f"{path}/{message}")["body"] == "<p>Hello</p>"


def test_the_list_may_carry_headers(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    fill(nylas, grant, 1)
    [shown] = api.data(f"/v3/grants/{grant}/messages", fields="include_basic_headers")
    assert shown["headers"] == [{"name": "Message-ID", "value": "<0@customer.example>"}]


@pytest.mark.parametrize(
    ("provider", "inclusive", "after", "before", "found"),
    [
        pytest.param("google", False, 0, None, [2, 1], id="after is exclusive"),
        pytest.param("google", False, None, 2, [1, 0], id="before is exclusive"),
        pytest.param("google", False, 0, 2, [1], id="between"),
        pytest.param("google", True, 0, None, [2, 1, 0], id="after, inclusive by switch"),
        pytest.param("google", True, None, 2, [2, 1, 0], id="before, inclusive by switch"),
        pytest.param("imap", False, 1, 2, [], id="nothing between"),
        pytest.param("ews", False, 2, None, [2, 1, 0], id="EWS: the whole day of after"),
        pytest.param("ews", False, None, 0, [2, 1, 0], id="EWS: the whole day of before"),
        pytest.param("ews", False, DAY, None, [], id="EWS: the next day"),
        pytest.param("ews", False, None, -DAY, [], id="EWS: the day before"),
    ],
)
def test_a_window(
    nylas: NylasStandIn,
    api: Client,
    provider: str,
    inclusive: bool,
    after: int | None,
    before: int | None,
    found: list[int],
) -> None:
    nylas.behaviour.received_inclusive = inclusive
    grant = nylas.connect("ida@fjordlight.example", provider)
    fill(nylas, grant, 3)
    named = {"received_after": after, "received_before": before}
    window = {name: NOON + value for name, value in named.items() if value is not None}
    shown = api.data(f"/v3/grants/{grant}/messages", **window)
    assert [message["date"] - NOON for message in shown] == found


@pytest.mark.parametrize(
    ("params", "found"),
    [
        pytest.param({"subject": "QUOTE"}, ["quote"], id="subject, part of it"),
        pytest.param({"from_": "ben@customer.example"}, ["ben"], id="from"),
        pytest.param({"to": "nobody@x.example,BEN@customer.example"}, ["quote"], id="to, one of several"),
        pytest.param({"cc": "ben@customer.example"}, ["copied"], id="cc"),
        pytest.param({"bcc": "ben@customer.example"}, ["sent"], id="bcc"),
        pytest.param({"any_email": "ben@customer.example"}, ["sent", "copied", "ben", "quote"], id="any"),
        pytest.param({"in": "SENT"}, ["sent"], id="in"),
        pytest.param({"unread": "false"}, ["sent"], id="read"),
        pytest.param({"starred": "true"}, [], id="starred"),
        pytest.param({"has_attachment": "true"}, ["copied"], id="with attachment"),
        pytest.param({"has_attachment": "true", "unread": "false"}, [], id="both"),
        pytest.param({"in": "INBOX", "any_email": "ben@customer.example", "limit": 1}, ["copied"], id="with a limit"),
    ],
)
def test_filters(nylas: NylasStandIn, api: Client, params: dict[str, Any], found: list[str]) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    nylas.deliver(grant, mail(0, subject="plain"), notify=False)
    nylas.deliver(grant, mail(1, subject="A quote for you", to=(IDA, BEN)), notify=False)
    nylas.deliver(grant, mail(2, subject="ben", sender=BEN), notify=False)
    nylas.deliver(grant, mail(3, subject="copied", cc=(BEN,), files=(File("a", "text/plain", b"a"),)), notify=False)
    nylas.deliver(grant, mail(4, subject="sent", sender=IDA, to=(ANN,), bcc=(BEN,)), "sent", notify=False)
    shown = api.data(f"/v3/grants/{grant}/messages", **params)
    assert [message["subject"].replace("A quote for you", "quote") for message in shown] == found


def test_a_thread_is_a_filter(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "microsoft")
    first = nylas.deliver(grant, mail(1))
    nylas.deliver(grant, mail(2))
    thread = api.data(f"/v3/grants/{grant}/messages/{quote(first)}")["thread_id"]
    assert [message["id"] for message in api.data(f"/v3/grants/{grant}/messages", thread_id=thread)] == [first]


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"in": "Posteingang"}, id="a folder's name"),
        pytest.param({"in": "INBOX"}, id="another provider's folder"),
        pytest.param({"unread": "yes"}, id="unread"),
        pytest.param({"received_after": "2026-09-22"}, id="a date"),
        pytest.param({"received_after": "1.5"}, id="a fraction"),
        pytest.param({"any_email": ",".join(f"{n}@x.example" for n in range(26))}, id="26 addresses"),
        pytest.param({"thread_id": "x", "subject": "y"}, id="Microsoft's groups"),
        pytest.param({"limit": [1, 2]}, id="twice"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(nylas: NylasStandIn, api: Client, params: dict[str, Any]) -> None:
    grant = nylas.connect("ida@fjordlight.example", "microsoft")
    assert api.refused(f"/v3/grants/{grant}/messages", **params) == (400, "invalid_request_error")


def test_mail_moves_and_is_read_under_the_same_id(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    message = nylas.deliver(grant, mail(), "junk")
    path = f"/v3/grants/{grant}/messages"
    assert api.data(f"{path}/{message}")["folders"] == ["UNREAD", "SPAM"]
    nylas.move(grant, message, "inbox")
    assert api.data(path, **{"in": "INBOX"})[0]["folders"] == ["UNREAD", "CATEGORY_PERSONAL", "INBOX"]
    nylas.mark(grant, message, unread=False)
    assert api.data(f"{path}/{message}")["folders"] == ["CATEGORY_PERSONAL", "INBOX"]
    nylas.delete(grant, message)
    assert api.refused(f"{path}/{message}")[0] == 404
    assert api.data(path) == []


def test_a_message_of_googles_has_several_labels(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    customers, roofs = (nylas.make_folder(grant, name) for name in ("Customers", "Customers/Roofs"))
    message = nylas.deliver(grant, mail(), labels=("Customers",))
    path = f"/v3/grants/{grant}/messages"

    def labels() -> list[str]:
        shown: list[str] = api.data(f"{path}/{message}")["folders"]
        return shown

    assert labels() == ["UNREAD", "CATEGORY_PERSONAL", "INBOX", customers]
    nylas.label(grant, message, "Customers/Roofs")
    nylas.label(grant, message, "Customers/Roofs")
    assert labels() == ["UNREAD", "CATEGORY_PERSONAL", "INBOX", customers, roofs]
    assert [api.data(path, **{"in": label})[0]["id"] for label in (customers, roofs, "INBOX")] == [message] * 3
    nylas.label(grant, message, "Customers", on=False)
    nylas.move(grant, message, "trash")
    assert labels() == ["UNREAD", "TRASH", roofs]
    with pytest.raises(LookupError):
        nylas.label(grant, message, "Suppliers")


def test_the_labels_unread_and_starred_say_so(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    message = nylas.deliver(grant, mail())
    path = f"/v3/grants/{grant}/messages"
    nylas.label(grant, message, "UNREAD", on=False)
    nylas.label(grant, message, "STARRED")
    nylas.move(grant, message, "archive")
    [shown] = api.data(path, starred="true", unread="false")
    assert (shown["unread"], shown["starred"], shown["folders"]) == (False, True, ["CATEGORY_PERSONAL", "STARRED"])
    nylas.label(grant, message, "STARRED", on=False)
    assert api.data(path, starred="true") == []


def test_a_label_is_told_as_an_update(nylas: NylasStandIn) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    customers = nylas.make_folder(grant, "Customers")
    message = nylas.deliver(grant, mail())
    nylas.label(grant, message, "Customers")
    nylas.label(grant, message, "Customers", on=False)
    nylas.label(grant, message, "IMPORTANT", notify=False)
    told = [nylas.webhooks.notification(one) for one in nylas.notifications_of(message)]
    assert [one.type for one in told] == ["message.created", "message.updated", "message.updated"]
    assert [customers in one.data["object"]["folders"] for one in told] == [False, True, False]


# attachments


@pytest.mark.parametrize("provider", ["google", "microsoft", "ews", "imap"])
def test_attachments_are_described_and_their_bytes_are_real(nylas: NylasStandIn, api: Client, provider: str) -> None:
    files = (
        File("roof é.png", "image/png", bytes(range(256)) * 5, content_id="<roof@x>", inline=True),
        File("a.csv", "text/csv", b"a,b\n"),
    )
    grant = nylas.connect("ida@fjordlight.example", provider)
    message = nylas.deliver(grant, mail(files=files))
    path = f"/v3/grants/{grant}"
    shown = api.data(f"{path}/messages/{quote(message, safe='')}")["attachments"]
    microsoft = provider in ("microsoft", "ews")
    assert [one["is_inline"] for one in shown] == [True, False]
    assert [one["content_id"] for one in shown] == ["roof@x" if microsoft else "<roof@x>", ""]
    assert [one["size"] >= len(file.content) for one, file in zip(shown, files, strict=True)] == [True, True]
    assert (shown[0]["size"] > 1280) == microsoft
    assert ("content_disposition" in shown[0]) != microsoft
    for one, file in zip(shown, files, strict=True):
        place = f"{path}/attachments/{quote(one['id'], safe='')}"
        assert api.data(place, message_id=message) == one
        got = api.get(f"{place}/download", message_id=message)
        assert (got.content, got.headers["Content-Type"]) == (file.content, "application/octet-stream")
        assert api.refused(place)[0] == 400
        assert api.refused(place, message_id="other")[0] == 404
    assert api.refused(f"{path}/attachments/none", message_id=message)[0] == 404


# how it answers


def test_answers_are_zipped_where_it_pays(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    path = f"/v3/grants/{grant}/messages/{nylas.deliver(grant, mail(body='<p>' + 'long ' * 500))}"
    assert api.get(path).headers["Content-Encoding"] == "gzip"
    assert api.data(path)["body"].startswith("<p>long")
    assert "Content-Encoding" not in api.get(path, select="id").headers
    nylas.behaviour.gzip = False
    assert "Content-Encoding" not in api.get(path).headers


def test_requests_of_the_provider_and_quota_units_are_told(nylas: NylasStandIn, api: Client) -> None:
    google = nylas.connect("ida@fjordlight.example", "google")
    microsoft = nylas.connect("marcus@fjordlight.example", "microsoft")
    [message, *_] = fill(nylas, google, 3)
    one = api.get(f"/v3/grants/{google}/messages/{message}").headers
    assert (one["Nylas-Provider-Request-Count"], one["Nylas-Gmail-Quota-Usage"]) == ("1", "20")
    listed = api.get(f"/v3/grants/{google}/messages").headers
    assert (listed["Nylas-Provider-Request-Count"], listed["Nylas-Gmail-Quota-Usage"]) == ("4", "65")
    assert "Nylas-Gmail-Quota-Usage" not in api.get(f"/v3/grants/{microsoft}/messages").headers


def test_gmail_refuses_when_its_units_are_used_up(nylas: NylasStandIn, api: Client, clock: Clock) -> None:
    nylas.behaviour.gmail_units = 40
    grant = nylas.connect("ida@fjordlight.example", "google")
    path = f"/v3/grants/{grant}/messages/{fill(nylas, grant, 1)[0]}"
    assert [api.get(path).status_code for _ in range(3)] == [200, 200, 429]
    refused = api.get(path).json()["error"]
    assert refused["type"] == "quota_exceeded_error"
    assert "Retry after 2026-09-22T12:01:00.000Z" in refused["provider_error"]["error"]["message"]
    clock.now += 60
    assert api.get(path).status_code == 200


@pytest.mark.parametrize(
    ("provider", "courtesy", "refused"), [("microsoft", True, 2), ("microsoft", False, 0), ("google", True, 0)]
)
def test_microsoft_refuses_a_fifth_request_at_once(
    nylas: NylasStandIn, server: Server, provider: str, courtesy: bool, refused: int
) -> None:
    nylas.behaviour.courtesy = courtesy
    grant = nylas.connect("ida@fjordlight.example", provider)
    nylas.delay = 0.1
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: _list(server, grant), range(6)))
    limited = [answer for answer in answers if answer.status_code == 429]
    assert len(limited) == refused
    assert all(answer.headers["Retry-After"] == "1" for answer in limited)
    assert all(answer.json()["error"]["type"] == "rate_limit_error" for answer in limited)
    nylas.delay = 0.0
    assert _list(server, grant).status_code == 200


def test_every_answer_takes_the_delay(nylas: NylasStandIn, api: Client) -> None:
    nylas.delay = 0.05
    begun = time.monotonic()
    api.get("/v3/grants")
    assert time.monotonic() - begun >= 0.05


def test_calls_are_counted_by_what_they_ask_for(nylas: NylasStandIn, api: Client) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    [message] = fill(nylas, grant, 1)
    api.get("/v3/grants")
    api.get(f"/v3/grants/{grant}")
    api.get(f"/v3/grants/{grant}/folders")
    for _ in range(2):
        api.get(f"/v3/grants/{grant}/messages")
        api.get(f"/v3/grants/{grant}/messages/{message}")
    api.get(f"/v3/grants/{grant}/messages/{message}", fields="raw_mime")
    api.get(f"/v3/grants/{grant}/attachments/x/download", message_id=message)
    assert nylas.calls == {
        "GET grants": 1,
        "GET grants/id": 1,
        "GET folders": 1,
        "GET messages": 2,
        "GET messages/id": 2,
        "GET messages/id raw_mime": 1,
        "GET attachments/id/download": 1,
    }


def test_a_mail_without_a_date_has_that_of_its_delivery(nylas: NylasStandIn) -> None:
    grant = nylas.connect("ida@fjordlight.example", "google")
    nylas.deliver(grant, replace(mail(), date=None))
    assert nylas.messages(grant)[0]["date"] == NOON


def _list(server: Server, grant: str) -> requests.Response:
    return requests.get(
        f"{server.url}/v3/grants/{grant}/messages", headers={"Authorization": f"Bearer {KEY}"}, timeout=5
    )
