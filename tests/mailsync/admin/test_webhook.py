"""`webhook`: made with every trigger, mended, paused, removed; the secret goes where the deployment expects it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailsync.nylas.notification import USED_TYPES
from mailsync.nylas.webhooks import TRIGGERS, mark_of
from sandbox.entra import EntraStandIn
from sandbox.faults import Answer, Fault
from sandbox.servers import Certificate, Server
from sandbox.vault import VaultStandIn
from sandbox.webhooks import Webhook
from tests.mailsync.admin.desk import App, Desk

NAME = "nylas-webhook-secret"


@pytest.fixture
def url(deployed: tuple[App, str]) -> str:
    return deployed[1]


@pytest.fixture
def vault(
    certificate: Certificate, entra: tuple[EntraStandIn, str], deployed: tuple[App, str]
) -> Iterator[tuple[VaultStandIn, str]]:
    """A vault that the deployed app follows."""
    app = deployed[0]
    stand_in = VaultStandIn(entra[0].authorise, then=lambda _, value: app.learn(*value.split(",")))
    with Server(stand_in.app, certificate=certificate) as server:
        yield stand_in, server.url


def registered(desk: Desk) -> list[Webhook]:
    return list(desk.nylas.webhooks.registered.values())


# --- register ---------------------------------------------------------------------------------------------------------


def test_what_we_ask_to_be_told_of_is_what_ingest_uses() -> None:
    assert set(TRIGGERS) == USED_TYPES


def test_it_is_made_with_every_trigger_zipped_and_with_whom_to_write_to(desk: Desk, url: str) -> None:
    said = desk.told("webhook", "register", url, "--notify", "ops@contoso.example", "--notify", "b@contoso.example")
    (made,) = registered(desk)
    assert (set(made.triggers), made.compressed, made.emails) == (
        set(TRIGGERS),
        True,
        ("ops@contoso.example", "b@contoso.example"),
    )
    assert said["secret"] == made.secret
    assert mark_of(made.secret) in made.description


def test_the_secret_goes_into_the_vault_and_is_not_shown(desk: Desk, url: str, vault: tuple[VaultStandIn, str]) -> None:
    result = desk.run("webhook", "register", url, "--key-vault", vault[1], "--no-compressed")
    assert result.exit_code == 0, result.output
    (made,) = registered(desk)
    assert vault[0].versions[NAME] == [made.secret]
    assert made.secret not in result.output
    assert made.compressed is False
    assert "Tell the app" in result.output


def test_another_webhooks_secret_stays_in_the_vault_and_this_machines_does_not_go_there(
    desk: Desk, url: str, vault: tuple[VaultStandIn, str]
) -> None:
    """What a laptop's own settings hold is no secret of the deployment."""
    for number in (1, 2):
        desk.told("webhook", "register", f"{url}?v={number}", "--key-vault", vault[1])
    first, second = registered(desk)
    assert vault[0].versions[NAME] == [first.secret, f"{first.secret},{second.secret}"]
    assert desk.settings["NYLAS_WEBHOOK_SECRET"] not in vault[0].versions[NAME][-1]


def test_registering_again_mends_what_it_lacks_and_leaves_the_secret(desk: Desk, url: str) -> None:
    desk.nylas.webhooks.register(url, ["message.created"])
    (before,) = registered(desk)
    secret = before.secret
    said = desk.told("webhook", "register", url, "--notify", "ops@contoso.example")
    (now,) = registered(desk)
    assert (set(now.triggers), now.emails, now.secret) == (set(TRIGGERS), ("ops@contoso.example",), secret)
    assert said["secret"] is None


def test_an_endpoint_that_does_not_answer_the_challenge_is_named(desk: Desk) -> None:
    error = desk.told("webhook", "register", "http://127.0.0.1:9/api/webhooks/nylas", exit_code=2)["error"]
    assert error["reason"] == "webhook_challenge"
    assert "is the app deployed" in error["advice"]


