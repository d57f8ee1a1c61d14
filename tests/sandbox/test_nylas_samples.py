"""The sample mail is of real variety, and every copy of it can be delivered and read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default

import pytest

from sandbox.mail import SAMPLES_AT, Mail, characters, sample, samples
from sandbox.mailboxes import PROVIDERS
from sandbox.nylas import NylasStandIn

EVERY = samples()


@pytest.fixture
def nylas() -> Iterator[NylasStandIn]:
    with NylasStandIn("key", clock=lambda: SAMPLES_AT) as nylas:
        for one in characters().values():
            if one.mailbox:
                nylas.connect(one.email, one.mailbox, name=one.name, aliases=one.aliases)
        yield nylas


def test_samples_are_told_from_a_moment_oldest_first() -> None:
    dates = [mail.date or 0 for mail in samples()]
    assert dates == sorted(dates)
    assert dates[-1] < SAMPLES_AT
    assert [mail.date for mail in samples(SAMPLES_AT + 5)] == [date + 5 for date in dates]
    assert sample("lunch").subject == "Lunch on Thursday?"


def test_every_copy_lies_in_a_connected_mailbox(nylas: NylasStandIn) -> None:
    delivered = [nylas.deliver(copy.mailbox, mail, copy.folder) for mail in samples() for copy in mail.copies]
    assert len(delivered) == len(set(delivered)) == 28
    shown = [one for mailbox in ("ida", "marcus") for one in nylas.messages(characters()[mailbox].email)]
    assert {one["id"] for one in shown} == set(delivered)
    assert all(one["subject"] and one["from"] and one["date"] <= SAMPLES_AT for one in shown)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        (
            "an answer or a forward",
            {"enquiry answered", "enquiry thanked", "inverters confirmed", "delivery forwarded", "houseboat draft"},
        ),
        ("sent by us", {"enquiry answered", "offer", "inverters ordered", "delivery forwarded", "lunch"}),
        ("in two mailboxes", {"offer", "site visit", "survey invitation", "lunch"}),
        ("without Message-ID", {"meter reading"}),
        ("plain text", {"grid question", "meter reading"}),
        ("Japanese", {"inverters confirmed", "delivery forwarded"}),
        ("invitation", {"survey invitation"}),
        ("newsletter", {"newsletter"}),
        ("draft", {"houseboat draft"}),
        ("junk", {"prize"}),
        ("among ourselves", {"lunch"}),
        ("picture in the body", {"cannery drawing"}),
        ("from somebody unknown", {"houseboat", "newsletter", "prize"}),
    ],
)
def test_the_samples_have_variety(kind: str, keys: set[str]) -> None:
    assert keys <= {mail.key for mail in samples() if kind in _kinds(mail)}


@pytest.mark.parametrize(
    ("key", "header"),
    [
        ("leaving the bakery", ("Sensitivity", "Private")),
        ("newsletter 89", ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")),
        ("out of office", ("Auto-Submitted", "auto-replied")),
    ],
)
def test_what_a_header_tells_of_a_further_sample(key: str, header: tuple[str, str]) -> None:
    assert header in sample(key).headers


def test_further_samples_have_files_and_pictures_of_awkward_kinds(nylas: NylasStandIn) -> None:
    told = {}
    for mail in map(sample, ("cannery survey", "acceptance test")):
        for copy in mail.copies:
            nylas.deliver(copy.mailbox, mail, copy.folder)
    for mailbox in ("ida", "marcus"):
        for shown in nylas.messages(characters()[mailbox].email):
            told[mailbox, shown["subject"]] = [
                (one["filename"], one["content_id"], one["is_inline"], one.get("content_disposition"))
                for one in shown["attachments"]
            ]
    survey, test = "Cannery: the surveyor's report", "Acceptance test of the K-12 inverters / 受入試験"
    pdf = 'attachment; filename="Cannery survey.pdf"'
    assert told["ida", survey] == [
        ("Cannery survey.pdf", "", False, pdf),
        ("bay c.png", "<bay-c.110@lindarkitekter>", True, None),
    ]
    assert told["marcus", survey] == [
        ("Cannery survey.pdf", "", False, None),
        ("bay c.png", "bay-c.110@lindarkitekter", True, None),
    ]
    assert told["ida", test] == told["marcus", test] == [(None, "", False, None)]


@pytest.mark.parametrize("mail", EVERY, ids=lambda mail: mail.key)
def test_a_sample_is_a_whole_mail(mail: Mail) -> None:
    parsed = message_from_bytes(mail.mime(mail.date or 0), policy=default)
    assert parsed["Subject"] == mail.subject
    assert mail.sender is not None
    assert parsed["From"].addresses[0].addr_spec == mail.sender.email
    assert parsed["From"].addresses[0].display_name == mail.sender.name
    assert [one.addr_spec for one in parsed["To"].addresses] == [person.email for person in mail.to]
    assert parsed["Bcc"] is None
    body = parsed.get_body(("plain", "html"))
    assert body is not None
    assert body.get_content().split() == (mail.body or "").split()
    assert [part.get_filename() for part in parsed.iter_attachments()] == [file.filename for file in mail.files]


def test_nobody_in_the_samples_exists(nylas: NylasStandIn) -> None:
    assert all(one.email.lower().endswith(".example") for one in characters().values())
    assert all(one.mailbox in (None, *PROVIDERS) for one in characters().values())
    text = " ".join((mail.body or "") + (mail.message_id or "") for mail in EVERY)
    assert {host.rpartition(".")[2] for host in re.findall(r"https?://([\w.-]+)", text)} == {"example"}


def test_message_ids_are_unique_and_answers_name_known_mail() -> None:
    ids = [mail.message_id for mail in EVERY if mail.message_id]
    assert len(ids) == len(set(ids))
    assert {mail.in_reply_to for mail in EVERY if mail.in_reply_to} <= set(ids)


def _kinds(mail: Mail) -> set[str]:
    ours = {one.email for one in characters().values() if one.company == "Fjordlight Solar"}
    known = {one.email for one in characters().values() if one.record}
    sender = mail.sender.email if mail.sender else None
    everybody = {sender, *(person.email for person in (*mail.to, *mail.cc, *mail.bcc))}
    folders = {copy.folder for copy in mail.copies}
    facts = {
        "an answer or a forward": mail.in_reply_to is not None,
        "sent by us": "sent" in folders and sender in ours,
        "in two mailboxes": len(mail.copies) == 2,
        "without Message-ID": mail.message_id is None,
        "plain text": mail.plain,
        "Japanese": bool(re.search(r"[\u3040-\u30ff]", mail.subject or "")),
        "invitation": any(file.content_type.startswith("text/calendar") for file in mail.files),
        "newsletter": any(name == "List-Unsubscribe" for name, _ in mail.headers),
        "draft": folders == {"drafts"},
        "junk": folders == {"junk"},
        "among ourselves": everybody <= ours,
        "picture in the body": any(
            file.inline and f"cid:{(file.content_id or '').strip('<>')}" in (mail.body or "") for file in mail.files
        ),
        "from somebody unknown": sender not in known,
    }
    return {kind for kind, is_so in facts.items() if is_so}
