from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import msgspec
import pytest

from mapping.attachments import (
    LONGEST_CONTENT_ID,
    LONGEST_NAME,
    MOST_TOLD,
    File,
    Files,
    Limits,
    Why,
    Withheld,
    clean_name,
    files_of,
    seal_of,
)
from mapping.body import LONGEST_DESCRIPTION, body_of
from mapping.message import Attachment
from mapping.notes import ENCRYPTED, MISSING_FILES, SEALED, note
from mapping.text import units_of

EMAIL = UUID("fcdb5af4-0a88-5633-ac29-140ef1a88335")
NO_LIMITS = Limits()


def attachment(**fields: Any) -> Attachment:
    """A file as the JSON of Nylas would tell of it."""
    return msgspec.convert({"id": "f1", "size": 100, **fields}, Attachment)


def files(*attached: Attachment | None, called: tuple[str, ...] = (), limits: Limits = NO_LIMITS) -> Files:
    return files_of(attached, called, limits)


def only(*attached: Attachment, called: tuple[str, ...] = ()) -> File:
    (file,) = files(*attached, called=called).carried
    return file


# names


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("offer.pdf", "offer.pdf", id="ordinary"),
        pytest.param("Angebot für Ünal 日本.pdf", "Angebot für Ünal 日本.pdf", id="other scripts stay"),
        pytest.param("  a \r\n\tb.pdf ", "a b.pdf", id="on one line"),
        pytest.param("a\x00\x07b.pdf", "ab.pdf", id="no control characters"),
        pytest.param("a \u200b b.pdf", "a b.pdf", id="no invisible ones"),
        pytest.param("invoice\u202efdp.exe", "invoicefdp.exe", id="nothing that turns the direction of writing"),
        pytest.param("../../etc/passwd", "passwd", id="no path"),
        pytest.param("C:\\Users\\ann\\offer.pdf", "offer.pdf", id="no path of Windows"),
        pytest.param('a<b>:"c|d?e*.pdf', "a_b___c_d_e_.pdf", id="no reserved characters"),
        pytest.param("offer.exe. . ", "offer.exe", id="no end that Windows leaves off"),
        pytest.param("u\u0308.pdf", "\u00fc.pdf", id="composed"),
        pytest.param("=?utf-8?b?w7xiZXI=?=.pdf", "über.pdf", id="encoded words"),
        pytest.param("=?iso-8859-1?q?f=FCr_Ann?= =?iso-8859-1?q?.pdf?=", "für Ann.pdf", id="several of them"),
        pytest.param("=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3F=3D?=", "=_utf-8_q_a_=", id="encoded once"),
        pytest.param("=?utf-8?b?%%%?=", "", id="encoded words that say nothing"),
        pytest.param("=?nonsense?q?a?=", "=_nonsense_q_a_=", id="a charset there isn't"),
        pytest.param("=?\ud800?q?a?=", "=_\ufffd_q_a_=", id="a charset that is no text"),
        pytest.param("=?utf-8?q?..=2F..=2Fa?=", "a", id="a path inside"),
        pytest.param("a\ud800.pdf", "a\ufffd.pdf", id="half a character"),
        pytest.param("..", "", id="only dots"),
        pytest.param("a/", "", id="only a path"),
        pytest.param(".htaccess", ".htaccess", id="a name that begins with a dot"),
        pytest.param("", "", id="none"),
        pytest.param("x" * 300, "x" * 255, id="cut"),
        pytest.param("x" * 300 + ".docx", "x" * 250 + ".docx", id="cut before its end"),
        pytest.param("😀" * 200 + ".pdf", "😀" * 125 + ".pdf", id="cut at a whole character"),
        pytest.param("x" * 250 + "." + "y" * 30, "x" * 250 + "." + "y" * 4, id="an end too long to keep"),
        pytest.param("x" * 254 + " " + "y" * 30, "x" * 254, id="cut at a blank"),
        pytest.param("x" * 254 + "." + "y" * 30, "x" * 254, id="cut at a dot"),
    ],
)
def test_a_name_is_clean_and_stays_so(written: str, expected: str) -> None:
    assert clean_name(written) == expected
    assert clean_name(expected) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"filename": "a.pdf", "content_type": "text/plain; name=b.txt"}, "a.pdf", id="its own"),
        pytest.param({"content_type": 'application/pdf; x=1; NAME="my offer.pdf"'}, "my offer.pdf", id="that of its type"),
        pytest.param({"content_type": "application/pdf; name=offer.pdf; x=1"}, "offer.pdf", id="the same without quotes"),
        pytest.param({"content_type": "application/pdf"}, "attachment.pdf", id="one made of its type"),
        pytest.param({"content_type": "message/rfc822"}, "attached message.eml", id="a mail inside the mail"),
        pytest.param({"content_type": "text/calendar; method=REQUEST"}, "invite.ics", id="an invitation"),
        pytest.param({"content_type": "message/delivery-status"}, "delivery report", id="a report"),
        pytest.param({"content_type": "nonsense"}, "attachment", id="a type that is none"),
        pytest.param({}, "attachment", id="nothing is known of it"),
        pytest.param({"filename": ".pdf", "content_type": "application/pdf"}, "attachment.pdf", id="only an end"),
        pytest.param({"filename": "." + "x" * 300}, "attachment." + "x" * 244, id="a long one that begins with a dot"),
    ],
)  # fmt: skip
def test_every_file_has_a_name(fields: dict[str, str], expected: str) -> None:
    assert only(attachment(**fields)).name == expected
    assert units_of(expected) <= LONGEST_NAME


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"content_type": "Application/PDF; name=x"}, "application/pdf", id="without parameters and case"),
        pytest.param({"content_type": "", "filename": "a.png"}, "image/png", id="told by the name where there is none"),
        pytest.param(
            {"content_type": "application/octet-stream", "filename": "a.pdf"}, "application/pdf", id="or where it says nothing"
        ),
        pytest.param({"content_type": "pdf", "filename": "a"}, "application/octet-stream", id="else of no kind"),
        pytest.param({"content_type": "x" * 128 + "/y"}, "application/octet-stream", id="one too long to be any"),
        pytest.param({"content_type": "text/html\u200b", "filename": "a.html"}, "text/html", id="one oddly spelt"),
        pytest.param({"content_type": "a/b/c", "filename": "a.png"}, "image/png", id="one of three parts"),
    ],
)  # fmt: skip
def test_every_file_has_a_type(fields: dict[str, str], expected: str) -> None:
    assert only(attachment(**fields)).type == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [pytest.param(7, 7, id="told"), pytest.param(None, None, id="untold"), pytest.param(-1, None, id="nonsense")],
)
def test_its_size_is_what_the_mailbox_estimates(size: int | None, expected: int | None) -> None:
    assert only(attachment(size=size)).size == expected