def test_a_vault_that_refuses_says_so_before_anything_is_made(
    desk: Desk, url: str, vault: tuple[VaultStandIn, str]
) -> None:
    vault[0].refusing = frozenset({"GET"})
    error = desk.told("webhook", "register", url, "--key-vault", vault[1], exit_code=2)["error"]
    assert error["reason"] == "vault_refused"
    assert registered(desk) == []


def test_a_secret_that_the_vault_does_not_take_is_not_lost(
    desk: Desk, url: str, vault: tuple[VaultStandIn, str]
) -> None:
    vault[0].refusing = frozenset({"PUT"})
    result = desk.run("webhook", "register", url, "--key-vault", vault[1])
    assert result.exit_code == 2
    (made,) = registered(desk)
    assert made.secret in result.stderr


@pytest.mark.parametrize("named", ["no vault!", "https://vault.azure.net.evil.example", "http://x.vault.azure.net"])
def test_a_token_goes_to_no_other_host_than_a_vault(idle_desk: Desk, named: str) -> None:
    error = idle_desk.told("webhook", "register", "https://a.example/x", "--key-vault", named, exit_code=2)["error"]
    assert error["reason"] == "unknown_vault"


def test_a_wrong_key_is_a_setting_to_mend(desk: Desk, url: str) -> None:
    desk.settings["NYLAS_API_KEY"] = "wrong"
    assert desk.told("webhook", "register", url, exit_code=2)["error"]["reason"] == "nylas_key"


def test_it_needs_no_setting_but_those_of_nylas(desk: Desk, url: str) -> None:
    for name in ("DATAVERSE_URL", "AzureWebJobsStorage", "NYLAS_WEBHOOK_SECRET"):
        del desk.settings[name]
    assert desk.told("webhook", "register", url)["status"] == "active"


# --- list, pause, resume, remove --------------------------------------------------------------------------------------


def test_the_list_tells_what_a_webhook_lacks_and_addresses_only_when_asked(desk: Desk, url: str) -> None:
    assert "no webhook" in desk.run("webhook", "list").stdout
    desk.nylas.webhooks.register(url, ["message.created"], emails=["ops@contoso.example"])
    (one,) = desk.told("webhook", "list")["webhooks"]
    assert set(one["missing_triggers"]) == set(TRIGGERS) - {"message.created"}
    assert (one["notified"], one["notified_count"]) == (None, 1)
    assert desk.told("webhook", "list", "--addresses")["webhooks"][0]["notified"] == ["ops@contoso.example"]
    shown = desk.run("webhook", "list").stdout
    assert "lacks message.updated" in shown
    assert "ops@" not in shown


def test_it_is_paused_and_resumed(desk: Desk, url: str) -> None:
    desk.told("webhook", "register", url)
    assert desk.told("webhook", "pause")["status"] == "pause"
    assert registered(desk)[0].status == "pause"
    assert desk.told("webhook", "resume", registered(desk)[0].id[:8])["status"] == "active"


def test_removing_asks_first(desk: Desk, url: str) -> None:
    desk.told("webhook", "register", url)
    assert desk.run("webhook", "remove", answer="n\n").exit_code == 1
    assert len(registered(desk)) == 1
    desk.told("webhook", "remove", url, "--yes")
    assert registered(desk) == []


def test_of_two_webhooks_one_must_be_named(desk: Desk, url: str) -> None:
    for query in ("", "?v=2"):
        desk.told("webhook", "register", url + query)
    error = desk.told("webhook", "pause", exit_code=2)["error"]
    assert error["reason"] == "ambiguous_webhook"
    assert all(one.id in error["advice"] for one in registered(desk))
    assert desk.told("webhook", "pause", "nothing", exit_code=2)["error"]["reason"] == "unknown_webhook"


# --- rotate -----------------------------------------------------------------------------------------------------------


