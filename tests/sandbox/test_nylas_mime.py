"""A mail read off the wire is shown as Nylas shows it, whatever it looks like, and its bytes stay what they were."""

from __future__ import annotations

import base64
import importlib.util
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.mail import Mail, Person
from sandbox.mailboxes import PROVIDERS, Mailbox
from sandbox.mime import DEEPEST, mail_of
from sandbox.mime_words import decoded, parameters, people, words
from sandbox.nylas import NylasStandIn
from tests.sandbox.nylas_client import NOON, Client

EXAMPLES = settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


def python_mails() -> list[Path]:
    """The mails Python's own email package is tested with; none where the interpreter comes without its tests."""
    if importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_email") is None:
        return []
    spec = importlib.util.find_spec("test.test_email")
    assert spec is not None
    assert spec.origin is not None
    return sorted((Path(spec.origin).parent / "data").glob("msg_*.txt"))


CORPUS = python_mails()
WHOLE = [path for path in CORPUS if not message_from_bytes(path.read_bytes()).defects]


def wire(*lines: str) -> bytes:
    return "\r\n".join(lines).encode()


def parts(kind: str, *those: bytes, boundary: str = "edge") -> bytes:
    """A whole mail, or a part, of parts."""
    opened = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), part) for part in those)
    return b'Content-Type: %s; boundary="%s"\r\n\r\n%s--%s--\r\n' % (
        kind.encode(),
        boundary.encode(),
        opened,
        boundary.encode(),
    )


def part(kind: str, content: str = "x", **headers: str) -> bytes:
    more = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return wire(f"Content-Type: {kind}", *more, "", content)


def shown_everywhere(mail: Mail) -> Iterator[dict[str, Any]]:
    """The mail in a mailbox of each provider, through JSON and back."""
    for provider in PROVIDERS:
        box = Mailbox("g", provider, "ida@x.example", "Ida", (), NOON, NOON)
        box.prepare("en", attributes=True)
        stored = box.put(mail, "inbox", now=NOON)
        shown = box.show(stored, fields="include_headers")
        read = msgspec.json.decode(msgspec.json.encode(shown))
        assert read == shown
        yield read


# anything


@pytest.mark.skipif(not CORPUS, reason="this Python comes without its own tests")
@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_no_mail_of_pythons_own_tests_is_refused(path: Path) -> None:
    mime = path.read_bytes()
    mail = mail_of(mime)
    assert mail.mime(NOON) == mime
    for shown in shown_everywhere(mail):
        assert [one["filename"] for one in shown["attachments"]] == [file.filename for file in mail.files]


@EXAMPLES
@given(st.binary(max_size=400))
def test_any_bytes_are_a_mail(mime: bytes) -> None:
    mail = mail_of(mime)
    assert mail.mime(NOON) == mime
    assert len(list(shown_everywhere(mail))) == len(PROVIDERS)


PIECES = (
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b" ", b"\t", b"--", b"--a", b"--a--", b"--b\r\n", b"--b--\r\n", b"\x00", b"\xff"),
    *(b"Content-Type: ", b"multipart/mixed; boundary=a", b"multipart/alternative; boundary=\"b\"", b"text/html", b"text/plain; charset="),
    *(b"utf-8", b"utf-7", b"utf-16", b"idna", b"unicode_escape", b"undefined", b"hex", b"x-nobody", b"iso-8859-1", b"a\x00b", b"'", b'"'),
    *(b"message/rfc822", b"application/ms-tnef; name*0*=utf-8''%ff; name*1=x", b"; filename*99999999999999999999=x", b"; name=\"\\"),
    *(b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: quoted-printable", b"=", b"====", b"A", b"=ZZ", b"=C3=A9"),
    *(b"Content-Disposition: ", b"inline", b"attachment; filename=", b"Content-ID: <a@b>", b"From: ", b"To: ", b"Subject: ", b"Date: "),
    *(b"=?utf-8?b?w6k=?=", b"=?utf-8?q?=C3?=", b"=?idna?q?x?=", b"=?x?b?AAA?=", b"=?utf-7?q?+2AA-?=", b"a@b", b"<a@b>", b"<", b">", b"(", b"((", b")"),
    *(b"a: b; ", b"Ann, Ben <ben@x>,", b"\\", b"\xc3\xa9", b"\xe9", b"From nobody\n", b": nameless\r\n", b"no colon\r\n", b"Message-ID: <1@x>\r\n x\r\n"),
)  # fmt: skip


