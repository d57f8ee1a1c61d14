"""The role that `dataverse setup` makes suffices for everything the app does, is no larger, and what it lacks is named.

A story in steps, each a way of the app of its own. With the privileges of that role every step goes as it does without
limits; without one of them the step that needs it names it, in an error, a log line or the journal.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailsync.dataverse.privileges import TABLES, documented, needed
from mailsync.wiring import Wiring
from sandbox.dataverse.security import DEPTHS
from sandbox.entra import EntraStandIn
from sandbox.faults import Answer, Fault
from sandbox.mail import File, Person
from sandbox.servers import Certificate
from tests.mailsync.admin.conftest import CLIENT, opened
from tests.mailsync.admin.desk import Desk
from tests.mailsync.parts import ERASURE_KEY

POLICY = """
[regarding]
rules = ["reply", "token", "project", "opportunity", "case", "contact", "account", "lead"]

[[regarding.tables]]
name = "project"
table = "new_project"
contact = "new_contact"
"""
PROJECT = {
    "new_project": {
        "set": "new_projects",
        "name": "new_name",
        "privilege": "new_Project",
        "columns": {"new_name": {"type": "text", "max": 100}},
        "lookups": {"new_contact": {"bind": {"new_Contact": "contact"}}},
        "regarding": "regardingobjectid_New_Project_email",
    },
    "new_vessel": {
        "set": "new_vessels",
        "name": "new_name",
        "privilege": "new_Vessel",
        "columns": {"new_name": {"type": "text", "max": 100}},
        "lookups": {},
        "regarding": "regardingobjectid_new_vessel_email",
    },
}
"""Only the first is a table of the policy's."""
COLUMN = {"email": {"contoso_nylasid": {"type": "text", "max": 300}}}
OPTIONAL_ROWS = ("quote", "salesorder", "invoice", "knowledgearticle", "opportunity", "incident", "lead")
Step = Callable[["Story"], str]


