"""Ingest answers each webhook with the one code that makes Nylas do the right thing, and sends at most one item."""

from __future__ import annotations

import gzip
import logging
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from azure.storage.queue import QueueClient

import function_app
from mailsync.errors import ConfigurationError, MailSyncError, MessageError, TransientError
from mailsync.ingest import LONGEST_CHALLENGE, Reply, accept, answer_challenge
from mailsync.nylas.notification import LARGEST_BODY
from mailsync.storage.envelope import MESSAGES, SWEEPS, DeletedItem, GrantItem, Item, MessageItem, SweepItem
from mailsync.wiring import Wiring
from sandbox.azurite import Azurite
from sandbox.host.arguments import Context
from tests.mailsync.notifications import (
    DATE,
    FOLDERS,
    GRANT,
    MESSAGE,
    NOTIFICATION,
    SECRET,
    TOLD_AT,
    about_grant,
    about_message,
    envelope,
    signature,
    signed,
    written,
)
from tests.mailsync.nylas.test_notification import NOT_NOTIFICATIONS, SUFFIXES, without
from tests.mailsync.parts import NOW, Line, Sent, drained, new_id, queue_port, silence, wall, with_queue_port

ROOT = Path(__file__).parent.parent.parent
CREATED = written(envelope("message.created", about_message()))


def taken(
    body: bytes, headers: Mapping[str, str] | None = None, *, secrets: tuple[str, ...] = (SECRET,)
) -> tuple[Reply, list[Item]]:
    """The answer to a webhook, and what went on the queue."""
    sent = Sent()
    reply = accept(body, signed(body) if headers is None else headers, secrets=secrets, send=sent, now=NOW)
    return reply, sent.items


# 200


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("family", ["message.created", "message.updated"])
def test_a_message_becomes_one_item_with_ids_only(family: str, suffix: str) -> None:
    reply, items = taken(written(envelope(family + suffix, about_message())))
    assert reply == Reply(200, "queued")
    assert items == [
        MessageItem(
            grant=GRANT,
            message=MESSAGE,
            source=family,
            first_seen=NOW,
            date=DATE,
            folders=tuple(FOLDERS),
            notification=NOTIFICATION,
        )
    ]


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        pytest.param("grant.created", about_grant(), id="connected"),
        pytest.param("grant.updated", about_grant(code=25027), id="signed in anew, by code"),
        pytest.param("grant.updated", about_grant(code=1, reauthentication_flag=True), id="signed in anew, by flag"),
        pytest.param("grant.imap_sync_completed", about_grant(type="grant.imap_sync_completed"), id="IMAP ready"),
    ],
)
def test_a_mailbox_in_which_mail_may_wait_is_swept(kind: str, about: dict[str, Any]) -> None:
    reply, items = taken(written(envelope(kind, about)))
    assert reply.status == 200
    assert items == [SweepItem(grant=GRANT, source=kind, first_seen=NOW, notification=NOTIFICATION)]


@pytest.mark.parametrize("kind", ["grant.expired", "grant.deleted"])
def test_a_grant_that_ended_is_recorded_by_way_of_the_queue(kind: str) -> None:
    reply, items = taken(written(envelope(kind, about_grant())))
    assert reply.status == 200
    assert items == [
        GrantItem(grant=GRANT, event=kind, source=kind, first_seen=NOW, at=TOLD_AT, notification=NOTIFICATION)
    ]


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        pytest.param("grant.updated", about_grant(code=25014, reauthentication_flag=False), id="a grant changed"),
        pytest.param("message.send_success", without(about_message(), "body"), id="a message sent"),
        pytest.param("message.send_failed", None, id="object null"),
        pytest.param("message.opened", about_message(), id="tracking"),
        pytest.param("folder.updated", {}, id="a folder"),
        pytest.param("calendar.created", {}, id="a calendar"),
        pytest.param("something.never.heard.of", {}, id="the future"),
        pytest.param("", {}, id="no type at all"),
    ],
)
def test_what_we_do_not_use_is_a_success_without_item(kind: str, about: Any) -> None:
    reply, items = taken(written(envelope(kind, about)))
    assert (reply.status, items) == (200, [])


def test_the_trace_goes_along() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for kind in ("message.created", "grant.created", "grant.expired"):
        body = written(envelope(kind, about_message()))
        _, (item,) = taken(body, signed(body, traceparent=trace))
        assert item.traceparent == trace


