from __future__ import annotations

import time

import pytest

from mapping.headers import Kind, Report, kind_of
from mapping.message import Attachment, Header

ORDINARY = Kind()
PRIVATE, CONFIDENTIAL = Kind(is_private=True), Kind(is_confidential=True)
BULK, AUTOMATIC, INVITE = Kind(is_bulk=True), Kind(is_automatic=True), Kind(is_invite=True)
BOUNCE, RECEIPT = Kind(report=Report.BOUNCE), Kind(report=Report.RECEIPT)
DSN = "multipart/report; report-type=delivery-status; boundary=x"


def kind(*lines: tuple[str | None, str | None] | None, parts: tuple[str | None, ...] = (), subject: str = "") -> Kind:
    headers = [Header(*line) if line else None for line in lines]
    return kind_of(headers, [None, *(Attachment(id="1", content_type=part) for part in parts)], subject)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        # privacy
        pytest.param("Sensitivity", "Private", PRIVATE, id="private"),
        pytest.param("SENSITIVITY", " personal\r\n", PRIVATE, id="personal"),
        pytest.param("Sensitivity", "Company-Confidential", CONFIDENTIAL, id="confidential"),
        pytest.param("Sensitivity", "confidential (really)", CONFIDENTIAL, id="confidential, with a comment"),
        pytest.param("Sensitivity", "Normal", ORDINARY, id="normal"),
        pytest.param("Sensitivity", "Not private", ORDINARY, id="another word first"),
        pytest.param("X-Sensitivity", "Private", ORDINARY, id="another header"),
        # bulk
        pytest.param("Precedence", "bulk", BULK, id="bulk"),
        pytest.param("precedence", "LIST", BULK, id="a list"),
        pytest.param("Precedence", "junk", BULK, id="junk"),
        pytest.param("Precedence", "first-class", ORDINARY, id="ordinary precedence"),
        pytest.param("List-Unsubscribe", "<https://x.example/u>", BULK, id="somewhere to unsubscribe"),
        pytest.param("List-Id", "<sales.x.example>", BULK, id="a mailing list"),
        pytest.param("LIST-POST", "<mailto:sales@x.example>", BULK, id="a mailing list, in capitals"),
        pytest.param("Feedback-ID", "1:2:3", BULK, id="a campaign"),
        pytest.param("Listing-Id", "1", ORDINARY, id="a name that begins alike"),
        pytest.param("List-Id", "", ORDINARY, id="an empty header says nothing"),
        # automatic answers
        pytest.param("Auto-Submitted", "auto-replied", AUTOMATIC, id="an automatic answer"),
        pytest.param("Auto-Submitted", "auto-generated; owner-email=x", AUTOMATIC, id="sent by a machine"),
        pytest.param("Auto-Submitted", "no", ORDINARY, id="by hand"),
        pytest.param("Auto-Submitted", "NO (really)", ORDINARY, id="by hand, with a comment"),
        pytest.param("X-Auto-Response-Suppress", "All", AUTOMATIC, id="who wants no automatic answer"),
        pytest.param("X-Autoreply", "yes", AUTOMATIC, id="an answer of an older program"),
        pytest.param("X-Autorespond", "away", AUTOMATIC, id="of another"),
        pytest.param("Precedence", "auto_reply", AUTOMATIC, id="of a third"),
        # reports
        pytest.param("Content-Type", DSN, BOUNCE, id="a delivery report"),
        pytest.param("Content-Type", 'Multipart/Report;\r\n REPORT-TYPE="delivery-status"', BOUNCE, id="folded, in capitals"),
        pytest.param(
            "Content-Type", "multipart/report; report-type=disposition-notification", RECEIPT, id="a read receipt"
        ),
        pytest.param("Content-Type", "multipart/report; report-type=feedback-report", ORDINARY, id="another report"),
        pytest.param("Content-Type", "multipart/mixed; x=delivery-status", ORDINARY, id="the word elsewhere"),
        pytest.param("Return-Path", "<>", BOUNCE, id="nobody to return it to"),
        pytest.param("return-path", " <> ", BOUNCE, id="the same with blanks"),
        pytest.param("Return-Path", "<ann@x.example>", ORDINARY, id="somebody"),
        # invitations
        pytest.param("Content-Class", "urn:content-classes:calendarmessage", INVITE, id="an invitation of Exchange"),
        pytest.param("Content-Class", "urn:content-classes:message", ORDINARY, id="a message of Exchange"),
        pytest.param("Content-Type", "text/calendar; method=REQUEST; charset=utf-8", INVITE, id="an invitation alone"),
        pytest.param("Content-Type", 'text/calendar; METHOD = "REPLY"', INVITE, id="an answer to one"),
        pytest.param("Content-Type", "text/calendar; charset=utf-8", ORDINARY, id="a calendar"),
        pytest.param("Content-Type", "text/calendar; x-method=y", ORDINARY, id="another parameter"),
        # nothing
        pytest.param("Subject", "Auto-Submitted: auto-replied", ORDINARY, id="a header inside another"),
        pytest.param(None, "bulk", ORDINARY, id="no name"),
        pytest.param("Precedence", None, ORDINARY, id="no value"),
        pytest.param("Precedence", " ", ORDINARY, id="only a blank"),
    ],
)  # fmt: skip
def test_what_one_header_tells(name: str | None, value: str | None, expected: Kind) -> None:
    assert kind(None, ("From", "ann@x.example"), (name, value)) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([("Precedence", "bulk"), ("List-Id", "x"), ("Sensitivity", "private")],
                     Kind(is_private=True, is_bulk=True), id="several kinds at once"),
        pytest.param([("Content-Type", DSN), ("Auto-Submitted", "auto-replied"), ("Return-Path", "<>")],
                     BOUNCE, id="a report is no automatic answer"),
        pytest.param([("Return-Path", "<>"), ("Auto-Submitted", "auto-replied")],
                     AUTOMATIC, id="an automatic answer has nobody to return it to either"),
        pytest.param([("Return-Path", "<>"), ("X-Auto-Response-Suppress", "DR, OOF")],
                     AUTOMATIC, id="nor has that of Exchange"),
        pytest.param([("Return-Path", "<ann@x.example>"), ("Return-Path", "<>")], BOUNCE, id="any of several"),
        pytest.param([("Sensitivity", "Normal"), ("Sensitivity", "Private")], ORDINARY, id="else the first of several"),
    ],
)  # fmt: skip
def test_what_several_headers_tell(lines: list[tuple[str, str]], expected: Kind) -> None:
    assert kind(*lines) == expected


