"""The guard agrees for copies of one mail and disagrees for different mails under one Message-ID."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.attachments import Why
from mapping.body import body_of
from mapping.guard import (
    another_identity,
    as_another_mail,
    bare_subject,
    beginning_of,
    guard_of_row,
    is_same_mail,
)
from mapping.notes import CUT, ENCRYPTED, MISSING_FILES, MISSING_PICTURE, SEALED, SNIPPET, in_place, note
from mapping.policy import CONTENT_LEVELS
from tests.mapping.mail import ANN, CARL, email, message, policy

DEAR = "<p>Dear Ann</p>"


@pytest.mark.parametrize(
    ("written", "bare"),
    [
        pytest.param("Offer 12", "offer 12", id="case does not count"),
        pytest.param("RE: AW: Fwd: Offer 12", "offer 12", id="nor do prefixes"),
        pytest.param("[sales-list] Re: [EXT] Offer 12", "offer 12", id="nor list tags"),
        pytest.param("x" * 500, "x" * 400, id="nor what Dataverse may have cut"),
        pytest.param(None, "", id="no subject"),
    ],
)
def test_the_subject_is_compared_without_what_replies_and_lists_put_before_it(written: str | None, bare: str) -> None:
    assert bare_subject(written) == bare


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("<p>Dear Ann,</p><p>thanks</p>", "<div>Dear Ann, <b>thanks</b></div>", id="other markup"),
        pytest.param("<style>p{}</style><p>Dear Ann</p>", "<p>Dear&nbsp;Ann</p>", id="styles and hard spaces"),
        pytest.param("<!-- x --><p>a &lt; b</p>", "<p>a &lt; b</p>", id="comments"),
        pytest.param('<p>a<img src="cid:x">b</p>', f"<p>a{in_place(f'{MISSING_PICTURE} x')}b</p>", id="pictures"),
        pytest.param("<p>a</p>", f"<p>a</p>{note(CUT)}", id="that it was cut"),
        pytest.param("<p>a</p>", f"<p>a</p>{note(SNIPPET)}", id="that only its beginning is there"),
        pytest.param("", note(ENCRYPTED), id="that it is encrypted"),
        pytest.param("", note(SEALED), id="that it is signed as a whole"),
        pytest.param("<p>a</p>", f"<p>a</p>{note(f'{MISSING_FILES} a [1] &.pdf.')}", id="what is missing"),
    ],
)
def test_the_text_begins_alike_whatever_markup_is_around_it_and_whatever_we_noted_in_it(one: str, other: str) -> None:
    assert beginning_of(one) == beginning_of(other)


@pytest.mark.parametrize(
    ("sender", "subject", "description"),
    [
        pytest.param("bob@example.com", "Offer", DEAR, id="another sender"),
        pytest.param(ANN, "Order", DEAR, id="another subject"),
        pytest.param(ANN, "Offer", "<p>Dear Bob</p>", id="another text"),
        pytest.param(ANN, "Offer", "", id="no text, in doubt another mail"),
        pytest.param(ANN, "Offer", f"<p>[Dear Ann]</p>{DEAR}", id="brackets that are not ours"),
    ],
)
def test_a_mail_that_differs_is_another_mail(sender: str, subject: str, description: str) -> None:
    here = guard_of_row(sender=ANN, subject="Offer", description=DEAR)
    assert guard_of_row(sender=sender, subject=subject, description=description) != here


def test_a_reply_prefix_a_list_tag_and_the_case_of_an_address_make_no_other_mail() -> None:
    here = guard_of_row(sender="ANN@Contoso.com", subject="[list] Re: Offer", description=DEAR)
    assert here == guard_of_row(sender=ANN, subject="Offer", description="<p>dear ann</p>")


@given(st.text(max_size=300))
def test_the_guard_of_a_written_description_is_that_of_the_mail(body: str) -> None:
    """What we wrote to Dataverse compares equal when it is read back."""
    html = body_of(body).described({}, ()).html
    assert guard_of_row(sender=ANN, subject="x", description=html) == guard_of_row(
        sender=ANN, subject="x", description=html.replace("\n", "\r\n")
    )


MAIL = message(
    from_=CARL,
    to=[ANN],
    subject="Offer",
    body='<img src="cid:logo"><p>Dear Ann</p>',
    attachments=[
        {"id": "a", "filename": "offer.pdf", "content_type": "application/pdf", "size": 100},
        {"id": "b", "filename": "logo.png", "content_type": "image/png", "content_id": "logo", "size": 100},
    ],
)
AT_EACH_LEVEL = {level: email(MAIL, policy=policy(f"content = '{level}'")) for level in CONTENT_LEVELS}


def test_the_guard_of_a_mail_does_not_depend_on_how_much_of_it_is_kept() -> None:
    assert len({one.guard for one in AT_EACH_LEVEL.values()}) == 1


@pytest.mark.parametrize("level", CONTENT_LEVELS)
def test_an_email_is_recognised_by_as_much_of_it_as_the_policy_keeps(level: str) -> None:
    mail = AT_EACH_LEVEL[level]
    row = mail.row()
    kept = guard_of_row(sender=CARL, subject=str(row["subject"]), description=str(row["description"]))
    assert is_same_mail(mail, kept)
    whole = guard_of_row(sender=CARL, subject="Offer", description=DEAR)
    assert is_same_mail(mail, whole), "and by the whole of it, as another tracker keeps it"
    assert not is_same_mail(mail, guard_of_row(sender=CARL, subject="Offer", description="<p>Dear Bob</p>"))


def test_files_that_are_missing_make_no_other_mail() -> None:
    mail = AT_EACH_LEVEL["full"]
    without = mail.without(dict.fromkeys(mail.files.carried, Why.NOT_THERE))
    assert without.description.html != mail.description.html
    assert is_same_mail(mail, guard_of_row(sender=CARL, subject="Offer", description=without.description.html))


def test_another_mail_under_a_message_id_has_an_id_of_its_own_and_leaves_the_column_empty() -> None:
    mail = email(message(from_=CARL, headers={"Message-ID": "<a@b>"}))
    other = as_another_mail(mail)
    assert other == replace(mail, activityid=another_identity(mail.activityid, mail.guard), messageid=None)
    assert other.activityid != mail.activityid


def test_the_id_of_another_mail_never_changes() -> None:
    identity = UUID("fcdb5af4-0a88-5633-ac29-140ef1a88335")
    assert str(another_identity(identity, "0123456789ab")) == "b94e67cb-2a98-52af-bdce-55c07cacb194"