def test_a_compressed_body_is_verified_as_received_and_then_inflated() -> None:
    body = gzip.compress(CREATED)
    reply, items = taken(body, signed(body, content_encoding="gzip"))
    assert reply.status == 200
    assert [item.message for item in items if isinstance(item, MessageItem)] == [MESSAGE]


def test_any_of_several_secrets_will_do() -> None:
    for secret in ("new", "old"):
        reply, items = taken(CREATED, signed(CREATED, secret), secrets=("new", "old"))
        assert (reply.status, len(items)) == (200, 1)


def test_a_deleted_message_is_recorded_by_way_of_the_queue() -> None:
    reply, items = taken(written(envelope("message.deleted", {"id": MESSAGE, "grant_id": GRANT, "object": "message"})))
    assert reply.status == 200
    assert items == [
        DeletedItem(grant=GRANT, message=MESSAGE, source="message.deleted", first_seen=NOW, notification=NOTIFICATION)
    ]


# 401, 400, 413


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="missing"),
        pytest.param({"x-nylas-signature": ""}, id="empty"),
        pytest.param({"x-nylas-signature": "0" * 64}, id="wrong"),
        pytest.param({"x-nylas-signature": signature(CREATED, "mock-webhook-secret")}, id="Nylas' secret for tests"),
        pytest.param({"x-nylas-signature": signature(CREATED + b"\n")}, id="of other bytes"),
        pytest.param({"X-Nylas-Signature": signature(CREATED)}, id="under a name not in lower case"),
    ],
)
def test_without_its_signature_it_is_refused_and_not_read(headers: dict[str, str]) -> None:
    reply, items = taken(CREATED, headers)
    assert (reply.status, items) == (401, [])


def test_a_signature_over_the_inflated_bytes_is_none() -> None:
    body = gzip.compress(CREATED)
    reply, items = taken(body, {"x-nylas-signature": signature(CREATED), "content-encoding": "gzip"})
    assert (reply.status, items) == (401, [])


def test_an_unsigned_bomb_is_refused_before_it_is_opened() -> None:
    body = gzip.compress(bytes(50_000_000), 1)
    reply, _ = taken(body, {"content-encoding": "gzip"})
    assert reply.status == 401


@pytest.mark.parametrize("body", NOT_NOTIFICATIONS.values(), ids=NOT_NOTIFICATIONS)
def test_signed_bytes_that_are_no_notification(body: bytes) -> None:
    reply, items = taken(body)
    assert (reply.status, items) == (400, [])


@pytest.mark.parametrize(
    "body",
    [gzip.compress(CREATED)[:-12], CREATED, b""],
    ids=["cut off", "plain", "empty"],
)
def test_signed_bytes_that_are_not_the_gzip_they_say(body: bytes) -> None:
    reply, items = taken(body, signed(body, content_encoding="gzip"))
    assert (reply.status, items) == (400, [])


@pytest.mark.parametrize("headers", [None, {}], ids=["signed", "unsigned"])
def test_a_body_over_the_cap_is_too_large(headers: dict[str, str] | None) -> None:
    body = written(envelope("message.created", about_message(body="x" * LARGEST_BODY)))
    reply, items = taken(body, headers)
    assert (reply.status, items) == (413, [])


def test_a_body_up_to_the_cap_is_not() -> None:
    bare = len(written(envelope("message.created", about_message(body=""))))
    body = written(envelope("message.created", about_message(body="x" * (LARGEST_BODY - bare))))
    assert len(body) == LARGEST_BODY
    reply, items = taken(body)
    assert (reply.status, len(items)) == (200, 1)


def test_a_gzip_bomb_is_too_large_and_costs_no_more_memory_than_the_cap() -> None:
    packer = zlib.compressobj(level=1, wbits=31)
    body = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(200)), packer.flush()])
    headers = signed(body, content_encoding="gzip")
    tracemalloc.start()
    try:
        reply, items = taken(body, headers)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (reply.status, items) == (413, [])
    assert peak < 3 * LARGEST_BODY


# 503