class Story:
    """One organisation, and mail of every kind."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.ann = desk.connect("ann")
        self.support = desk.connect("support")
        dataverse = desk.dataverse
        dataverse.add("systemuser", fullname="Ann", internalemailaddress=desk.address(self.ann))
        team = dataverse.add("team", name="First line")
        dataverse.add("queue", name="Support", emailaddress=desk.address(self.support), ownerid=("team", team))

    def fresh(self) -> None:
        """A process that remembers nothing."""
        self.desk.app = Wiring(self.desk.settings)
        self.desk.app.clock = self.desk.clock
        self.desk.app.hurry = 1e6

    def person(self, table: str = "contact") -> Person:
        """Somebody new, with a row of this table."""
        address = f"{uuid.uuid4().hex[:10]}@fabrikam.example"
        name = {"name": "Firm"} if table == "account" else {"lastname": "Lee"}
        self.last = self.desk.dataverse.add(table, emailaddress1=address, **name)
        return Person("Lee", address)

    def arrive(self, grant: str | None = None, **fields: Any) -> str:
        """A mail comes; what the journal and the table aside say of it."""
        grant = grant or self.ann
        mail = self.desk.mail(grant, **{"sender": self.person(), **fields})
        message = self.desk.arrive(grant, mail)
        entry = self.desk.app._journal.get(grant, message)
        assert entry is not None
        self.mail, self.entry = mail, entry
        return f"{entry.kind} {entry.reason} {entry.detail} {entry.notes}"


def contacts_mail(story: Story) -> str:
    return story.arrive()


def accounts_mail(story: Story) -> str:
    return story.arrive(sender=story.person("account"))


def leads_mail(story: Story) -> str:
    return story.arrive(sender=story.person("lead"))


def a_file(story: Story) -> str:
    return story.arrive(files=(File("a.pdf", "application/pdf", b"%PDF " + uuid.uuid4().bytes * 40),))


def a_large_file(story: Story) -> str:
    limit = {"maxuploadfilesize": 20_000_000}
    story.desk.dataverse.update("organization", story.desk.dataverse.organization_id, **limit)
    return story.arrive(files=(File("b.bin", "application/octet-stream", uuid.uuid4().bytes * 300_000),))


def queues_mail(story: Story) -> str:
    told = story.arrive(story.support)
    if story.entry.kind == "written":
        assert story.desk.dataverse.count("queueitem", _objectid_value=story.entry.activityid) or "queue item" in told
    return told


def custom_tables_mail(story: Story) -> str:
    person = story.person()
    project = story.desk.dataverse.add("new_project", new_name="Bridge", new_contact=("contact", story.last))
    told = story.arrive(sender=person)
    if story.desk.dataverse.privileges is None:
        (row,) = story.desk.dataverse.rows("email", activityid=story.entry.activityid)
        assert row["_regardingobjectid_value"] == project
    return told


def opportunitys_mail(story: Story) -> str:
    person = story.person()
    story.desk.dataverse.add("opportunity", name="Roof", parentcontactid=("contact", story.last))
    return story.arrive(sender=person)


def cases_mail(story: Story) -> str:
    person = story.person()
    story.desk.dataverse.add(
        "incident", title="Broken", ticketnumber="CAS-01213-P8B3G0", customerid=("contact", story.last)
    )
    return story.arrive(sender=person, subject="About CAS-01213-P8B3G0")


def answers_about(table: str) -> Step:
    """Mail that answers a mail which somebody filed with a record of this table."""

    def step(story: Story) -> str:
        person, dataverse = story.person(), story.desk.dataverse
        message_id = f"<{uuid.uuid4().hex}@mail.example>"
        about = (table, dataverse.add(table))
        contact = ("contact", story.last)
        party = {"participationtypemask": 2, "partyid_contact@odata.bind": f"/contacts({contact[1]})"}
        dataverse.add(
            "email", messageid=message_id, regardingobjectid=about, statecode=1, email_activity_parties=[party]
        )
        return story.arrive(sender=person, in_reply_to=message_id, references=message_id)

    return step


def a_reply_before_its_parent(story: Story) -> str:
    parent = f"<{uuid.uuid4().hex}@mail.example>"
    person = story.person()
    first = story.arrive(sender=person, in_reply_to=parent, references=parent)
    return first + story.arrive(sender=person, message_id=parent)


def a_mail_of_another_tracker(story: Story) -> str:
    message_id = f"<{uuid.uuid4().hex}@mail.example>"
    story.desk.dataverse.add("email", messageid=message_id, statecode=1)
    return story.arrive(message_id=message_id)


def a_mail_that_cannot_be_completed(story: Story) -> str:
    """Changesets are refused, then the completion: the open email is taken back."""
    refused = b'{"error": {"code": "0x80040203", "message": "Invalid Argument"}}'
    faults = story.desk.faults["dataverse"]
    story.desk.dataverse.behaviour.refuse_changesets = True
    faults.add(Fault(Answer(400, body=refused), method="PATCH", path="/emails"))
    try:
        told = story.arrive()
    finally:
        faults.clear()
        story.desk.dataverse.behaviour.refuse_changesets = False
    return told


def an_erasure(story: Story) -> str:
    person = story.person()
    story.arrive(sender=person)
    return story.desk.run("erase", "--address", person.email, "--dataverse", "delete", "--yes", "--json").output


def the_operators_questions(story: Story) -> str:
    story.arrive()
    told = story.desk.run("verify").output + story.desk.run("explain", story.ann, story.entry.message).output
    return told + story.desk.run("mailboxes").output


def the_doctors_round(story: Story) -> str:
    return story.desk.run("doctor", "--all", "--json").output


STEPS: tuple[Step, ...] = (
    contacts_mail,
    accounts_mail,
    leads_mail,
    a_file,
    a_large_file,
    queues_mail,
    custom_tables_mail,
    opportunitys_mail,
    cases_mail,
    *(answers_about(table) for table in OPTIONAL_ROWS),
    a_reply_before_its_parent,
    a_mail_of_another_tracker,
    a_mail_that_cannot_be_completed,
    an_erasure,
    the_operators_questions,
    the_doctors_round,
)


@pytest.fixture(scope="module")
def story(
    certificate: Certificate,
    bundle: Path,
    storages: Iterator[str],
    entra: tuple[EntraStandIn, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Story]:
    policy = tmp_path_factory.mktemp("policy") / "tracking.toml"
    policy.write_text(POLICY, encoding="utf-8")
    more = {
        "TRACKING_POLICY": str(policy),
        "DATAVERSE_NYLAS_ID_COLUMN": "contoso_nylasid",
        "ERASURE_KEY": ERASURE_KEY,
    }
    with opened(certificate, bundle, storages, entra, more, tables=PROJECT, custom=COLUMN) as desk:
        yield Story(desk)


@pytest.fixture(scope="module")
def granted(story: Story) -> frozenset[str]:
    """What the role has that the command makes."""
    assert story.desk.run("dataverse", "setup", "--yes").exit_code == 0
    (user,) = story.desk.dataverse.rows("systemuser", applicationid=CLIENT)
    held = story.desk.dataverse.privileges_of(str(user["systemuserid"]))
    assert set(held.values()) == {DEPTHS[-1]}
    return frozenset(held)


@pytest.fixture(scope="module")
def used(story: Story, granted: frozenset[str]) -> dict[str, Step]:
    """Each privilege that a step used, with the first step that did; all of it with the role's privileges alone."""
    dataverse = story.desk.dataverse
    dataverse.privileges = granted
    found: dict[str, Step] = {}
    for step in STEPS:
        story.fresh()
        dataverse.used_privileges.clear()
        told = step(story)
        assert "is missing" not in told
        assert "lack" not in told, told
        if step is not a_mail_that_cannot_be_completed:
            assert story.entry.kind in {"written", "adopted"}, told
        for name in dataverse.used_privileges:
            found.setdefault(name, step)
    return found