def test_what_has_no_id_can_not_be_fetched() -> None:
    assert files(None, attachment(id=None), attachment(id="")) == Files()


# identity


def test_a_file_has_one_id_in_an_email_whichever_mailbox_brings_it() -> None:
    one = only(attachment(id="a", filename="Offer.pdf", size=1))
    other = only(attachment(id="b", filename="offer.PDF", size=2))
    assert one.id_in(EMAIL) == other.id_in(EMAIL) == UUID("8165a85c-6ac8-5569-97b5-4713103a89b7")
    assert one.id_in(UUID(int=1)) != one.id_in(EMAIL)


def test_files_of_one_name_are_several() -> None:
    found = files(*(attachment(filename=name) for name in ("a.pdf", "A.pdf", "b.pdf", "a.pdf", "x/a.pdf")))
    assert [file.number for file in found.carried] == [0, 1, 0, 2, 3]
    assert len({file.id_in(EMAIL) for file in found.carried}) == 5


def test_long_names_that_are_cut_alike_are_several() -> None:
    found = files(attachment(filename="x" * 300 + "a"), attachment(filename="x" * 300 + "b"))
    assert len({file.id_in(EMAIL) for file in found.carried}) == 2


# what an organisation lets pass

STRICT = Limits(largest=400, extensions=frozenset({"exe", "js"}), blocked_types=frozenset({"text/html"}))
LISTED = Limits(blocked_types=frozenset({"image/png"}), allowed_types=frozenset({"image/png", "application/pdf"}))