def test_a_rotation_keeps_both_secrets_until_the_app_knows_them(
    desk: Desk, deployed: tuple[App, str], vault: tuple[VaultStandIn, str]
) -> None:
    app, url = deployed
    desk.told("webhook", "register", url, "--key-vault", vault[1], "--notify", "ops@contoso.example")
    (first,) = registered(desk)
    app.slow_to_learn = 3
    said = desk.told("webhook", "rotate", "--key-vault", vault[1])
    (second,) = registered(desk)
    assert (second.url, second.emails, second.compressed) == (f"{url}?v=2", ("ops@contoso.example",), True)
    assert vault[0].versions[NAME] == [first.secret, f"{first.secret},{second.secret}", second.secret]
    assert app.answers == [401] * 3 + [200] * 5
    assert said["secret"] is None
    assert said["id"] == second.id


def test_the_next_rotation_takes_another_url(
    desk: Desk, deployed: tuple[App, str], vault: tuple[VaultStandIn, str]
) -> None:
    _, url = deployed
    desk.told("webhook", "register", url, "--key-vault", vault[1])
    for _ in range(2):
        desk.told("webhook", "rotate", "--key-vault", vault[1])
    assert [one.url for one in registered(desk)] == [f"{url}?v=3"]


def test_an_app_that_does_not_learn_the_secret_leaves_both_webhooks_and_the_next_run_goes_on(
    desk: Desk, deployed: tuple[App, str]
) -> None:
    """Nothing is stored here: a person sets the setting by hand."""
    app, url = deployed
    first_secret = desk.told("webhook", "register", url)["secret"]
    desk.settings["NYLAS_WEBHOOK_SECRET"] = first_secret
    app.learn(first_secret)
    said = desk.run("webhook", "rotate", "--wait", "0")
    assert said.exit_code == 1
    assert "nothing is lost" in said.stderr
    first, second = registered(desk)
    both = f"{first.secret},{second.secret}"
    assert both in said.stdout
    desk.settings["NYLAS_WEBHOOK_SECRET"] = both
    app.learn(first.secret, second.secret)
    done = desk.told("webhook", "rotate")
    assert (done["id"], done["secret"]) == (second.id, second.secret)
    assert [one.id for one in registered(desk)] == [second.id]


def test_a_second_webhook_whose_secret_nobody_knows_is_not_trusted(desk: Desk, deployed: tuple[App, str]) -> None:
    """Two secrets are known, and neither is that of the second webhook."""
    app, url = deployed
    desk.settings["NYLAS_WEBHOOK_SECRET"] = desk.told("webhook", "register", url)["secret"]
    app.learn(desk.settings["NYLAS_WEBHOOK_SECRET"], "another")
    desk.run("webhook", "rotate", "--wait", "0")
    desk.settings["NYLAS_WEBHOOK_SECRET"] += ",another"
    error = desk.told("webhook", "rotate", exit_code=2)["error"]
    assert error["reason"] == "secret_unknown"
    assert len(registered(desk)) == 2


def test_without_the_present_secret_no_rotation_begins(desk: Desk, url: str) -> None:
    desk.told("webhook", "register", url)
    desk.settings["NYLAS_WEBHOOK_SECRET"] = ""
    assert desk.told("webhook", "rotate", exit_code=2)["error"]["reason"] == "secret_unknown"
    assert len(registered(desk)) == 1


def test_a_failing_nylas_leaves_things_as_they_are(desk: Desk, url: str) -> None:
    desk.faults["nylas"].add(Fault(Answer(503, body=b"<html>")))
    assert desk.told("webhook", "list", exit_code=1)["error"]["reason"] == "nylas_unavailable"


def test_help_shows_how(idle_desk: Desk, tmp_path: Path) -> None:
    for command in ("register", "pause", "rotate", "remove"):
        assert f"python -m mailsync webhook {command}" in " ".join(
            idle_desk.run("webhook", command, "--help").stdout.split()
        )
