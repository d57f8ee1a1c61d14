"""The parts of one process: made once, when first needed, and out of settings that can be mended meanwhile."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from azure.storage.queue import QueueClient

import function_app
from mailsync.errors import ConfigurationError
from mailsync.outcome import Kind
from mailsync.settings import SettingsError
from mailsync.storage.account import StorageAccount
from mailsync.storage.aside import UNREADABLE
from mailsync.storage.envelope import MESSAGES, SWEEPS, GrantItem, MessageItem, SweepItem, encode
from mailsync.storage.journal import Journal
from mailsync.storage.mailboxes import Mailboxes
from mailsync.storage.tables import Table
from mailsync.wiring import Wiring, wiring_here
from sandbox.azurite import Azurite
from sandbox.host.arguments import Context
from tests.mailsync.parts import API_KEY, NOW, NylasServed, drained, in_threads, mail, new_address, new_id

ROOT = Path(__file__).parents[2]
CONTEXT = Context("any", ROOT, {})


@pytest.fixture
def env(azurite: Azurite, nylas: NylasServed) -> dict[str, str]:
    """Everything but Dataverse's address."""
    return {
        "AzureWebJobsStorage": azurite.connection_string,
        "NYLAS_API_KEY": API_KEY,
        "NYLAS_API_URI": nylas.server.url,
        "NYLAS_WEBHOOK_SECRET": "s",
        "SYNC_SINCE": "2026-09-01",
    }