@pytest.mark.parametrize(
    ("fields", "limits", "expected"),
    [
        pytest.param({"filename": "a.pdf"}, STRICT, None, id="an ordinary file"),
        pytest.param({"filename": "a.EXE"}, STRICT, Why.BLOCKED_NAME, id="a blocked extension in any case"),
        pytest.param({"filename": "a.pdf.exe"}, STRICT, Why.BLOCKED_NAME, id="the last extension"),
        pytest.param({"filename": "a.exe.pdf"}, STRICT, None, id="no other one"),
        pytest.param({"filename": "exe"}, STRICT, None, id="a name is no extension"),
        pytest.param({"filename": "a.exe. "}, STRICT, Why.BLOCKED_NAME, id="hidden behind a dot"),
        pytest.param({"filename": "a.e\u200bxe"}, STRICT, Why.BLOCKED_NAME, id="hidden by what nobody sees"),
        pytest.param({"filename": "=?utf-8?q?a.exe?="}, STRICT, Why.BLOCKED_NAME, id="hidden by encoding"),
        pytest.param({"content_type": "x/y; name=a.exe"}, STRICT, Why.BLOCKED_NAME, id="the name in the type"),
        pytest.param({"filename": "a.html"}, STRICT, Why.BLOCKED_TYPE, id="a blocked type, told by the name"),
        pytest.param({"content_type": "Text/HTML; charset=x"}, STRICT, Why.BLOCKED_TYPE, id="a blocked type"),
        pytest.param(
            {"content_type": "text/html\u200b", "filename": "a.html"},
            STRICT,
            Why.BLOCKED_TYPE,
            id="hidden by what nobody sees in it",
        ),
        pytest.param({"content_type": "text/plain"}, LISTED, Why.BLOCKED_TYPE, id="a type that is not allowed"),
        pytest.param({"filename": "a.pdf"}, LISTED, None, id="an allowed type"),
        pytest.param({"filename": "a.png"}, LISTED, None, id="where types are allowed, blocked ones don't count"),
        pytest.param({"size": 600}, STRICT, None, id="an estimate of twice the limit may be a file that fits"),
        pytest.param({"size": 601}, STRICT, Why.TOO_LARGE, id="a larger one is none"),
        pytest.param({"size": None}, STRICT, None, id="nobody knows how large"),
        pytest.param({"filename": "a.exe", "size": 10**9}, STRICT, Why.BLOCKED_NAME, id="blocked before too large"),
    ],
)
def test_what_would_be_refused_is_withheld(fields: dict[str, Any], limits: Limits, expected: Why | None) -> None:
    found = files(attachment(**fields), limits=limits)
    assert [one.why for one in found.withheld] == ([expected] if expected else [])
    assert len(found.carried) == (expected is None)


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        pytest.param(5_242_880, 3_932_160, id="the default"),
        pytest.param(131_072_000, 98_304_000, id="the largest there is"),
        pytest.param(3, 0, id="less than one group"),
    ],
)
def test_base64_is_counted(largest: int, expected: int) -> None:
    assert Limits(largest=largest).most_bytes == expected


def test_where_files_are_not_tracked_none_goes_along() -> None:
    found = files_of([attachment(filename="a.pdf"), attachment(content_id="x")], ("x",), NO_LIMITS, carry=False)
    assert found.carried == ()
    assert [one.why for one in found.withheld] == [Why.POLICY, Why.POLICY]


# pictures