@EXAMPLES
@given(st.integers(0, 2**64 - 1))
def test_what_means_something_in_a_mail_may_stand_anywhere(seed: int) -> None:
    random = Random(seed)
    mime = b"".join(random.choices(PIECES, k=random.choice((5, 30, 120))))
    mail = mail_of(mime)
    assert mail.mime(NOON) == mime
    assert len(list(shown_everywhere(mail))) == len(PROVIDERS)


@pytest.mark.skipif(not CORPUS, reason="this Python comes without its own tests")
@EXAMPLES
@given(st.integers(0, 2**64 - 1))
def test_a_mail_that_was_damaged_on_its_way_is_read(seed: int) -> None:
    random = Random(seed)
    mime = bytearray(random.choice(CORPUS).read_bytes())
    for _ in range(random.choice((1, 5, 40))):
        place = random.randrange(len(mime) + 1)
        mime[place : place + random.choice((0, 1, 1, 30))] = random.choice((b"", *PIECES))
    mail = mail_of(bytes(mime))
    assert mail.mime(NOON) == bytes(mime)
    assert len(list(shown_everywhere(mail))) == len(PROVIDERS)


def many_parts(depth: int) -> bytes:
    opened = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (at, at) for at in range(depth))
    return opened + b"Content-Type: text/html\r\n\r\n<p>inside</p>"


@pytest.mark.parametrize(
    "mime",
    [
        pytest.param(many_parts(20_000), id="parts within parts"),
        pytest.param(b"X: " + b"(" * 200_000 + b"\r\nTo: " + b"(" * 200_000, id="comments within comments"),
        pytest.param(b"X: a\r\n" + b" folded\r\n" * 200_000, id="a header of many lines"),
        pytest.param(b"Subject: " + b"=?" * 200_000, id="words that never end"),
        pytest.param(b"To: " + b"a <a@x.example>, " * 20_000, id="many people"),
        pytest.param(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 20_000, id="many parts"),
        pytest.param(b"Content-Type: x/y" + b";a" * 100_000 + b'="', id="many parameters"),
    ],
)
def test_the_worst_is_read_within_seconds(mime: bytes) -> None:
    begun = time.monotonic()
    assert mail_of(mime).mime(NOON) == mime
    assert time.monotonic() - begun < 10


def test_parts_are_looked_into_to_a_depth() -> None:
    assert mail_of(many_parts(DEEPEST)).body == "<p>inside</p>"
    deeper = mail_of(many_parts(DEEPEST + 1))
    assert deeper.plain
    assert (deeper.body or "").startswith(f"--b{DEEPEST}\r\n")


# the same as Python reads it


@EXAMPLES
@given(st.integers(0, 2**64 - 1))
def test_what_python_writes_is_read_as_it_was_meant(seed: int) -> None:
    random = Random(seed)
    letters = "abc ,;\"'()<>@é日😀=?_"

    def text(size: int) -> str:
        return " ".join("".join(random.choices(letters, k=random.randrange(1, size))).split()) or "x"

    written = EmailMessage(policy=random.choice((policy.SMTP, policy.default)))
    subject, name = text(90), text(40)
    written["Subject"] = subject
    written["From"] = f'"{name.translate({34: None, 92: None})}" <ann@x.example>'
    written["To"] = "ben@x.example, Cleo <cleo@x.example>"
    plain, html = text(400), f"<p>{text(400)}</p>"
    written.set_content(plain, cte=random.choice(("base64", "quoted-printable", "8bit")))
    if random.random() < 0.7:
        written.add_alternative(html, subtype="html", cte=random.choice(("base64", "quoted-printable", "8bit")))
    files = [(f"{text(30)}.bin", random.randbytes(random.choice((0, 1, 56, 57, 58, 3000)))) for _ in range(3)]
    for filename, content in files:
        written.add_attachment(content, maintype="application", subtype="x", filename=filename)
    mail = mail_of(written.as_bytes())
    assert mail.subject == message_from_bytes(written.as_bytes(), policy=policy.default)["Subject"]
    assert mail.to == (Person(None, "ben@x.example"), Person("Cleo", "cleo@x.example"))
    assert mail.sender is not None
    assert mail.sender.email == "ann@x.example"
    assert (mail.body or "").strip() == (plain if mail.plain else html)
    assert [(file.filename, file.content) for file in mail.files] == files