@pytest.mark.parametrize(
    ("environment", "read"),
    [
        pytest.param({}, "UseDevelopmentStorage=true", id="the file's"),
        pytest.param({"AzureWebJobsStorage__accountName": "stprod"}, None, id="the deployed one"),
        pytest.param({"AzureWebJobsStorage__queueServiceUri": "https://q.example"}, None, id="half of one"),
        pytest.param({"AzureWebJobsStorage": "AccountName=a;AccountKey=b"}, "AccountName=a;AccountKey=b", id="a key's"),
        pytest.param({"AzureWebJobsStorage__accountName": ""}, "UseDevelopmentStorage=true", id="none after all"),
    ],
)
def test_a_command_takes_its_storage_from_the_environment_or_from_the_file_and_never_from_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], read: str | None
) -> None:
    """Else a command meant for the deployed app would work on the emulator of the quickstart."""
    held = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "NYLAS_API_KEY": "from the file", "SWEEP_SPREAD": ""}
    (tmp_path / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": held}), encoding="utf-8")
    monkeypatch.setattr(os, "environ", dict(environment))
    wiring_here(tmp_path)
    assert dict(os.environ).get("AzureWebJobsStorage") == read
    assert os.environ["NYLAS_API_KEY"] == "from the file"
    assert "SWEEP_SPREAD" not in os.environ


def process(env: dict[str, str]) -> Wiring:
    """A process whose present is that of these tests."""
    wiring = Wiring(env)
    wiring.clock = lambda: NOW
    return wiring


def hurried(env: dict[str, str]) -> Wiring:
    """A process that hides no item on its queue."""
    wiring = process(env)
    wiring.hurry = math.inf
    return wiring


def use(monkeypatch: pytest.MonkeyPatch, wiring: Wiring) -> None:
    monkeypatch.setattr(function_app, "wiring", wiring)


def soon(queue: QueueClient) -> list[Any]:
    """What is on a queue as soon as it shows: the shortest delay a queue knows is a second."""
    deadline = time.monotonic() + 5
    while not (found := drained(queue)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def text(item: Any) -> func.QueueMessage:
    return func.QueueMessage(id="1", body=item if isinstance(item, (str, bytes)) else encode(item))


# made once


@pytest.mark.parametrize("part", ["queues", "ingest_queues", "_journal", "_mailboxes", "_handling"])
def test_threads_that_come_at_once_get_the_same_part(env: dict[str, str], part: str) -> None:
    wiring = Wiring(env)
    made = in_threads(8, lambda: getattr(wiring, part))
    assert len({id(one) for one in made}) == 1
    assert not isinstance(made[0], Exception)


def test_the_schedule_needs_no_other_setting() -> None:
    assert Wiring({}).sweep_schedule() == "0 */5 * * * *"
    assert Wiring({"SWEEP_SCHEDULE": " 0 */2 * * * * "}).sweep_schedule() == "0 */2 * * * *"


# settings that are missing


def test_a_message_waits_on_its_queue_while_settings_are_mended(
    env: dict[str, str], on_queue: dict[str, QueueClient], journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, hurried(env))
    item = MessageItem(grant=new_id(), message="m", source="message.created", first_seen=NOW)
    function_app.write_email(text(item), CONTEXT)
    (again,) = soon(on_queue[MESSAGES])
    assert isinstance(again, MessageItem)
    assert (again.message, again.attempt) == ("m", 1)
    entry = journal.get(item.grant, "m")
    assert entry is not None
    assert (entry.kind, entry.reason) == (Kind.DEFERRED, "settings")


def test_a_sweep_needs_no_dataverse_but_all_settings(
    env: dict[str, str], on_queue: dict[str, QueueClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, hurried(env))
    function_app.sweep_mailbox(text(SweepItem(grant=new_id(), source="grant.created", first_seen=NOW)), CONTEXT)
    assert [item.attempt for item in soon(on_queue[SWEEPS])] == [1]


def test_the_timer_says_what_is_missing(env: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as error:
        Wiring(env).sweep_missed()
    assert set(error.value.problems) == {"DATAVERSE_URL"}


# each function does its part


LAST_WORDS = """
import os, time
from mailsync.outcome import Kind
from mailsync.storage.envelope import MessageItem
from mailsync.wiring import Wiring

item = MessageItem(grant=os.environ["GRANT"], message="m", source="message.created", first_seen=int(time.time()))
Wiring().measures.outcome(item, Kind.WRITTEN, "contact")
"""


def test_what_a_process_has_counted_is_written_when_it_ends(env: dict[str, str], mailboxes: Mailboxes) -> None:
    grant, began = new_id(), int(time.time())
    subprocess.run([sys.executable, "-c", LAST_WORDS], env={**os.environ, **env, "GRANT": grant}, check=True, cwd=ROOT)
    counted = Wiring(env).counts.days(began, int(time.time()) + 1)
    assert [(one.kind, one.reason, one.count) for one in counted if one.grant == grant] == [("written", "contact", 1)]
    mailbox = mailboxes.get(grant)
    assert mailbox is not None
    assert mailbox.last_written is not None
    assert mailbox.last_written >= began


def test_the_sweep_of_a_mailbox_puts_its_mail_on_the_queue(
    env: dict[str, str], nylas: NylasServed, on_queue: dict[str, QueueClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, process({**env, "DATAVERSE_URL": "https://contoso.crm.dynamics.com"}))
    address = new_address()
    grant = nylas.stand_in.connect(address, "google", created_at=NOW - 60)
    message = nylas.stand_in.deliver(grant, mail("dora@fabrikam.example", address, date=NOW - 5), notify=False)
    function_app.sweep_missed(None, CONTEXT)  # type: ignore[arg-type]
    swept = [item for item in soon(on_queue[SWEEPS]) if item.grant == grant]
    assert swept == [SweepItem(grant=grant, source="timer", first_seen=NOW)]
    function_app.sweep_mailbox(text(swept[0]), CONTEXT)
    assert [item.message for item in soon(on_queue[MESSAGES]) if isinstance(item, MessageItem)] == [message]


def test_the_end_of_a_grant_is_recorded(
    env: dict[str, str], mailboxes: Mailboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, process({**env, "DATAVERSE_URL": "https://contoso.crm.dynamics.com"}))
    grant = new_id()
    function_app.sweep_mailbox(text(GrantItem(grant=grant, event="grant.deleted", source="s", first_seen=NOW)), CONTEXT)
    found = mailboxes.get(grant)
    assert found is not None
    assert found.status == "deleted"


@pytest.mark.parametrize("function", ["write_email", "sweep_mailbox", "collect_poison", "collect_sweep_poison"])
def test_what_is_no_item_goes_aside_with_storage_alone(
    function: str, azurite: Azurite, account: StorageAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Wiring({"AzureWebJobsStorage": azurite.connection_string}))
    mark = new_id()
    getattr(function_app, function)(text(f"no item {mark}"), CONTEXT)
    rows = Table(account, "aside").query("PartitionKey eq @p", {"p": UNREADABLE})
    assert [row["reason"] for row in rows if mark in row["envelope"]] == ["not_an_envelope"]


@pytest.mark.parametrize(
    ("function", "queue"), [("collect_poison", MESSAGES), ("collect_sweep_poison", SWEEPS)], ids=["messages", "sweeps"]
)
def test_poison_gets_one_more_life_on_its_own_queue(
    function: str, queue: str, env: dict[str, str], on_queue: dict[str, QueueClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, hurried(env))
    message = MessageItem(grant=new_id(), message="m", source="s", first_seen=NOW)
    item = message if queue == MESSAGES else SweepItem(grant=message.grant, source="s", first_seen=NOW)
    getattr(function_app, function)(text(item), CONTEXT)
    assert [one.revived for one in soon(on_queue[queue])] == [True]


# the policy


def test_a_policy_file_that_is_not_there_is_a_setting_to_mend(env: dict[str, str]) -> None:
    wiring = Wiring({**env, "DATAVERSE_URL": "https://contoso.crm.dynamics.com", "TRACKING_POLICY": "nowhere.toml"})
    with pytest.raises(ConfigurationError) as error:
        _ = wiring.policy
    assert error.value.reason == "tracking_policy"
    assert "TRACKING_POLICY" in str(error.value)


@pytest.mark.parametrize("content", [b'track = "some"\ncolour = "red"', b"\xff\xfe"], ids=["unknown words", "no UTF-8"])
def test_a_policy_that_cannot_be_used_is_a_setting_to_mend(env: dict[str, str], tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ours.toml"
    path.write_bytes(content)
    wiring = Wiring({**env, "DATAVERSE_URL": "https://contoso.crm.dynamics.com", "TRACKING_POLICY": str(path)})
    with pytest.raises(ConfigurationError) as error:
        _ = wiring.policy
    assert error.value.reason == "tracking_policy"
    if b"track" in content:
        assert "ours.toml:1" in str(error.value)
        assert "ours.toml:2" in str(error.value)


# since when


def test_since_when_mail_is_swept(env: dict[str, str], mailboxes: Mailboxes) -> None:
    """The setting, or the installation's first start less the overlap."""
    whole = {**env, "DATAVERSE_URL": "https://contoso.crm.dynamics.com", "SWEEP_OVERLAP": "600"}
    assert process({**whole, "SYNC_SINCE": "1970-01-02"}).sync_since() == 86_400
    first = mailboxes.first_start(NOW)
    assert process({**whole, "SYNC_SINCE": ""}).sync_since() == first - 600