@pytest.mark.parametrize(
    ("fields", "body", "content_id"),
    [
        pytest.param({"content_id": "<ii_1@x>", "is_inline": True}, "cid:ii_1@x", "ii_1@x", id="by its content id"),
        pytest.param({"content_id": "ii_1@x", "is_inline": False}, "cid:II_1@X", "ii_1@x", id="whatever its disposition"),
        pytest.param({"content_id": "a%b@x"}, "cid:a%25b@x", "a%b@x", id="encoded in the body"),
        pytest.param({"filename": "logo.png"}, "cid:logo.png", "7e5bcbd2e78f5f5f99266d8a725a7b77@picture", id="by its name"),
        pytest.param({"filename": "my:pic.png"}, "cid:my:pic.png", None, id="by its name before it was cleaned"),
        pytest.param({"filename": "my:pic.png"}, "cid:my_pic.png", None, id="by its name after"),
        pytest.param({"content_id": "a b@x"}, "cid:a%20b@x", None, id="by an id that no column of ours can hold"),
        pytest.param({"content_id": "x" * 300}, "cid:" + "x" * 300, None, id="by one that is too long"),
        pytest.param({"content_id": "é@x"}, "cid:é@x", None, id="by one beyond ASCII"),
        pytest.param({"content_id": "other@x", "filename": "a.png"}, "cid:a.png", None, id="by its name, though it has an id"),
    ],
)  # fmt: skip
def test_a_picture_is_carried_under_an_id_and_shown_by_it(
    fields: dict[str, Any], body: str, content_id: str | None
) -> None:
    mail = body_of(f'<p>a</p><img src="{body}">')
    found = files(attachment(**fields), called=mail.pictures)
    (file,) = found.carried
    assert file.content_id is not None
    assert mail.described(found.pictures, ()).html == f'<p>a</p><img src="cid:{file.content_id}">'
    assert len(file.content_id) <= LONGEST_CONTENT_ID
    if content_id is not None:
        assert file.content_id == content_id


def test_a_file_that_no_body_calls_is_no_picture() -> None:
    """Exchange gives every file a content id, and calls pictures inline that nobody shows."""
    assert only(attachment(content_id="x@y", is_inline=True, content_disposition="inline")).content_id is None


def test_of_several_with_one_id_the_first_is_meant() -> None:
    """Threads repeat the pictures of their signatures under the same content id."""
    found = files(attachment(id="a", content_id="logo"), attachment(id="b", content_id="<LOGO>"), called=("logo",))
    assert [(file.source, file.content_id) for file in found.carried] == [("a", "logo"), ("b", None)]


def test_of_several_with_one_name_each_is_called_once() -> None:
    mail = body_of('<img src="cid:one"><img src="cid:logo.png">')
    found = files(
        attachment(id="a", filename="logo.png", content_id="one"),
        attachment(id="b", filename="logo.png", content_id="two"),
        called=mail.pictures,
    )
    first, second = (file.content_id for file in found.carried)
    assert first == "one"
    assert mail.described(found.pictures, ()).html == f'<img src="cid:one"><img src="cid:{second}">'


def test_a_picture_called_in_two_ways_is_carried_once() -> None:
    mail = body_of('<img src="cid:one"><img src="cid:logo.png">')
    found = files(attachment(filename="logo.png", content_id="one"), called=mail.pictures)
    assert mail.described(found.pictures, ()).html == '<img src="cid:one"><img src="cid:one">'


def test_a_picture_that_is_withheld_is_not_called() -> None:
    found = files(attachment(filename="a.png", content_id="x"), called=("x",), limits=Limits(largest=4))
    assert found.pictures == {}
    assert found.withheld[0].file.content_id == "x"


def test_very_many_pictures_take_no_longer_than_a_moment() -> None:
    called = tuple(f"c{number}" for number in range(40_000))
    before = time.process_time()
    found = files(*(attachment(id=str(n), filename=f"n{n}", content_id=f"<c{n}>") for n in range(5_000)), called=called)
    assert time.process_time() - before < 2
    assert all(file.content_id for file in found.carried)


# what is told of those withheld


def withheld(name: str, size: int | None, why: Why) -> Withheld:
    return Withheld(File(source="x", name=name, type="x/y", size=size), why)


