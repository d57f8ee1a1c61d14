"""`doctor`: a healthy deployment is called so, and each fault it knows is shown to it and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from azure.storage.queue import QueueServiceClient

from mailsync.doctor.host import examine_host
from mailsync.nylas.webhooks import TRIGGERS
from sandbox.dataverse.values import Column
from sandbox.faults import Answer, DropBefore, Fault
from sandbox.webhooks import Webhook
from tests.mailsync.admin.conftest import CLIENT
from tests.mailsync.admin.desk import App, Desk
from tests.mailsync.parts import ERASURE_KEY

HOST = json.loads((Path(__file__).parents[3] / "host.json").read_text(encoding="utf-8"))
Finding = dict[str, str]


class Patient:
    """A deployment in which everything is as it should be, until a test says otherwise."""

    def __init__(self, desk: Desk, app: App, url: str, environment: pytest.MonkeyPatch) -> None:
        self.environment = environment
        self.desk, self.app, self.url = desk, app, url
        self.grant = desk.connect("ann")
        self.address = desk.address(self.grant)
        self.user = desk.dataverse.add(
            "systemuser", fullname="Ann", internalemailaddress=self.address, emailrouteraccessapproval=1
        )
        desk.settings["NYLAS_WEBHOOK_SECRET"] = desk.told("webhook", "register", url, "--notify", "a@b.example")[
            "secret"
        ]
        app.learn(desk.settings["NYLAS_WEBHOOK_SECRET"])
        desk.told("dataverse", "setup", "--yes")
        (role_user,) = desk.dataverse.rows("systemuser", applicationid=CLIENT)
        desk.dataverse.privileges = set(desk.dataverse.privileges_of(str(role_user["systemuserid"])))

    @property
    def webhook(self) -> Webhook:
        (one,) = self.desk.nylas.webhooks.registered.values()
        return one

    def examined(self, *words: str, exit_code: int = 0) -> list[Finding]:
        """What is not good."""
        return [one for one in self.whole(*words, exit_code=exit_code) if one["result"] != "good"]

    def whole(self, *words: str, exit_code: int = 0) -> list[Finding]:
        found: list[Finding] = self.desk.told("doctor", "--url", self.url, *words, exit_code=exit_code)["findings"]
        return found

    def give_to_a_queue(self, **columns: Any) -> None:
        """The mailbox is a queue's and no user's."""
        self.desk.dataverse.delete("systemuser", self.user)
        self.desk.dataverse.add("queue", name="Support", emailaddress=self.address, **columns)

    def column(self, **words: Any) -> None:
        model = self.desk.dataverse._rows.model
        email = model.tables["email"]
        model.add(replace(email, columns={**email.columns, "contoso_id": Column("email", "contoso_id", **words)}))
        self.desk.settings["DATAVERSE_NYLAS_ID_COLUMN"] = "contoso_id"

    def policy(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / "ours.toml"
        path.write_text(text, encoding="utf-8")
        self.desk.settings["TRACKING_POLICY"] = str(path)

    def lose(self, privilege: str) -> None:
        held = self.desk.dataverse.privileges
        assert held is not None
        assert privilege in held
        self.desk.dataverse.privileges = held - {privilege}

    def also(self, privilege: str) -> None:
        self.desk.dataverse.privileges = {*(self.desk.dataverse.privileges or ()), privilege}


@pytest.fixture
def patient(desk: Desk, deployed: tuple[App, str], monkeypatch: pytest.MonkeyPatch) -> Patient:
    return Patient(desk, *deployed, monkeypatch)


def test_a_healthy_deployment_is_called_so(patient: Patient) -> None:
    found = patient.whole()
    assert [one for one in found if one["result"] != "good"] == []
    topics = {one["topic"] for one in found}
    assert topics == {"settings", "policy", "host", "storage", "nylas", "entra", "dataverse"}
    assert patient.app.answers == [200, 401]


def test_it_tells_no_address_and_no_secret(patient: Patient) -> None:
    patient.desk.dataverse.update(
        "systemuser", patient.user, incomingemaildeliverymethod=2, emailrouteraccessapproval=2
    )
    patient.desk.nylas.expire(patient.grant)
    said = patient.desk.run("doctor", "--all").stdout + patient.desk.run("doctor", "--all", "--json").stdout
    assert "@" not in said
    assert patient.webhook.secret not in said


def test_it_leaves_nothing_behind(patient: Patient) -> None:
    """No message, no row, no queue, no email."""
    patient.whole()
    rows = [one.grant for one in patient.desk.app._mailboxes.all()]
    assert rows == [patient.grant]
    assert patient.desk.items() == []
    assert patient.desk.emails() == []
    with QueueServiceClient.from_connection_string(patient.desk.settings["AzureWebJobsStorage"]) as service:
        assert [queue.name for queue in service.list_queues() if "doctor" in str(queue.name)] == []


FAULTS: dict[str, tuple[Callable[[Patient], None], str, str, str, int]] = {
    "the webhook was removed": (
        lambda p: p.desk.nylas.webhooks.remove(p.webhook.id), "webhook", "bad", "none leads to the app", 1,
    ),
    "the webhook is paused": (
        lambda p: setattr(p.webhook, "status", "pause"), "webhook", "bad", "somebody paused it", 1,
    ),
    "the webhook is failing": (
        lambda p: setattr(p.webhook, "status", "failing"), "webhook", "bad", "hardly anything but refusals", 1,
    ),
    "the webhook has failed": (
        lambda p: setattr(p.webhook, "status", "failed"), "webhook", "bad", "delivers nothing", 1,
    ),
    "the webhook lacks triggers": (
        lambda p: setattr(p.webhook, "triggers", TRIGGERS[1:]), "webhook", "bad", f"lacks the triggers {TRIGGERS[0]}", 1,
    ),
    "nobody is written to": (lambda p: setattr(p.webhook, "emails", ()), "webhook", "warning", "writes to nobody", 0),
    "a rotation was broken off": (
        lambda p: p.desk.told("webhook", "register", f"{p.url}?v=2", "--notify", "a@b.example") and None,
        "webhook", "warning", "2 lead to the app", 1,
    ),
    "the setting holds another secret": (
        lambda p: p.desk.settings.update(NYLAS_WEBHOOK_SECRET="another"),
        "delivery", "bad", "does not hold the secret this webhook was made with", 1,
    ),
    "the app knows another secret": (
        lambda p: p.app.learn("another"), "delivery", "bad", "the app does not know this secret", 1,
    ),
    "the key is wrong": (
        lambda p: p.desk.settings.update(NYLAS_API_KEY="wrong"), "grants", "bad", "nylas_key", 1,
    ),
    "a grant has expired": (
        lambda p: (p.desk.nylas.expire(p.desk.connect("bob", age=5)), None)[1], "grants", "warning", "1 have expired", 0,
    ),
    "no grant is valid": (lambda p: p.desk.nylas.expire(p.grant), "grants", "bad", "none of 1 is valid", 1),
    "Nylas is down": (
        lambda p: p.desk.faults["nylas"].add(Fault(Answer(503))), "grants", "unknown", "Nylas gave no answer", 1,
    ),
    "Entra refuses": (
        lambda p: p.environment.setenv("AZURE_CLIENT_SECRET", "wrong"), "identity", "bad", "entra_refused", 1,
    ),
    "Dataverse refuses": (
        lambda p: p.desk.faults["dataverse"].add(Fault(Answer(401))), "identity", "bad", "dataverse_refused_identity", 1,
    ),
    "Dataverse is out of reach": (
        lambda p: p.desk.faults["dataverse"].add(Fault(DropBefore())), "identity", "unknown", "no answer", 1,
    ),
    "a privilege is missing": (
        lambda p: p.lose("prvAppendToContact"), "privileges", "bad", "prvAppendToContact is missing", 1,
    ),
    "privileges may not be read": (
        lambda p: p.lose("prvReadUser"), "privileges", "bad", "dataverse_lacks_privilege", 1,
    ),
    "a privilege is too shallow": (
        lambda p: p.desk.dataverse.depths.update(prvReadActivity="Basic"),
        "privileges", "bad", "a part of the rows only: prvReadActivity", 1,
    ),
    "a privilege is too much": (
        lambda p: p.also("prvDeleteContact"), "privileges", "warning", "1 are there that the app does not need", 0,
    ),
    "files may hardly be any": (
        lambda p: p.desk.dataverse.update("organization", p.desk.dataverse.organization_id, maxuploadfilesize=4000),
        "limits", "warning", "files up to 3,000 bytes pass", 0,
    ),
    "the column is missing": (
        lambda p: p.desk.settings.update(DATAVERSE_NYLAS_ID_COLUMN="contoso_no"),
        "column", "bad", "emails have no column contoso_no", 1,
    ),
    "the column is too short": (
        lambda p: p.column(type="text", max=100), "column", "bad", "contoso_id holds 100 characters", 1,
    ),
    "the column is no text": (lambda p: p.column(type="integer"), "column", "bad", "contoso_id holds no text", 1),
    "a mailbox is nobody's": (
        lambda p: p.desk.dataverse.delete("systemuser", p.user), "owners", "warning", "no user's and no queue's", 0,
    ),
    "a mailbox's user is disabled": (
        lambda p: p.desk.dataverse.update("systemuser", p.user, isdisabled=True), "owners", "warning", "are disabled", 0,
    ),
    "server-side synchronisation would double mail": (
        lambda p: (
            p.desk.settings.update(ADOPT_EXISTING="false"),
            p.desk.dataverse.update("systemuser", p.user, incomingemaildeliverymethod=2),
        )[0],
        "server-side synchronisation", "bad", "their mail is doubled", 1,
    ),
    "server-side synchronisation waits for an approval": (
        lambda p: p.desk.dataverse.update(
            "systemuser", p.user, incomingemaildeliverymethod=2, emailrouteraccessapproval=2
        ),
        "approval", "warning", "1 mailboxes are not approved for email", 0,
    ),
    "nobody approved a mailbox's user": (
        lambda p: p.desk.dataverse.update("systemuser", p.user, emailrouteraccessapproval=0),
        "approval", "warning", "1 mailboxes are not approved for email", 0,
    ),
    "a mailbox's queue was rejected": (
        lambda p: p.give_to_a_queue(emailrouteraccessapproval=3),
        "approval", "warning", "1 mailboxes are not approved for email", 0,
    ),
    "a setting is malformed": (
        lambda p: p.desk.settings.update(SWEEP_OVERLAP="long"), "SWEEP_OVERLAP", "bad", "whole number", 2,
    ),
    "another runtime": (
        lambda p: p.desk.settings.update(FUNCTIONS_WORKER_RUNTIME="node"), "FUNCTIONS_WORKER_RUNTIME", "bad", "node", 1,
    ),
    "host.json is overruled": (
        lambda p: p.desk.settings.update(AzureFunctionsJobHost__functionTimeout="00:01:00"),
        "overrides", "warning", "AzureFunctionsJobHost__functionTimeout", 0,
    ),
    "the clock is wrong": (lambda p: setattr(p.desk.clock, "ahead", 3600.0), "clock", "bad", "s ahead", 1),
    "the clock drifts": (lambda p: setattr(p.desk.clock, "ahead", -60.0), "clock", "warning", "s behind", 0),
    "nothing can be shortened without a key": (
        lambda p: p.desk.settings.update(JOURNAL_RETENTION_DAYS="90"),
        "ERASURE_KEY", "bad", "is missing, so JOURNAL_RETENTION_DAYS has no effect", 2,
    ),
    "the key of hashes is malformed": (
        lambda p: p.desk.settings.update(ERASURE_KEY="no key"), "ERASURE_KEY", "bad", "64 hexadecimal digits", 2,
    ),
    "the key of hashes is gone": (
        lambda p: _hashed(p, ""), "ERASURE_KEY", "bad", "is missing, and there are hashes", 2,
    ),
    "the key of hashes is another": (
        lambda p: _hashed(p, "ff" * 32), "ERASURE_KEY", "bad", "is not the one that made the hashes", 2,
    ),
    "poison lies there": (
        lambda p: _put(p.desk, "nylas-messages-poison"), "poison", "warning", "1 messages lie in nylas-messages-poison", 0,
    ),
    "storage refuses": (
        lambda p: p.desk.settings.update(
            AzureWebJobsStorage=p.desk.settings["AzureWebJobsStorage"].replace("AccountKey=", "AccountKey=AAAA")
        ),
        "writing queues", "bad", "storage_refused", 1,
    ),
    "storage is out of reach": (
        lambda p: p.desk.settings.update(
            AzureWebJobsStorage="AccountName=a;AccountKey=AAAA;QueueEndpoint=http://127.0.0.1:9/a;TableEndpoint=http://127.0.0.1:9/a"
        ),
        "queues", "unknown", "storage account did not do as asked", 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(patient: Patient, fault: str) -> None:
    befall, checked, result, says, exit_code = FAULTS[fault]
    befall(patient)
    found = patient.examined(exit_code=exit_code)
    assert any(checked in one["checked"] and one["result"] == result and says in one["says"] for one in found), found
    assert all(one["todo"] for one in found if one["result"] in {"bad", "warning"})


def test_the_key_of_the_hashes_that_are_there_is_good(patient: Patient) -> None:
    _hashed(patient, ERASURE_KEY)
    assert any(one["checked"] == "ERASURE_KEY" and "made the hashes" in one["says"] for one in patient.whole())


def test_a_policy_that_asks_for_what_is_not_there_is_named(patient: Patient, tmp_path: Path) -> None:
    table = '[[regarding.tables]]\nname = "project"\ntable = "new_project"\ncontact = "new_contact"\n'
    patient.policy(f'{table}[regarding]\nrules = ["project"]\n'.replace("[[", "[[", 1), tmp_path)
    found = patient.examined(exit_code=1)
    assert any("asks for the table new_project, which is not there" in one["says"] for one in found), found


def test_a_policy_that_cannot_be_read_is_a_setting_of_its_own(patient: Patient, tmp_path: Path) -> None:
    patient.policy("track = 7", tmp_path)
    found = patient.examined(exit_code=1)
    assert any(one["topic"] == "policy" and "tracking_policy" in one["says"] for one in found)


def test_every_problem_of_the_settings_is_told_and_the_rest_looked_at_as_far_as_it_goes(patient: Patient) -> None:
    for name in ("NYLAS_API_KEY", "NYLAS_WEBHOOK_SECRET"):
        del patient.desk.settings[name]
    found = patient.whole(exit_code=2)
    told = {one["checked"]: one["says"] for one in found if one["topic"] == "settings"}
    assert told == {"NYLAS_API_KEY": "is missing", "NYLAS_WEBHOOK_SECRET": "is missing"}
    assert any(one["topic"] == "nylas" and "its settings are not usable" in one["says"] for one in found)
    assert any(one["topic"] == "dataverse" and one["result"] == "good" for one in found)
    assert any(one["topic"] == "storage" and one["result"] == "good" for one in found)


def test_what_another_tracker_puts_there_is_adopted_and_that_is_good(patient: Patient) -> None:
    patient.desk.dataverse.update("systemuser", patient.user, incomingemaildeliverymethod=2)
    found = patient.whole()
    assert any("there first is adopted" in one["says"] for one in found)


@pytest.mark.parametrize(
    ("of", "approval", "setting"),
    [
        pytest.param("user", 1, "requireapprovalforqueueemail", id="an approved user"),
        pytest.param("queue", 1, "requireapprovalforuseremail", id="an approved queue"),
        pytest.param("user", 0, "requireapprovalforuseremail", id="no user need be approved"),
        pytest.param("queue", 0, "requireapprovalforqueueemail", id="no queue need be approved"),
    ],
)
def test_who_is_approved_or_need_not_be_is_good(patient: Patient, of: str, approval: int, setting: str) -> None:
    """Each table is judged by its own setting of the organisation."""
    dataverse = patient.desk.dataverse
    dataverse.update("organization", dataverse.organization_id, **{setting: False})
    if of == "queue":
        patient.give_to_a_queue(emailrouteraccessapproval=approval)
    else:
        dataverse.update("systemuser", patient.user, emailrouteraccessapproval=approval)
    assert [one["result"] for one in patient.whole() if one["checked"] == "approval"] == ["good"]


def test_approval_of_many_mailboxes_is_asked_for_in_few_requests(patient: Patient) -> None:
    for number in range(50):
        address = f"m{number}@contoso.example"
        patient.desk.nylas.connect(address, "microsoft", created_at=patient.desk.clock())
        patient.desk.dataverse.add("systemuser", fullname="M", internalemailaddress=address)
    before = patient.desk.dataverse.requests
    (found,) = [one for one in patient.whole() if one["checked"] == "approval"]
    assert found["says"].startswith("the users or queues of 50 mailboxes are not approved for email: ")
    assert patient.desk.dataverse.requests - before < 30


def test_an_administrator_also_sees_the_mailbox_rows(patient: Patient) -> None:
    patient.desk.dataverse.add("mailbox", name="Ann", emailaddress=patient.address, incomingemaildeliverymethod=2)
    patient.desk.settings["ADOPT_EXISTING"] = "false"
    assert not any("doubled" in one["says"] for one in patient.examined())
    patient.desk.dataverse.privileges = None
    assert any("their mail is doubled" in one["says"] for one in patient.examined(exit_code=1))


def test_the_screen_shows_what_is_amiss_and_all_only_when_asked(patient: Patient) -> None:
    assert patient.desk.run("doctor", "--url", patient.url).stdout.startswith("36 looked at: 36 good")
    patient.desk.nylas.webhooks.remove(patient.webhook.id)
    said = patient.desk.run("doctor", "--url", patient.url)
    assert said.exit_code == 1
    assert "webhook register" in said.stdout
    assert "host.json" not in said.stdout
    assert "maxPollingInterval" in patient.desk.run("doctor", "--all").stdout


# --- host.json --------------------------------------------------------------------------------------------------------


def bad_of(host: dict[str, Any] | None) -> list[str]:
    return [one.checked for one in examine_host(host, {}) if one.result.value == "bad"]


def test_the_host_json_that_is_delivered_is_what_the_code_counts_on() -> None:
    assert bad_of(HOST) == []


@pytest.mark.parametrize(
    ("path", "value", "checked"),
    [
        pytest.param(("extensions", "queues", "maxPollingInterval"), "00:01:00", "maxPollingInterval", id="slow polls"),
        pytest.param(("extensions", "queues", "visibilityTimeout"), "00:00:00", "visibilityTimeout", id="no pause"),
        pytest.param(("extensions", "queues", "messageEncoding"), "none", "messageEncoding", id="another encoding"),
        pytest.param(("extensions", "queues", "maxDequeueCount"), 1, "maxDequeueCount", id="one attempt"),
        pytest.param(("extensions", "queues", "batchSize"), 500, "batchSize", id="too much at once"),
        pytest.param(("functionTimeout",), "00:05:00", "functionTimeout", id="too little time"),
        pytest.param(("extensions", "http"), {"routePrefix": "x"}, "routePrefix", id="another prefix"),
        pytest.param(
            ("logging", "applicationInsights", "samplingSettings", "excludedTypes"), "Request", "sampling", id="sampled"
        ),
        pytest.param(("extensionBundle",), None, "extensionBundle", id="no bundle"),
    ],
)
def test_a_host_json_that_is_otherwise_is_told(path: tuple[str, ...], value: object, checked: str) -> None:
    host = json.loads(json.dumps(HOST))
    place = host
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert bad_of(host) == [checked]


def test_a_host_json_that_is_not_there_is_told() -> None:
    assert bad_of(None) == ["host.json"]


def _hashed(patient: Patient, key: str) -> None:
    """Somebody was erased, and the setting holds this key since."""
    patient.desk.settings["ERASURE_KEY"] = ERASURE_KEY
    patient.desk.told("erase", "--address", "dora@fabrikam.example", "--yes")
    patient.desk.settings["ERASURE_KEY"] = key


def _put(desk: Desk, name: str) -> None:
    with desk.queue(name) as client:
        client.create_queue()
        client.send_message("eA==")