@pytest.mark.parametrize(
    ("part", "subject", "expected"),
    [
        pytest.param("message/disposition-notification", "", RECEIPT, id="a read receipt"),
        pytest.param("Message/Delivery-Status; name=x", "Undeliverable: Offer", BOUNCE, id="a bounce"),
        pytest.param("message/delivery-status", "Delivery Status Notification (Failure)", BOUNCE, id="one of Google"),
        pytest.param("message/delivery-status", "Delivered: Offer", RECEIPT, id="delivered"),
        pytest.param("message/delivery-status", "Relayed: Offer", RECEIPT, id="relayed"),
        pytest.param("message/delivery-status", "Zugestellt: Angebot", RECEIPT, id="delivered, in German"),
        pytest.param("message/delivery-status", "Remis : Offre", RECEIPT, id="delivered, in French"),
        pytest.param("message/delivery-status", "Successful Mail Delivery Report", RECEIPT, id="delivered, by Postfix"),
        pytest.param("message/delivery-status", "Delivered", RECEIPT, id="delivered, nothing behind it"),
        pytest.param("message/delivery-status", "Undelivered Mail Returned to Sender", BOUNCE, id="not delivered, by Postfix"),
        pytest.param("message/delivery-status", "Read the news", BOUNCE, id="a word that only begins alike"),
        pytest.param("text/calendar; method=REQUEST; name=invite.ics", "", INVITE, id="an invitation"),
        pytest.param("text/calendar; name=holidays.ics", "", ORDINARY, id="a calendar file is a file"),
        pytest.param("message/rfc822", "Read: Offer", ORDINARY, id="a mail inside the mail"),
        pytest.param(None, "", ORDINARY, id="no type"),
    ],
)  # fmt: skip
def test_what_the_parts_tell_with_and_without_a_header(part: str | None, subject: str, expected: Kind) -> None:
    assert kind(parts=(part,), subject=subject) == expected
    assert kind_of(None, [None, Attachment(content_type=part)], subject) == expected


@pytest.mark.parametrize("word", [
    "Gelesen", "Übermittelt", "Lu", "Entregado", "Leído", "Consegnato", "Letto", "Bezorgd", "Gelezen", "Levererat", "Läst",
    "Leveret", "Læst", "Levert", "Lest", "Entregue", "Lida", "Read",
])  # fmt: skip
def test_a_receipt_is_one_in_many_languages(word: str) -> None:
    assert kind(("Content-Type", DSN), subject=f"{word}: x") == RECEIPT


def test_where_nothing_tells_a_mail_is_of_no_kind() -> None:
    assert kind_of(None, (), "") == kind_of((), (), "Out of office") == ORDINARY


def test_no_header_takes_long() -> None:
    before = time.process_time()
    for value in (
        " " * 500_000,
        "; method" * 60_000,
        "text/calendar" + "; method = " * 60_000,
        "(" * 500_000,
        "<" * 500_000,
    ):
        kind(*((name, value) for name in ("Sensitivity", "Precedence", "Content-Type", "Return-Path")), subject=value)
    assert time.process_time() - before < 3