@pytest.mark.parametrize(
    ("size", "told"),
    [
        pytest.param(None, "", id="unknown"),
        pytest.param(0, "", id="nothing"),
        pytest.param(1, ", 1 kB", id="a byte"),
        pytest.param(1_499, ", 1 kB", id="rounded"),
        pytest.param(999_999, ", 1000 kB", id="nearly a megabyte"),
        pytest.param(1_000_000, ", 1.0 MB", id="a megabyte"),
        pytest.param(9_940_000, ", 9.9 MB", id="some"),
        pytest.param(31_400_000, ", 31 MB", id="many"),
    ],
)
def test_a_withheld_file_is_told_with_its_size_and_the_reason(size: int | None, told: str) -> None:
    found = Files(withheld=(withheld("contract.pdf", size, Why.TOO_LARGE),))
    assert found.notes == (f"{MISSING_FILES} contract.pdf{told} (larger than this organisation allows).",)


@pytest.mark.parametrize("why", [pytest.param(why, id=why.name.lower()) for why in Why])
def test_every_reason_reads_as_words(why: Why) -> None:
    assert Files(withheld=(withheld("a.pdf", None, why),)).notes == (f"{MISSING_FILES} a.pdf ({why}).",)
    assert str(why)[0] == str(why)[0].lower() or why is Why.REFUSED


def test_several_are_told_in_one_note_and_of_very_many_their_number() -> None:
    two = Files(withheld=(withheld("a", None, Why.EMPTY), withheld("b", None, Why.EMPTY)))
    assert two.notes == (f"{MISSING_FILES} a (empty); b (empty).",)
    many = Files(withheld=tuple(withheld(f"f{n}", None, Why.EMPTY) for n in range(MOST_TOLD + 2)))
    (told,) = many.notes
    assert told.endswith(f"f{MOST_TOLD - 1} (empty); and 2 more.")
    assert Files().notes == ()


def test_a_long_name_is_told_shortly() -> None:
    (told,) = Files(withheld=(withheld("x" * 200 + ".pdf", None, Why.EMPTY),)).notes
    assert told == f"{MISSING_FILES} {'x' * 119}… (empty)."


@pytest.mark.parametrize("name", ["&" * 255, "😀" * 127, "x" * 255])
def test_what_is_told_of_very_many_files_leaves_the_text_its_room(name: str) -> None:
    most = Files(withheld=tuple(withheld(name, 999_999, Why.TOO_LARGE) for _ in range(1_000)))
    assert sum(units_of(note(text)) for text in (*most.notes, ENCRYPTED, SEALED)) < LONGEST_DESCRIPTION / 30


def test_files_without_some_are_the_others_and_those_withheld() -> None:
    found = files(
        attachment(filename="a.pdf"), attachment(filename="b.pdf"), attachment(filename="c.exe"), limits=STRICT
    )
    first, second = found.carried
    without = found.without({first: Why.NOT_THERE})
    assert without.carried == (second,)
    assert [(one.file.name, one.why) for one in without.withheld] == [
        ("c.exe", Why.BLOCKED_NAME),
        ("a.pdf", Why.NOT_THERE),
    ]


# mail that is locked away in a file


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        pytest.param("application/pkcs7-mime; name=smime.p7m", ENCRYPTED, id="S/MIME"),
        pytest.param(
            "Application/X-PKCS7-Mime; smime-type=enveloped-data", ENCRYPTED, id="S/MIME as it was once called"
        ),
        pytest.param('application/pkcs7-mime;\r\n smime-type="signed-data"', SEALED, id="signed as a whole"),
        pytest.param("application/pgp-encrypted", ENCRYPTED, id="PGP"),
        pytest.param("application/pkcs7-signature", None, id="a signature beside the text"),
        pytest.param("application/pgp-signature", None, id="PGP's beside the text"),
        pytest.param("application/pdf", None, id="any other file"),
        pytest.param(None, None, id="no type"),
    ],
)
def test_a_sealed_mail_says_so(content_type: str | None, expected: str | None) -> None:
    assert seal_of([None, attachment(content_type="text/plain"), attachment(content_type=content_type)]) == expected


def test_no_files_no_seal() -> None:
    assert seal_of(None) is None
    assert files_of(None, (), NO_LIMITS) == Files()