@pytest.mark.skipif(not CORPUS, reason="this Python comes without its own tests")
@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_the_parts_are_those_that_python_finds(path: Path) -> None:
    parsed = message_from_bytes(path.read_bytes())
    found = [one for one in _leaves(parsed) if one.get_content_maintype() not in ("message", "multipart")]
    mail = mail_of(path.read_bytes())
    texts = [] if mail.body == "" else [mail.body]
    contents = [
        file.content for file in mail.files if not file.content_type.lower().startswith(("message", "multipart"))
    ]
    assert len(found) - (len(texts) + len(contents)) in (0, 1)  # an alternative to the text is none of the files
    for one in found:
        content = one.get_payload(decode=True)
        assert content in contents or mail.body == decoded(content, one.get_content_charset()) or not content


def _leaves(message: Any) -> Iterator[Any]:
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for one in message.get_payload():
            yield from _leaves(one)
    else:
        yield message


# the text

HTML, PLAIN = part("text/html", "<p>hi</p>"), part("text/plain", "hi")
NOTE = part("text/plain", "note", Content_Disposition="attachment; filename=note.txt")


@pytest.mark.parametrize(
    ("mime", "body", "files"),
    [
        pytest.param(PLAIN, "hi", [], id="plain only"),
        pytest.param(HTML, "<p>hi</p>", [], id="HTML only"),
        pytest.param(parts("multipart/alternative", PLAIN, HTML), "<p>hi</p>", [], id="both: HTML"),
        pytest.param(parts("multipart/alternative", HTML, PLAIN), "<p>hi</p>", [], id="both, the other way round"),
        pytest.param(b"Subject: x\r\n\r\nhi", "hi", [], id="no type"),
        pytest.param(b"", "", [], id="nothing at all"),
        pytest.param(b"Subject: x\r\n\r\n", "", [], id="an empty text"),
        pytest.param(part("nonsense", "hi"), "hi", [], id="a type that is none"),
        pytest.param(parts("multipart/mixed", NOTE, PLAIN), "hi", ["note.txt"], id="a text file first"),
        pytest.param(parts("multipart/mixed", NOTE), "", ["note.txt"], id="a text file alone"),
        pytest.param(parts("multipart/mixed", PLAIN, part("text/plain", "list footer")), "hi", [None], id="a footer"),
        pytest.param(part("application/pdf", "%PDF", Content_Disposition="attachment"), "", [None], id="a file alone"),
        pytest.param(
            parts("multipart/mixed", part("text/html", "<p>x</p>", Content_Disposition="attachment"), PLAIN),
            "hi",
            [None],
            id="an attached page without a name",
        ),
        pytest.param(
            parts("multipart/related", parts("multipart/alternative", PLAIN, HTML, boundary="in"), part("image/png")),
            "<p>hi</p>",
            [None],
            id="alternatives beside a picture",
        ),
        pytest.param(
            parts("multipart/alternative", PLAIN, parts("multipart/related", HTML, part("image/png"), boundary="in")),
            "<p>hi</p>",
            [None],
            id="a picture beside one of the alternatives",
        ),
        pytest.param(
            parts("multipart/alternative", PLAIN, part("text/x-amp-html", "<html amp4email>"), HTML),
            "<p>hi</p>",
            [],
            id="AMP is one more alternative",
        ),
        pytest.param(b"Content-Type: multipart/mixed\r\n\r\nhi", "hi", [], id="no boundary"),
        pytest.param(b"Content-Type: multipart/mixed; boundary=a\r\n\r\nhi", "hi", [], id="a boundary that never comes"),
        pytest.param(
            b"Content-Type: multipart/mixed; boundary=a\n\npreamble\n--a\n\nhi\n--a \n\nmore\n--a--\nepilogue",
            "hi",
            [None],
            id="bare line feeds, blanks after a boundary",
        ),
        pytest.param(
            parts("multipart/mixed", parts("multipart/mixed", PLAIN, boundary="edge2")[:-13], NOTE),
            "hi",
            ["note.txt"],
            id="an inner part that does not end",
        ),
    ],
)  # fmt: skip
def test_the_text_is_html_if_there_is_any(mime: bytes, body: str, files: list[str | None]) -> None:
    mail = mail_of(mime)
    assert mail.body == body
    assert mail.plain == (not body.startswith("<")) or not body
    assert [file.filename for file in mail.files] == files


