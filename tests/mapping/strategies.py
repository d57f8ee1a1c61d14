"""Any message that can be decoded, and the worst of them: nulls everywhere, broken text, hostile addresses and HTML."""

from __future__ import annotations

from hypothesis import strategies as st

from mapping.direction import Copy
from mapping.matches import PRECEDENCE, Match, Organisation
from mapping.message import Attachment, Header, Message, Participant
from mapping.records import Record
from mapping.regarding import Parent, ParentParty

_NASTY = [
    "\x00",
    "\ud800",
    "\udfff",
    "\u2028",
    "😀",
    "\r\n ",
    "\t",
    "\ufeff",
    "\u202e",
    "<",
    ">",
    "&",
    '"',
    "'",
    ";",
    "@",
    "\\",
]
text = st.one_of(
    st.text(max_size=30),
    st.lists(st.one_of(st.sampled_from(_NASTY), st.text(max_size=5)), max_size=12).map("".join),
    st.sampled_from(["", " ", "é" * 900, "😀" * 500, "x" * 2000, "\ud83d" * 400]),
)

ADDRESSES = [
    "ann@contoso.com",
    "ben@contoso.com",
    "carl@fabrikam.com",
    "dora@fabrikam.com",
    "x@nowhere.org",
    "é@münchen.de",
]
_WRITTEN = [
    *ADDRESSES,
    *(address.upper() for address in ADDRESSES),
    *(f" <{address}>" for address in ADDRESSES),
    "mailto:ann@contoso.com",
    "/O=CONTOSO/CN=ANN",
    "undisclosed-recipients:;",
    "@",
    "a@",
    "@b",
    "a@b@c",
    "a@[127.0.0.1]",
    "a@.",
    "a@xn--\udcff",
    "a@\u2488com",
    "a;b@c.org",
    "'; DROP TABLE email@x.org",
    "x" * 400 + "@nowhere.org",
    "😀" * 130 + "@nowhere.org",
    "<" * 300 + "a@b.org" + ">" * 300,
]
addresses = st.one_of(st.none(), st.sampled_from(_WRITTEN), text)
participants = st.builds(Participant, name=st.one_of(st.none(), text), email=addresses)
groups = st.one_of(st.none(), st.lists(st.one_of(st.none(), participants), max_size=5).map(tuple))

_FRAGMENTS = [
    "<p>", "</p>", "<b>", "<div style='", "color:red;", "position:fixed;", "background:url(", "javascript:alert(1)", "'>",
    "<a href='", '<a href="', '">', "<img src=", "data:image/png;base64,AA ", "data:text/html,x ", "cid:a@b ", "onerror=x()",
    "<script>", "</script>", "<style>", "<svg>", "<math>", "<title>", "<form action=x>", "<input>", "<iframe src=x>",
    "<table><tr><td>", "</td>", "<!--", "-->", "<![CDATA[", "<?", "&lt;", "&#106;", "&amp", "expression(", "\\75rl(", "/*", "*/",
    "<textarea>", "<noscript>", "<x-b>", "<template>", "<select>", "<plaintext>", "https://x.org/", "//x.org", "hello ", "\n", "> ",
]  # fmt: skip
bodies = st.one_of(
    st.none(),
    text,
    st.lists(st.sampled_from(_FRAGMENTS), max_size=25).map("".join),
    st.lists(st.sampled_from(_FRAGMENTS), max_size=25).map("<p>".join),
)

dates = st.one_of(
    st.none(),
    st.integers(min_value=1_600_000_000, max_value=1_800_000_000),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -1, 253_402_300_800, -62_135_596_801, 10**300]),
)
_NAMES = ["Message-ID", "message-id", "MESSAGE-ID ", "In-Reply-To", "References", "X-Other"]
message_ids = st.one_of(
    text, st.sampled_from(["<a@b>", "a@b", "<a@b> <c@d>", "<<a>>", "<>", "<\r\n a@b>", "<" + "x" * 400 + ">"])
)
headers = st.one_of(
    st.none(),
    st.lists(
        st.one_of(
            st.none(),
            st.builds(
                Header, name=st.one_of(st.none(), st.sampled_from(_NAMES)), value=st.one_of(st.none(), message_ids)
            ),
        ),
        max_size=5,
    ).map(tuple),
)
messages = st.builds(
    Message,
    id=st.text(max_size=20),
    subject=st.one_of(st.none(), text),
    body=bodies,
    snippet=st.one_of(st.none(), text),
    date=dates,
    from_=groups,
    to=groups,
    cc=groups,
    bcc=groups,
    reply_to=groups,
    folders=st.one_of(st.none(), st.lists(st.one_of(st.none(), text), max_size=3).map(tuple)),
    attachments=st.one_of(st.none(), st.lists(st.one_of(st.none(), st.builds(Attachment)), max_size=2).map(tuple)),
    headers=headers,
)

_ids = st.sampled_from([f"cccccccc-0000-4000-8000-00000000000{digit}" for digit in range(4)])
_matches = st.builds(
    Match, table=st.sampled_from(PRECEDENCE), id=_ids, name=st.one_of(st.none(), text), active=st.booleans()
)
matches = st.dictionaries(st.sampled_from([*ADDRESSES[:5], "é@xn--mnchen-3ya.de"]), _matches, max_size=6)
organisations = st.builds(
    Organisation,
    mailboxes=st.frozensets(st.sampled_from(ADDRESSES[:3]), max_size=2),
    domains=st.frozensets(st.sampled_from(["contoso.com", "fabrikam.com"]), max_size=1),
)
copies = st.builds(
    Copy,
    mailbox=st.sampled_from(ADDRESSES[:2]),
    attributes=st.frozensets(st.sampled_from(["\\Sent", "\\Inbox", "\\SENT", "\\Archive", ""]), max_size=2),
)
_records = st.builds(
    Record,
    table=st.sampled_from(["contact", "opportunity", "new_visit"]),
    id=_ids,
    navigation=st.sampled_from([None, "x"]),
)
parents = st.one_of(
    st.none(),
    st.builds(
        Parent,
        activityid=_ids,
        regarding=st.one_of(st.none(), _records),
        parties=st.lists(
            st.builds(
                ParentParty,
                address=addresses,
                table=st.one_of(st.none(), st.sampled_from(PRECEDENCE)),
                id=st.one_of(st.none(), _ids),
            ),
            max_size=4,
        ).map(tuple),
    ),
)