@pytest.mark.parametrize(
    "error",
    [
        TransientError("busy", reason="storage_unavailable"),
        ConfigurationError("role", reason="storage_refused"),
        MessageError("odd", reason="odd"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_be_queued_is_asked_for_again(error: MailSyncError) -> None:
    def send(_: Item) -> None:
        raise error

    assert accept(CREATED, signed(CREATED), secrets=(SECRET,), send=send, now=NOW).status == 503


# the challenge


@pytest.mark.parametrize(
    ("challenge", "reply"),
    [
        pytest.param("bc609b38-c81f-47fb-a275-1d9bd61a968b", None, id="Nylas' kind"),
        pytest.param('"<quoted>" & so on', None, id="kept as it is"),
        pytest.param("x" * LONGEST_CHALLENGE, None, id="the longest"),
        pytest.param("x" * (LONGEST_CHALLENGE + 1), 400, id="too long"),
        pytest.param("", 400, id="empty"),
        pytest.param(None, 400, id="missing"),
    ],
)
def test_the_challenge_is_answered_with_itself(challenge: str | None, reply: int | None) -> None:
    got = answer_challenge(challenge)
    assert got == Reply(200, challenge or "") if reply is None else got.status == reply


# what is logged


def test_nothing_of_the_mail_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    taken(CREATED)
    taken(CREATED, {})
    taken(written(envelope("message.created", about_message(id=None))))
    taken(written(envelope("message.opened", about_message())))
    told = caplog.text
    assert "event=notification_accepted" in told
    assert "event=notification_refused status=401" in told
    assert "event=notification_refused status=400" in told
    assert "event=notification_ignored" in told
    assert not any(secret in told.lower() for secret in ("secret subject", "secret body", "dora", "ann@", SECRET))


# through the door


def webhook(body: bytes = CREATED, headers: dict[str, str] | None = None) -> func.HttpResponse:
    """The function's answer to a POST."""
    given = signed(body) if headers is None else headers
    return at_the_door(func.HttpRequest(method="POST", url="/api/webhooks/nylas", headers=given, params={}, body=body))


def at_the_door(request: func.HttpRequest) -> func.HttpResponse:
    return function_app.ingest_webhook(request, Context("ingest_webhook", ROOT, {}))


def use(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> None:
    """Let the app start anew with this environment."""
    monkeypatch.setattr(function_app, "wiring", Wiring(env))


@pytest.fixture
def env(azurite: Azurite) -> dict[str, str]:
    """No more than the webhook needs."""
    return {"AzureWebJobsStorage": azurite.connection_string, "NYLAS_WEBHOOK_SECRET": f"old,{SECRET}"}


def test_the_function_queues_a_webhook_though_dataverse_is_not_set_up(
    env: dict[str, str], on_queue: dict[str, QueueClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, env)
    grant, before = new_id(), int(time.time())
    answer = webhook(written(envelope("message.created", about_message(grant_id=grant))))
    assert (answer.status_code, answer.get_body()) == (200, b"queued")
    (item,) = drained(on_queue[MESSAGES])
    assert isinstance(item, MessageItem)
    assert (item.grant, item.message, item.notification) == (grant, MESSAGE, NOTIFICATION)
    assert before <= item.first_seen <= time.time()
    assert drained(on_queue[SWEEPS]) == []


@pytest.mark.parametrize("name", ["x-nylas-signature", "X-Nylas-Signature", "X-NYLAS-SIGNATURE"])
def test_the_function_takes_header_names_in_any_case(
    name: str, env: dict[str, str], on_queue: dict[str, QueueClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, env)
    body = gzip.compress(CREATED)
    encoding = "CONTENT-ENCODING" if name.isupper() else "Content-Encoding"
    assert webhook(body, {name: signature(body), encoding: "gzip"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        pytest.param({}, CREATED, 401, id="unsigned"),
        pytest.param(None, b"[]", 400, id="no notification"),
        pytest.param(None, bytes(LARGEST_BODY + 1), 413, id="too large"),
        pytest.param(None, written(envelope("folder.created", {})), 200, id="not used"),
    ],
)
def test_the_function_answers_with_the_code(
    headers: dict[str, str] | None, body: bytes, status: int, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, env)
    answer = webhook(body, headers)
    assert answer.status_code == status
    assert answer.headers["Content-Length"] == str(len(answer.get_body()))


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="none at all"),
        pytest.param({"NYLAS_WEBHOOK_SECRET": SECRET}, id="no storage"),
        pytest.param({"NYLAS_WEBHOOK_SECRET": SECRET, "AzureWebJobsStorage": "nonsense"}, id="malformed storage"),
        pytest.param({"AzureWebJobsStorage": "UseDevelopmentStorage=true"}, id="no secret"),
        pytest.param({"AzureWebJobsStorage": "UseDevelopmentStorage=true", "NYLAS_WEBHOOK_SECRET": ","}, id="empty"),
    ],
)
def test_unusable_settings_are_503_and_never_500(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, settings)
    answer = webhook()
    assert (answer.status_code, answer.get_body()) == (503, b"try again later")


def test_settings_mended_meanwhile_are_used(
    env: dict[str, str], on_queue: dict[str, QueueClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be built is not remembered: the process need not start again."""
    changing: dict[str, str] = {}
    use(monkeypatch, changing)
    assert webhook().status_code == 503
    changing.update(env)
    assert webhook().status_code == 200


def test_the_challenge_is_answered_raw_with_its_length_and_needs_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, {})
    answer = at_the_door(
        func.HttpRequest(
            method="GET", url="/api/webhooks/nylas", headers={}, params={"code": "k", "challenge": "ä-1"}, body=b""
        )
    )
    assert (answer.status_code, answer.get_body()) == (200, "ä-1".encode())
    assert answer.headers["Content-Length"] == "4"
    assert answer.mimetype == "text/plain"


def test_a_get_without_challenge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, {})
    request = func.HttpRequest(method="GET", url="/api/webhooks/nylas", headers={}, params={}, body=b"")
    assert at_the_door(request).status_code == 400


# storage


@pytest.fixture
def line(azurite: Azurite) -> Iterator[Line]:
    with Line(queue_port(azurite.connection_string)) as line:
        yield line


def test_one_storage_call_for_each_webhook(
    env: dict[str, str], line: Line, on_queue: dict[str, QueueClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, {**env, "AzureWebJobsStorage": with_queue_port(env["AzureWebJobsStorage"], line.port)})
    for number in range(1, 4):
        assert webhook().status_code == 200
        assert len(line.requests) == number
    assert {request.partition("?")[0] for request in line.requests} == {f"POST /devstoreaccount1/{MESSAGES}/messages"}
    assert len(drained(on_queue[MESSAGES])) == 3


def test_a_queue_that_is_not_there_yet_is_made(
    env: dict[str, str], on_queue: dict[str, QueueClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_queue[SWEEPS].delete_queue()
    use(monkeypatch, env)
    assert webhook(written(envelope("grant.created", about_grant()))).status_code == 200
    assert len(drained(on_queue[SWEEPS])) == 1


@pytest.mark.timeout(10)
@pytest.mark.parametrize("trouble", [silence, wall], ids=["it never answers", "it never connects"])
def test_while_storage_hangs_the_answer_is_503_within_five_seconds(
    trouble: Any, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with trouble() as port:
        use(monkeypatch, {**env, "AzureWebJobsStorage": with_queue_port(env["AzureWebJobsStorage"], port)})
        began = time.monotonic()
        answer = webhook()
        assert answer.status_code == 503
        assert time.monotonic() - began < 5


def test_a_key_that_storage_refuses_is_503(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    key, other = env["AzureWebJobsStorage"].partition("AccountKey=")[::2]
    use(monkeypatch, {**env, "AzureWebJobsStorage": f"{key}AccountKey=AAAA{other[4:]}"})
    assert webhook().status_code == 503


# importing


def python(code: str, **env: str) -> str:
    """What a fresh interpreter with this environment alone prints."""
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_app_needs_no_setting_and_lists_its_functions() -> None:
    listed = python(
        "import function_app\n"
        "functions = function_app.app.get_functions()\n"
        "print(sorted(function.get_function_name() for function in functions))\n"
        "schedule, = [f.get_trigger().get_dict_repr()['schedule'] for f in functions"
        " if f.get_function_name() == 'sweep_missed']\n"
        "print(schedule)"
    )
    names = [
        "collect_poison",
        "collect_sweep_poison",
        "health",
        "ingest_webhook",
        "manage",
        "shorten_journal",
        "status",
        "sweep_mailbox",
        "sweep_missed",
        "verify_nightly",
        "write_email",
    ]
    assert listed.splitlines() == [str(names), "0 */5 * * * *"]


def test_a_cold_webhook_loads_nothing_of_dataverse_nor_of_mapping() -> None:
    """Nylas waits ten seconds, and that begins while the worker starts."""
    loaded = python(
        "import sys, azure.functions as func, function_app\n"
        "from sandbox.host.arguments import Context\n"
        "request = func.HttpRequest(method='POST', url='/', headers={}, body=b'{}')\n"
        "answer = function_app.ingest_webhook(request, Context('ingest_webhook', '.', {}))\n"
        "assert answer.status_code == 401, answer.status_code\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] in ('mapping', 'nylas', 'nh3')"
        " or name.startswith(('azure.identity', 'mailsync.dataverse', 'mailsync.sweep', 'mailsync.write'))))",
        AzureWebJobsStorage="UseDevelopmentStorage=true",
        NYLAS_WEBHOOK_SECRET=SECRET,
    )
    assert loaded == "[]"