@pytest.mark.parametrize(
    ("charset", "content", "text"),
    [
        pytest.param("utf-8", "Grüße".encode(), "Grüße", id="UTF-8"),
        pytest.param("ISO-8859-1", b"Gr\xfc\xdfe", "Grüße", id="Latin 1"),
        pytest.param("utf-8", b"Gr\xfc\xdfe", "Gr\ufffd\ufffde", id="a lie: replaced"),
        pytest.param("us-ascii", "Grüße".encode(), "Grüße", id="a lie that UTF-8 reads"),
        pytest.param("x-nobody-knows", "Grüße".encode(), "Grüße", id="unknown, and UTF-8"),
        pytest.param("x-nobody-knows", b"Gr\xfc\xdfe", "Gr\ufffd\ufffde", id="unknown: replaced"),
        pytest.param("utf-8*fr", "Grüße".encode(), "Grüße", id="with a language"),
        pytest.param('"', "Grüße".encode(), "Grüße", id="a quote"),
        pytest.param("gb2312", "镕".encode("gb18030"), "镕", id="more than GB 2312 holds"),
        pytest.param("iso-2022-jp", "ご挨拶".encode("iso-2022-jp"), "ご挨拶", id="ISO-2022-JP"),
        pytest.param("utf-7", b"+2AA-", "\ufffd", id="half a surrogate pair"),
        pytest.param("unicode_escape", b"\\u0041", "\\u0041", id="Python's own"),
        pytest.param("hex", b"41", "41", id="no charset at all"),
        pytest.param("idna", b"xn--mnchen-3ya", "xn--mnchen-3ya", id="names of hosts"),
        pytest.param(None, b"\xff", "\ufffd", id="none"),
    ],
)
def test_a_charset_is_believed_as_far_as_it_goes(charset: str | None, content: bytes, text: str) -> None:
    assert decoded(content, charset) == text


@pytest.mark.parametrize(
    ("encoding", "content", "text"),
    [
        pytest.param("base64", "aGk=", "hi", id="base64"),
        pytest.param("BASE64", "a\r\nG k = \r\n", "hi", id="base64 with blanks"),
        pytest.param("base64", "aGk", "hi", id="base64 cut short"),
        pytest.param("base64", "aGkhI", "hi!", id="base64 cut within a letter"),
        pytest.param("base64", "*** aGk ***", "hi", id="base64 with dirt"),
        pytest.param("quoted-printable", "h=69=\r\n!", "hi!", id="quoted-printable"),
        pytest.param("quoted-printable", "=ZZ hi", "=ZZ hi", id="quoted-printable with dirt"),
        pytest.param("x-nobody-knows", "aGk=", "aGk=", id="unknown"),
        pytest.param("7bit", "hi", "hi", id="none"),
    ],
)
def test_a_transfer_encoding_is_undone_as_far_as_it_goes(encoding: str, content: str, text: str) -> None:
    assert mail_of(part("text/plain", content, Content_Transfer_Encoding=encoding)).body == text