def test_the_role_suffices_and_nothing_in_it_is_idle(
    story: Story, granted: frozenset[str], used: dict[str, Step]
) -> None:
    """The doctor also asks for mailboxes, and does without."""
    assert set(used) - granted == {"prvReadMailbox"}
    assert granted - set(used) == set()


def test_an_answer_to_mail_about_a_table_beyond_the_role_lands_without_that(
    story: Story, granted: frozenset[str]
) -> None:
    """A person may file mail with any table; no mail waits for a privilege nobody promised."""
    dataverse = story.desk.dataverse
    dataverse.privileges = granted
    story.fresh()
    answers, told = answers_about("new_vessel"), []
    for _ in range(2):
        told.append(answers(story))
        (row,) = dataverse.rows("email", activityid=story.entry.activityid)
        assert (row["_regardingobjectid_value"], row["statecode"]) == (None, 1)
        assert row["_parentactivityid_value"]
    assert "regarding left out: new_vessel" in told[0]
    assert "the role lacks prvAppendTonew_Vessel" in told[0]
    assert "was refused before" in told[1]


def test_each_single_privilege_that_is_missing_is_named(
    story: Story, granted: frozenset[str], used: dict[str, Step], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mailsync")
    unnamed = []
    for name in sorted(granted):
        story.fresh()
        caplog.clear()
        story.desk.dataverse.privileges = granted - {name}
        try:
            told = used[name](story)
        except AssertionError as error:
            told = str(error)
        story.desk.dataverse.privileges = granted
        if name not in told + caplog.text:
            unnamed.append(name)
        for queue in ("nylas-messages", "mailbox-sweeps"):
            story.desk.take(queue)
    assert unnamed == []


def test_every_privilege_of_the_constant_is_one_that_is_needed() -> None:
    names = {need.name for need in needed(documented())}
    assert {name for table in TABLES for name in table.names} <= names
