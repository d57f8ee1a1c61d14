"""Azurite starts on free ports, keeps to its folder, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueServiceClient

import sandbox.azurite
from sandbox.azurite import Azurite, AzuriteError

PACKAGE = Path(sandbox.azurite.__file__).parent


def alive(pid: int) -> bool:
    """Whether a process that is not our child runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_queues_and_tables_answer_behind_the_connection_string(azurite: Azurite) -> None:
    with QueueServiceClient.from_connection_string(azurite.connection_string) as queues:
        queues.create_queue("anything")
        assert "anything" in [queue.name for queue in queues.list_queues()]
    with TableServiceClient.from_connection_string(azurite.connection_string) as tables:
        tables.create_table("anything")
        assert "anything" in [table.name for table in tables.list_tables()]


def test_the_connection_string_names_all_three_endpoints_on_this_machine(azurite: Azurite) -> None:
    parts = dict(part.split("=", 1) for part in azurite.connection_string.strip(";").split(";"))
    for service in ("Blob", "Queue", "Table"):
        assert parts[f"{service}Endpoint"].startswith("http://127.0.0.1:")
        assert parts[f"{service}Endpoint"].endswith("/devstoreaccount1")
    assert len({parts[f"{service}Endpoint"] for service in ("Blob", "Queue", "Table")}) == 3


def test_its_accounts_keep_queues_and_tables_of_the_same_name_apart() -> None:
    with Azurite(accounts=3) as running:
        assert running.connection_string == running.connection_strings[0]
        for connection_string in running.connection_strings:
            with QueueServiceClient.from_connection_string(connection_string) as queues:
                queues.create_queue("shared").send_message(connection_string)
            with TableServiceClient.from_connection_string(connection_string) as tables:
                tables.create_table("shared").create_entity({"PartitionKey": "a", "RowKey": "a"})
        for connection_string in running.connection_strings:
            with QueueServiceClient.from_connection_string(connection_string) as queues:
                (message,) = queues.get_queue_client("shared").receive_messages()
            assert message.content == connection_string


def test_a_second_one_shares_nothing_and_leaves_nothing(azurite: Azurite) -> None:
    other = Azurite()
    pid, folder = other.pid, other.folder
    with QueueServiceClient.from_connection_string(other.connection_string) as queues:
        queues.create_queue("of-the-other")
    with QueueServiceClient.from_connection_string(azurite.connection_string) as queues:
        assert "of-the-other" not in [queue.name for queue in queues.list_queues()]
    assert folder.is_dir()
    other.stop()
    other.stop()
    assert not folder.exists()
    assert not alive(pid)


def test_a_folder_that_was_given_is_kept_with_what_it_holds(tmp_path: Path) -> None:
    with Azurite(tmp_path) as first, QueueServiceClient.from_connection_string(first.connection_string) as queues:
        queues.create_queue("lasting")
    with Azurite(tmp_path) as second, QueueServiceClient.from_connection_string(second.connection_string) as queues:
        assert [queue.name for queue in queues.list_queues()] == ["lasting"]


def test_it_ends_with_a_parent_that_was_killed() -> None:
    code = "from sandbox.azurite import Azurite; a = Azurite(); print(a.pid, a.folder, flush=True); input()"
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        assert alive(int(pid))
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while alive(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(int(pid))
    assert not Path(folder).exists()


def test_an_azurite_that_is_not_installed_is_reported_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.azurite, "_SCRIPT", tmp_path / "nowhere.js")
    with pytest.raises(AzuriteError, match="npm ci --prefix sandbox"):
        Azurite()


def test_a_machine_without_node_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AzuriteError, match="Node"):
        Azurite()


def test_the_lock_file_names_no_place_to_download_from() -> None:
    lock = (PACKAGE / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert '"node_modules/azurite"' in lock