# the header


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=?utf-8?B?R3LDvMOfZQ==?=", "Grüße"),
        ("=?ISO-8859-1?Q?Gr=FC=DFe_an?= alle", "Grüße an alle"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=\r\n =?utf-8?q?c?=", "abc"),
        ("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        ("=?utf-8?b?5pel5g==?= =?utf-8?b?nKzoqp4=?=", "日本語"),
        ("=?utf-8*de?q?gr=C3=BCn?=", "grün"),
        ("=?x-nobody?q?a=FF?=", "a\ufffd"),
        ("=?utf-8?q?with spaces?=", "with spaces"),
        ("=?utf-8?b?????=", "=?utf-8?b?????="),
        ("a\r\n  b", "a  b"),
        ("=?", "=?"),
    ],
)
def test_encoded_words_are_decoded(value: str, text: str) -> None:
    assert words(value) == text


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("Ann <ann@x.example>", [("Ann", "ann@x.example")]),
        ("ann@x.example", [(None, "ann@x.example")]),
        ("ann@x.example (Ann)", [("Ann", "ann@x.example")]),
        ('"Meyer, Ann" <ann@x.example>, ben@x.example', [("Meyer, Ann", "ann@x.example"), (None, "ben@x.example")]),
        ('"A \\"B\\" C" <a@x.example>', [('A "B" C', "a@x.example")]),
        ("=?utf-8?q?M=C3=BCller=2C_A?= <m@x.example>", [("Müller, A", "m@x.example")]),
        ('"=?utf-8?q?M=C3=BCller?=" <m@x.example>', [("Müller", "m@x.example")]),
        ("undisclosed-recipients:;", []),
        ("Team: ann@x.example, Ben <ben@x.example>;", [(None, "ann@x.example"), ("Ben", "ben@x.example")]),
        ("ann@x.example; ben@x.example", [(None, "ann@x.example"), (None, "ben@x.example")]),
        ("MAILER-DAEMON", [(None, "MAILER-DAEMON")]),
        ("Mail Delivery System", [("Mail Delivery System", None)]),
        ("Mail Delivery <>", [("Mail Delivery", None)]),
        ("<@relay.example:ann@x.example>", [(None, "ann@x.example")]),
        ("Ann <ann@x.example", [("Ann", "ann@x.example")]),
        ('"a b"@x.example', [(None, '"a b"@x.example')]),
        (" , ;, ", []),
        ("", []),
    ],
)
def test_people_are_read(value: str, found: list[tuple[str | None, str | None]]) -> None:
    assert people(value) == tuple(Person(*one) for one in found)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ('text/plain; charset=utf-8; name="a;b.txt"', {"charset": "utf-8", "name": "a;b.txt"}),
        ('attachment; filename="a\\"b.txt"', {"filename": 'a"b.txt'}),
        ("attachment; FILENAME=a.txt", {"filename": "a.txt"}),
        ("attachment; filename*=utf-8'de'Gr%C3%BC%C3%9Fe.txt; filename=x.txt", {"filename": "Grüße.txt"}),
        ("attachment; filename*0*=utf-8''Gr%C3%BC; filename*1=n.txt", {"filename": "Grün.txt"}),
        ("attachment; filename*1=b; filename*0=a", {"filename": "ab"}),
        ("attachment; filename*=x-nobody''%FF", {"filename": "\ufffd"}),
        ("attachment;\r\n\tfilename=a b.txt", {"filename": "a b.txt"}),
        ('attachment; filename="never closed', {"filename": "never closed"}),
        ("attachment; =x; ; y", {}),
    ],
)
def test_parameters_are_read(value: str, found: dict[str, str]) -> None:
    assert parameters(value) == found


