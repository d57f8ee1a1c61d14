"""The guard agrees for copies of one mail and disagrees for different mails under one Message-ID."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.body import description_of
from mapping.guard import bare_subject, beginning_of, guard_of_row

ANN = "ann@example.com"


@pytest.mark.parametrize(
    ("written", "bare"),
    [
        pytest.param("Offer 12", "offer 12", id="nothing before it"),
        pytest.param("Re: Offer 12", "offer 12", id="English reply"),
        pytest.param("RE: AW: Fwd: Offer 12", "offer 12", id="several, in several languages"),
        pytest.param("Re[3]: Offer 12", "offer 12", id="a counted reply"),
        pytest.param("[sales-list] Re: [EXT] Offer 12", "offer 12", id="list tags before and between"),
        pytest.param("\u56de\u590d\uff1aOffer 12", "offer 12", id="Chinese reply with a wide colon"),
        pytest.param("Regarding: Offer 12", "regarding: offer 12", id="a word that only begins like a prefix"),
        pytest.param("Offer [12]", "offer [12]", id="a bracket that is not in front"),
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
    ],
)
def test_the_text_begins_alike_whatever_markup_is_around_it(one: str, other: str) -> None:
    assert beginning_of(one) == beginning_of(other)


@pytest.mark.parametrize(
    ("sender", "subject", "description"),
    [
        pytest.param("bob@example.com", "Offer", "<p>Dear Ann</p>", id="another sender"),
        pytest.param(ANN, "Order", "<p>Dear Ann</p>", id="another subject"),
        pytest.param(ANN, "Offer", "<p>Dear Bob</p>", id="another text"),
        pytest.param(ANN, "Offer", "", id="no text, in doubt another mail"),
    ],
)
def test_a_mail_that_differs_is_another_mail(sender: str, subject: str, description: str) -> None:
    here = guard_of_row(sender=ANN, subject="Offer", description="<p>Dear Ann</p>")
    assert guard_of_row(sender=sender, subject=subject, description=description) != here


def test_a_reply_prefix_a_list_tag_and_the_case_of_an_address_make_no_other_mail() -> None:
    here = guard_of_row(sender="ANN@Example.com", subject="[list] Re: Offer", description="<p>Dear Ann</p>")
    assert here == guard_of_row(sender=ANN, subject="Offer", description="<p>dear ann</p>")


@given(st.text(max_size=300))
def test_the_guard_of_a_written_description_is_that_of_the_mail(body: str) -> None:
    """What we wrote to Dataverse compares equal when it is read back."""
    html = description_of(body).html
    assert guard_of_row(sender=ANN, subject="x", description=html) == guard_of_row(
        sender=ANN, subject="x", description=html.replace("\n", "\r\n")
    )
