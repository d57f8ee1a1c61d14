"""Which mails are one: those of one Message-ID that also have the same sender, subject and beginning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.journeys.office import Office


def test_each_mail_of_a_scanner_that_reuses_one_message_id_stands_once_however_many_mailboxes_hold_it(
    office: Office,
) -> None:
    """Only the first keeps the Message-ID, for Dataverse and others take it for unique; a record says why."""
    scanner, to = office.stranger("Scanner Hall"), (office.ida.owner, office.marcus.owner)
    reused = f"<scan@{scanner.address}>"
    scans = [office.mail(scanner, to, message_id=reused) for _ in range(3)]
    first = [office.outcome(office.lay(mail)) for mail in scans]
    assert [record["kind"] for record in first] == ["written"] * 3
    assert [record["reason"] == "message_id_reused" for record in first] == [False, True, True]
    second = [office.outcome(office.lay(mail, office.marcus)) for mail in reversed(scans)]
    assert [record["kind"] for record in second] == ["already_there"] * 3
    stand = [record["activityid"] for record in first]
    assert [record["activityid"] for record in reversed(second)] == stand
    emails = [office.email(activityid) for activityid in stand]
    assert [(email["subject"], email["messageid"], email["statecode"]) for email in emails] == [
        (mail.subject, reused if mail is scans[0] else None, 1) for mail in scans
    ]


@pytest.mark.parametrize("tag", ["[crane-users] {}", "Re: {}", "[crane-users] Re: {}", "AW: [ext] {}"])
@pytest.mark.parametrize("order", ["plain first", "tagged first"])
def test_a_list_copy_with_a_tag_in_its_subject_is_the_same_mail(office: Office, tag: str, order: str) -> None:
    """Whatever the list put before the subject and below the text; the first that came stands as it came."""
    noor, to = office.contact(), (office.ida.owner, office.marcus.owner)
    plain = office.mail(noor, to, body=f"<p>{'The crane is booked. ' * 5}</p>")
    tagged = replace(
        plain, subject=tag.format(plain.subject), body=f"{plain.body}<p>--<br>crane-users mailing list</p>"
    )
    one, other = (plain, tagged) if order == "plain first" else (tagged, plain)
    first = office.outcome(office.lay(one))
    second = office.outcome(office.lay(other, office.marcus))
    assert [(record["kind"], record["activityid"]) for record in (first, second)] == [
        ("written", first["activityid"]),
        ("already_there", first["activityid"]),
    ]
    assert [row["subject"] for row in office.world.dataverse.rows("email", messageid=plain.message_id)] == [one.subject]