def test_a_header_stays_raw_and_in_order(nylas: NylasStandIn, api: Client) -> None:
    mime = (
        b"Received: from a\r\n\tby b\r\nReceived: from c\r\nFrom: =?utf-8?q?=C3=89va?= <eva@x.example>, ben@x.example\r\n"
        b"Sender: office@x.example\r\nto: ida@x.example\r\nTO: Cleo <cleo@x.example>\r\nBcc: bea@x.example\r\n"
        b"Subject: =?utf-8?q?=C3=89va?=\r\nMessage-Id:\r\n <1@x.example>\r\nX-Raw: \xc3\x89va \xff\r\nX-Empty:\r\n"
        b"In-Reply-To: <0@x.example>\r\nin-reply-to: <00@x.example>\r\n\r\nhi"
    )
    grant = nylas.connect("ida@x.example", "google")
    path = f"/v3/grants/{grant}/messages/{nylas.deliver(grant, mail_of(mime))}"
    shown = api.data(path, fields="include_headers")
    assert [(header["name"], header["value"]) for header in shown["headers"]] == [
        ("Received", "from a\r\n\tby b"),
        ("Received", "from c"),
        ("From", "=?utf-8?q?=C3=89va?= <eva@x.example>, ben@x.example"),
        ("Sender", "office@x.example"),
        ("to", "ida@x.example"),
        ("TO", "Cleo <cleo@x.example>"),
        ("Bcc", "bea@x.example"),
        ("Subject", "=?utf-8?q?=C3=89va?="),
        ("Message-Id", "\r\n <1@x.example>"),
        ("X-Raw", "Éva \ufffd"),
        ("X-Empty", ""),
        ("In-Reply-To", "<0@x.example>"),
        ("in-reply-to", "<00@x.example>"),
    ]
    assert shown["subject"] == "Éva"
    assert shown["from"] == [{"name": "Éva", "email": "eva@x.example"}, {"email": "ben@x.example"}]
    assert shown["to"] == [{"email": "ida@x.example"}, {"name": "Cleo", "email": "cleo@x.example"}]
    assert shown["bcc"] == [{"email": "bea@x.example"}]
    assert shown["date"] == NOON
    basic = api.data(path, fields="include_basic_headers")["headers"]
    assert [header["name"] for header in basic] == ["Message-Id", "In-Reply-To", "in-reply-to"]


def test_a_header_may_come_unfolded(nylas: NylasStandIn, api: Client) -> None:
    nylas.behaviour.folded_headers = False
    grant = nylas.connect("ida@x.example", "google")
    message = nylas.deliver(grant, mail_of(b"Message-ID:\r\n <1@x.example>\r\nReceived: a\r\n   b\r\n\r\n"))
    headers = api.data(f"/v3/grants/{grant}/messages/{message}", fields="include_headers")["headers"]
    assert [header["value"] for header in headers] == ["<1@x.example>", "a   b"]


def test_an_answer_that_came_as_bytes_joins_its_thread(nylas: NylasStandIn) -> None:
    grant = nylas.connect("ida@x.example", "google")
    nylas.deliver(grant, mail_of(b"Message-ID:\r\n <1@x.example>\r\n\r\n"))
    nylas.deliver(grant, mail_of(b"Message-ID: <2@x.example>\r\nReferences: <0@x.example>\r\n <1@x.example>\r\n\r\n"))
    second, first = nylas.messages(grant)
    assert second["thread_id"] == first["thread_id"]


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "not padded"])
@pytest.mark.parametrize("content", [b"hi", b"hi!", b"", b"\x00\xff\r\n" * 40_000], ids=["2", "3", "0", "160000"])
def test_the_raw_mime_is_the_very_bytes(nylas: NylasStandIn, api: Client, content: bytes, padded: bool) -> None:
    nylas.behaviour.padded_raw_mime = padded
    mime = b"From nobody Thu Jan  1\nSubject : \xff\nTo:ida\n\n" + content
    grant = nylas.connect("ida@x.example", "microsoft")
    message = nylas.deliver(grant, mail_of(mime))
    raw = api.data(f"/v3/grants/{grant}/messages/{message}", fields="raw_mime")["raw_mime"]
    assert raw.endswith("=") == (padded and len(mime) % 3 > 0)
    assert base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)) == mime


# the files


