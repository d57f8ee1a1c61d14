"""Files and pictures: where they stand in Dataverse, and what is told of those that do not."""

from __future__ import annotations

import base64
import re

import pytest

from sandbox.faults import Answer, Fault
from sandbox.mail import File
from sandbox.nylas import download_of
from tests.journeys.office import Office, Row, cost_of

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 20
PDF = b"%PDF-1.4 " + b"contract " * 200


def files_of(office: Office, email: Row) -> dict[str, Row]:
    """The files of an email by name."""
    rows = office.world.dataverse.rows("activitymimeattachment", _objectid_value=email["activityid"])
    return {str(row["filename"]): row for row in rows}


def test_files_stand_beside_their_email_and_cost_no_write_more(office: Office) -> None:
    files = tuple(File(f"Contract {number}.pdf", "application/pdf", PDF) for number in range(3))
    mail = office.mail(office.contact(), office.marcus.owner, files=files)
    with cost_of(office.world) as spent:
        email = office.receive(mail, office.marcus)
    found = files_of(office, email)
    assert sorted(found) == ["Contract 0.pdf", "Contract 1.pdf", "Contract 2.pdf"]
    assert {base64.b64decode(str(row["body"])) for row in found.values()} == {PDF}
    assert (email["statecode"], email["attachmentcount"], email["notifications"]) == (1, 3, 0)
    assert spent[0].dataverse == 2


@pytest.mark.parametrize(
    "written",
    [
        pytest.param('<img src="cid:logo.1@here" width="10">', id="by its Content-ID"),
        pytest.param("<img src=cid:logo.1@here>", id="without quotes"),
        pytest.param('<img src="LOGO.png">', id="by its file name"),
    ],
)
def test_a_picture_without_disposition_shows_where_it_was(office: Office, written: str) -> None:
    picture = File("logo.png", "image/png", PNG, content_id="logo.1@here", disposition=None)
    mail = office.mail(office.contact(), office.marcus.owner, body=f"<p>See {written} there</p>", files=(picture,))
    email = office.receive(mail, office.marcus)
    (row,) = files_of(office, email).values()
    called = re.search(r'<img[^>]* src="cid:([^"]+)"', str(email["description"]))
    assert called is not None
    assert row["attachmentcontentid"] == called[1]
    assert base64.b64decode(str(row["body"])) == PNG


def test_a_picture_that_is_not_there_leaves_a_note_in_its_place(office: Office) -> None:
    body = '<p>See <img src="cid:gone@here" alt="Our office"> there</p>'
    email = office.receive(office.mail(office.contact(), office.marcus.owner, body=body), office.marcus)
    assert "[Picture that is not here: Our office]" in str(email["description"])
    assert "<img" not in str(email["description"])


def test_a_picture_that_only_watches_the_reader_goes(office: Office) -> None:
    body = '<p>Hi</p><img src="https://watch.example/a.gif" width="1" height="1"><img src="https://shop.example/b.png">'
    email = office.receive(office.mail(office.contact(), office.marcus.owner, body=body), office.marcus)
    assert "watch.example" not in str(email["description"])
    assert "shop.example/b.png" in str(email["description"])


@pytest.mark.parametrize(
    ("file", "told"),
    [
        pytest.param(
            File("setup.exe", "application/x-msdownload", b"MZ" * 900), "blocks files of this kind", id="blocked"
        ),
        pytest.param(File("plan.pdf", "application/pdf", b"x" * 4_100_000), "larger than", id="too large"),
        pytest.param(File("empty.txt", "text/plain", b""), "empty", id="empty"),
    ],
)
def test_a_file_that_is_withheld_is_named_with_its_reason(office: Office, file: File, told: str) -> None:
    office.world.dataverse.update("organization", office.world.dataverse.organization_id, blockedattachments="exe;bat")
    kept = File("terms.pdf", "application/pdf", PDF)
    email = office.receive(office.mail(office.contact(), office.marcus.owner, files=(file, kept)), office.marcus)
    assert list(files_of(office, email)) == ["terms.pdf"]
    assert re.search(
        rf"\[Files of this email that are not here: {file.filename}[^\]]*{told}", str(email["description"])
    )
    assert (email["statecode"], email["notifications"]) == (1, 1)


def test_a_file_that_is_gone_from_the_mailbox_does_not_stop_its_mail(office: Office) -> None:
    files = (File("gone.pdf", "application/pdf", PDF), File("here.pdf", "application/pdf", PDF + b"!"))
    mail = office.mail(office.contact(), office.marcus.owner, files=files)
    copy = office.lay(mail, office.marcus, notify=False)
    (shown,) = (one for one in office.world.nylas.messages(copy.grant) if one["id"] == copy.id)
    gone = next(one["id"] for one in shown["attachments"] if one["filename"] == "gone.pdf")
    office.world.faults["nylas"].add(Fault(Answer(404), path=download_of(gone)))
    office.tell_by_hand(copy)
    record = office.outcome(copy)
    email = office.email(record["activityid"])
    assert (record["kind"], list(files_of(office, email))) == ("written", ["here.pdf"])
    assert "gone.pdf" in str(email["description"])
    assert "no longer in the mailbox" in str(email["description"])