def test_a_file_keeps_what_its_header_says_of_it(nylas: NylasStandIn, api: Client) -> None:
    picture = part(
        'image/png; name="a.png";\r\n\tx-unix-mode=0644',
        base64.b64encode(b"\x89PNG").decode(),
        Content_ID="<a@x>",
        Content_Disposition='inline;\r\n filename="a.png"; size=4',
        Content_Transfer_Encoding="base64",
    )
    named = part("application/pdf; name*=utf-8''Gr%C3%BC%C3%9Fe.pdf", "%PDF", X_Attachment_Id="f_1")
    nameless = b"\r\nraw"
    mime = parts("multipart/mixed", HTML, picture, named, nameless)
    kinds = {}
    for provider in ("google", "microsoft", "imap"):
        grant = nylas.connect("ida@x.example", provider)
        message = nylas.deliver(grant, mail_of(mime))
        shown = next(one for one in nylas.messages(grant) if one["id"] == message)["attachments"]
        kinds[provider] = [
            (one["filename"], one["content_type"], one["content_id"], one["is_inline"], one.get("content_disposition"))
            for one in shown
        ]
    pictures = 'image/png; name="a.png";\tx-unix-mode=0644'
    inline = 'inline; filename="a.png"; size=4'
    german = "application/pdf; name*=utf-8''Gr%C3%BC%C3%9Fe.pdf"
    assert kinds["imap"] == [
        ("a.png", pictures, "<a@x>", True, inline),
        ("Grüße.pdf", german, "f_1", False, None),
        (None, "text/plain", "", False, None),
    ]
    assert kinds["google"] == [kinds["imap"][0], ("Grüße.pdf", "", "f_1", False, None), kinds["imap"][2]]
    assert kinds["microsoft"] == [
        ("a.png", pictures, "a@x", False, None),
        ("Grüße.pdf", german, "f_1", False, None),
        (None, "text/plain", "", False, None),
    ]


@pytest.mark.parametrize(
    ("disposition", "content_id", "related", "inline"),
    [
        pytest.param("inline", None, False, True, id="inline"),
        pytest.param("INLINE; filename=x", None, False, True, id="inline in capitals"),
        pytest.param("attachment", "<a@x>", True, False, id="attached, though it has an id"),
        pytest.param(None, "<a@x>", True, True, id="none, beside its text"),
        pytest.param(None, "<a@x>", False, False, id="none, not beside its text"),
        pytest.param(None, None, True, False, id="none, and no id"),
    ],
)
def test_whether_a_picture_is_inline(
    disposition: str | None, content_id: str | None, related: bool, inline: bool
) -> None:
    named = {"Content_Disposition": disposition, "Content_ID": content_id}
    picture = part("image/png", **{name: value for name, value in named.items() if value is not None})
    [file] = mail_of(parts("multipart/related" if related else "multipart/mixed", HTML, picture)).files
    assert (file.inline, file.disposition) == (inline, disposition)


@pytest.mark.parametrize(
    ("kind", "disposition", "related", "inline"),
    [
        pytest.param("image/png", "attachment", True, True, id="named by the text beside it, though attached"),
        pytest.param("image/png", "inline", False, False, id="inline, but not beside its text"),
        pytest.param("application/pdf", "inline", True, False, id="no picture"),
    ],
)
@pytest.mark.parametrize("provider", ["microsoft", "ews", "imap"])
def test_exchange_has_its_own_mind_of_what_is_inline(
    nylas: NylasStandIn, provider: str, kind: str, disposition: str, related: bool, inline: bool
) -> None:
    text = part("text/html", '<img src="cid:a@x">')
    file = part(kind, Content_ID="<a@x>", Content_Disposition=disposition)
    grant = nylas.connect("ida@x.example", provider)
    nylas.deliver(grant, mail_of(parts("multipart/related" if related else "multipart/mixed", text, file)))
    [shown] = nylas.messages(grant)[0]["attachments"]
    assert shown["is_inline"] == (disposition == "inline" if provider == "imap" else inline)


REPORT = part("message/delivery-status", "Reporting-MTA: dns; mx.x.example\r\n\r\nAction: failed")
BOUNCED = part("message/rfc822", "Subject: inner\r\nContent-Type: text/html\r\n\r\n<p>inner</p>")
SIGNATURE = part(
    'application/pkcs7-signature; name="smime.p7s"',
    "MII=",
    Content_Transfer_Encoding="base64",
    Content_Disposition='attachment; filename="smime.p7s"',
)
INVITATION = part('text/calendar; charset="UTF-8"; method=REQUEST', "BEGIN:VCALENDAR")


@pytest.mark.parametrize(
    ("mime", "body", "files"),
    [
        pytest.param(
            parts("multipart/report; report-type=delivery-status", PLAIN, REPORT, BOUNCED),
            "hi",
            [("message/delivery-status", None), ("message/rfc822", None)],
            id="a bounce",
        ),
        pytest.param(
            parts("multipart/alternative", PLAIN, HTML, INVITATION),
            "<p>hi</p>",
            [('text/calendar; charset="UTF-8"; method=REQUEST', None)],
            id="an invitation among the alternatives",
        ),
        pytest.param(
            parts('multipart/signed; protocol="application/pkcs7-signature"', PLAIN, SIGNATURE),
            "hi",
            [('application/pkcs7-signature; name="smime.p7s"', "smime.p7s")],
            id="signed by S/MIME",
        ),
        pytest.param(
            part('application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"', "MII="),
            "",
            [('application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"', "smime.p7m")],
            id="encrypted by S/MIME",
        ),
        pytest.param(
            parts(
                'multipart/encrypted; protocol="application/pgp-encrypted"',
                part("application/pgp-encrypted", "Version: 1"),
                part('application/octet-stream; name="encrypted.asc"', "-----BEGIN PGP MESSAGE-----"),
            ),
            "",
            [("application/pgp-encrypted", None), ('application/octet-stream; name="encrypted.asc"', "encrypted.asc")],
            id="encrypted by PGP",
        ),
        pytest.param(
            parts(
                'multipart/signed; protocol="application/pgp-signature"',
                HTML,
                part('application/pgp-signature; name="signature.asc"'),
            ),
            "<p>hi</p>",
            [('application/pgp-signature; name="signature.asc"', "signature.asc")],
            id="signed by PGP",
        ),
        pytest.param(
            parts("multipart/mixed", PLAIN, part('application/ms-tnef; name="winmail.dat"', "x\x9f>\"")),
            "hi",
            [('application/ms-tnef; name="winmail.dat"', "winmail.dat")],
            id="winmail.dat",
        ),
        pytest.param(
            parts("multipart/mixed", PLAIN, parts("multipart/digest", b"\r\nSubject: one\r\n\r\nx", boundary="in")),
            "hi",
            [("message/rfc822", None)],
            id="a digest",
        ),
    ],
)  # fmt: skip
def test_everything_but_the_text_is_a_file(mime: bytes, body: str, files: list[tuple[str, str | None]]) -> None:
    mail = mail_of(mime)
    assert mail.body == body
    assert [(file.content_type, file.filename) for file in mail.files] == files


def test_an_attached_mail_is_a_file_whole_and_untouched() -> None:
    inner = parts("multipart/mixed", HTML, NOTE, boundary="inner").replace(b"hi", b"inner")
    mime = parts("multipart/mixed", PLAIN, b"Content-Type: message/rfc822\r\n\r\n" + inner)
    mail = mail_of(mime)
    assert mail.body == "hi"
    assert [(file.content_type, file.content) for file in mail.files] == [("message/rfc822", inner[:-2] + b"\r\n")]


@pytest.mark.parametrize("provider", ["microsoft", "ews", "google"])
def test_exchange_may_make_one_file_of_what_is_signed(nylas: NylasStandIn, api: Client, provider: str) -> None:
    nylas.behaviour.signed_is_one_file = True
    mime = parts('multipart/signed; protocol="application/pkcs7-signature"', parts("multipart/mixed", HTML, NOTE, boundary="in"), SIGNATURE)  # fmt: skip
    grant = nylas.connect("ida@x.example", provider)
    message = nylas.deliver(grant, mail_of(b"Subject: signed\r\n" + mime))
    shown = nylas.messages(grant)[0]
    assert shown["body"] == "<p>hi</p>"
    names = [one["filename"] for one in shown["attachments"]]
    assert names == (["note.txt", "smime.p7s"] if provider == "google" else ["smime.p7m"])
    if provider != "google":
        [file] = shown["attachments"]
        assert file["content_type"] == "multipart/signed"
        got = api.get(f"/v3/grants/{grant}/attachments/{file['id']}/download", message_id=message)
        assert got.content == mime
        assert [one.filename for one in mail_of(got.content).files] == ["note.txt", "smime.p7s"]
