"""Any message that can be decoded, and the worst of them: nulls everywhere, broken text, hostile addresses and HTML.

And whatever may be known of one when it is mapped: policies, limits, people, mails before it.
"""

from __future__ import annotations

from hypothesis import strategies as st

from mapping.attachments import Limits
from mapping.direction import Copy
from mapping.mapper import Known
from mapping.matches import Match, Organisation
from mapping.message import Attachment, Header, Message, Participant
from mapping.policy import (
    CONTENT_LEVELS,
    PEOPLE_TABLES,
    SKIP,
    TRACK,
    AddressList,
    MailboxPolicy,
    Policy,
    RegardingRules,
    RelatedTable,
    Screen,
)
from mapping.records import Record
from mapping.regarding import Found, Parent, ParentParty, Related

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
    "(",
    ":",
    "=?",
]
text = st.one_of(
    st.text(max_size=30),
    st.lists(st.one_of(st.sampled_from(_NASTY), st.text(max_size=5)), max_size=12).map("".join),
    st.sampled_from(["", " ", "é" * 900, "😀" * 500, "x" * 2000, "\ud83d" * 400, "caf\u00c3\u00a9 \u00e2\u20ac\u0153"]),
)

# people

ADDRESSES = [
    "ann@contoso.com",
    "ben@contoso.com",
    "carl@fabrikam.com",
    "dora@fabrikam.com",
    "x@nowhere.org",
    "é@münchen.de",
]
ALIAS = "ann.lee@contoso.com"
_WRITTEN = [
    *ADDRESSES,
    *(address.upper() for address in ADDRESSES),
    *(f" <{address}>" for address in ADDRESSES),
    ALIAS,
    "ann+news@contoso.com",
    "mailto:ann@contoso.com",
    "/O=CONTOSO/CN=ANN",
    "undisclosed-recipients:;",
    "Sales: ann@contoso.com, carl@fabrikam.com;",
    "ann@contoso.com; x@nowhere.org",
    "a@b,c@d" + "(" * 3000,
    "a@b,c@d," + "x:" * 3000,
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
OURS = ["ann@contoso.com", ALIAS, "ann+news@contoso.com", "ben@contoso.com"]
addresses = st.one_of(st.none(), st.sampled_from(OURS), st.sampled_from(_WRITTEN), text)
participants = st.builds(Participant, name=st.one_of(st.none(), text), email=addresses)
groups = st.one_of(st.none(), st.lists(st.one_of(st.none(), participants), max_size=5).map(tuple))

# content

_CIDS = [
    "a@b",
    "Logo.png",
    "my:pic.png",
    "a b\tc",
    "x onerror=alert(1) y",
    "ü.png",
    "%41@b",
    "<a@b>",
    "i" * 300,
    "\ud800",
]
_FRAGMENTS = [
    "<p>", "</p>", "<b>", "<div style='", "color:red;", "position:fixed;", "background:url(", "javascript:alert(1)", "'>",
    "<a href='", '<a href="', '">', "<img src=", "data:image/png;base64,AA ", "data:text/html,x ", "onerror=x()",
    "<script>", "</script>", "<style>", "<svg>", "<math>", "<title>", "<form action=x>", "<input>", "<iframe src=x>",
    "<table><tr><td>", "</td>", "<!--", "-->", "<![CDATA[", "<?", "&lt;", "&#106;", "&amp", "expression(", "\\75rl(", "/*", "*/",
    "<textarea>", "<noscript>", "<x-b>", "<template>", "<select>", "<plaintext>", "https://x.org/", "//x.org", "hello ", "\n", "> ",
    "\u00c3\u00a9",
]  # fmt: skip
_SOURCES = [
    *(f"cid:{cid}" for cid in _CIDS), "CID:LOGO.PNG", "Logo.png", "ci\nd:a@b", "https://x.org/o", "HTTP://x.org/o", "//x.org/o", "ht&#10;tp://x.org/o",
    "data:image/png;base64,AA", "data:text/html,x", "javascript:x()", "/main.aspx", "",
]  # fmt: skip
_SIZES = ["", "0", "1", "01", "2px", "3", "600", "100%", "x", "0%"]
_STYLES = [
    "", "display:none", "DISPLAY : None !important", "width:1px !important;height:1px", "opacity:0.0", "visibility:hidden",
    "max-height:0", "width:600px", "background:image-set('//x.org/a' 1x)", "background:image('https://x.org/a');color:red",
    "background:\\69mage-set('//x.org/a' 1x)", "background:url(//x.org/a)", "position:fixed;width:1px",
]  # fmt: skip
_WORDS = ["", "a", " src=", "a src=", "<img src='cid:a@b'>", "<script>", "[x]", "' onerror=alert(1) '", "\x01"]


_REMOTE = [source for source in _SOURCES if "x.org" in source]


@st.composite
def tags(draw: st.DrawFn, names: str = "img img img p a td", sources: list[str] = _SOURCES) -> str:
    """A whole tag, mostly of a picture, with its attributes in any order and in either quotes."""
    pools = {"src": sources, "alt": _WORDS, "title": _WORDS, "width": _SIZES, "height": _SIZES, "style": _STYLES}
    told = []
    for name in draw(st.permutations(sorted(pools)))[draw(st.integers(0, 4)) :]:
        value = draw(st.sampled_from(pools[name]))
        quote = draw(st.sampled_from("\"'"))
        told.append(f"{name}={quote}{value.replace(quote, '')}{quote}")
    return f"<{draw(st.sampled_from(names.split()))} {' '.join(told)}>"


pictures_elsewhere = tags("img", _REMOTE)


bodies = st.one_of(
    st.none(),
    text,
    st.lists(tags(), max_size=4).map("<p>".join),
    st.lists(st.one_of(st.sampled_from(_FRAGMENTS), tags()), max_size=12).map("".join),
    st.lists(st.sampled_from(_FRAGMENTS), max_size=25).map("".join),
    st.lists(st.sampled_from(_FRAGMENTS), max_size=25).map("<p>".join),
)
_FILE_NAMES = [
    *_CIDS, "offer.pdf", "OFFER.PDF", "a/b\\c.exe", "\u202egnp.exe", ".htaccess", "." + "x" * 300, "x" * 300 + ".docx",
    "x" * 254 + " " + "y" * 30, "=?utf-8?b?w7w=?=.pdf", "=?\ud800?q?a?=", "=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3F=3D?=", "con", "..",
    "a \u200b b", "x" * 250 + "...." + "y" * 30, "&" * 300,
]  # fmt: skip
_PARTS = [
    "a",
    "x" * 254,
    " ",
    ".",
    "..",
    "\u200b",
    "/",
    ":",
    "\u202e",
    ".exe",
    ".pdf",
    "😀" * 127,
    "=?utf-8?q?",
    "?=",
    "&",
    "\n",
]
file_names = st.one_of(
    st.none(), st.sampled_from(_FILE_NAMES), st.lists(st.sampled_from(_PARTS), max_size=6).map("".join), text
)
_TYPES = [
    "image/png", "application/pdf; name=\"a b.pdf\"", "text/calendar; method=REQUEST", "application/pkcs7-mime", "message/rfc822",
    "application/pkcs7-mime; smime-type=signed-data", "application/pgp-encrypted", "message/delivery-status", "octets", "",
    "😀" * 200 + "/x", "application/octet-stream; name=x.exe",
]  # fmt: skip
attachments = st.builds(
    Attachment,
    id=st.one_of(st.none(), st.just("f1"), st.text(max_size=8)),
    filename=st.one_of(st.sampled_from(_CIDS), file_names),
    content_type=st.one_of(st.none(), st.sampled_from(_TYPES), text),
    size=st.one_of(st.none(), st.integers(), st.sampled_from([0, 1, 3_932_160, 50_000_000])),
    is_inline=st.one_of(st.none(), st.booleans()),
    content_id=st.one_of(st.none(), st.sampled_from(_CIDS), text),
    content_disposition=st.one_of(st.none(), st.sampled_from(["inline", "attachment"])),
)
files = st.one_of(st.none(), st.lists(st.one_of(st.none(), attachments), max_size=6).map(tuple))


@st.composite
def pictured(draw: st.DrawFn) -> tuple[str, list[Attachment]]:
    """A body that calls pictures, and files of which some are those; names and ids repeat."""
    cids = draw(st.lists(st.sampled_from(_CIDS), min_size=1, max_size=3))
    body = "".join(draw(st.lists(tags("img", [f"cid:{cid}" for cid in cids]), min_size=1, max_size=4)))
    some = st.sampled_from([*cids, *cids, "other", None])
    kinds = st.sampled_from(_TYPES)
    each = st.builds(
        Attachment, id=st.just("f"), filename=st.one_of(some, file_names), content_id=some, content_type=kinds
    )
    return body, draw(st.lists(each, min_size=1, max_size=5))


# header

dates = st.one_of(
    st.none(),
    st.integers(min_value=1_600_000_000, max_value=1_800_000_000),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -1, 253_402_300_800, -62_135_596_801, 10**300]),
)
_NAMES = ["Message-ID", "message-id", "MESSAGE-ID ", "In-Reply-To", "References", "X-Other"]
_TELLING = [
    ("Sensitivity", "Private"), ("Precedence", "bulk"), ("List-Id", "<x>"), ("Auto-Submitted", "auto-replied"), ("Return-Path", "<>"),
    ("Content-Type", "multipart/report; report-type=delivery-status"), ("Content-Class", "urn:content-classes:calendarmessage"),
    ("Content-Type", "multipart/report; report-type=disposition-notification"), ("Sensitivity", "Company-Confidential"),
]  # fmt: skip
message_ids = st.one_of(
    text, st.sampled_from(["<a@b>", "a@b", "<a@b> <c@d>", "<<a>>", "<>", "<\r\n a@b>", "<" + "x" * 400 + ">"])
)
_lines = st.one_of(
    st.none(),
    st.builds(
        Header, name=st.one_of(st.none(), st.sampled_from(_NAMES), text), value=st.one_of(st.none(), message_ids)
    ),
    st.sampled_from(_TELLING).map(lambda line: Header(*line)),
)
headers = st.one_of(st.none(), st.lists(_lines, max_size=5).map(tuple))
subjects = st.one_of(
    st.none(),
    text,
    st.sampled_from(["Fwd: x", "Re: CRM:0001001", "[CRM:1] CAS-01020-X9Y8", "AW: WG: x", "[" * 70, "Re:" * 300]),
)
messages = st.builds(
    Message,
    id=st.text(max_size=20),
    subject=subjects,
    body=bodies,
    snippet=st.one_of(st.none(), text),
    date=dates,
    from_=groups,
    to=groups,
    cc=groups,
    bcc=groups,
    reply_to=groups,
    folders=st.one_of(st.none(), st.lists(st.one_of(st.none(), text), max_size=3).map(tuple)),
    attachments=files,
    headers=headers,
)

# what is known

_ids = st.sampled_from([f"cccccccc-0000-4000-8000-00000000000{digit}" for digit in range(4)])
_matches = st.builds(
    Match, table=st.sampled_from(PEOPLE_TABLES), id=_ids, name=st.one_of(st.none(), text), active=st.booleans()
)
matches = st.dictionaries(
    st.sampled_from([*ADDRESSES[:5], ALIAS, "ann+news@contoso.com", "é@xn--mnchen-3ya.de"]), _matches, max_size=6
)
organisations = st.builds(
    lambda mailboxes, domains, with_alias: Organisation(
        mailboxes=mailboxes | ({ADDRESSES[0], ALIAS} if with_alias else set()),
        domains=domains,
        aliases={ALIAS: ADDRESSES[0]} if with_alias else {},
    ),
    st.frozensets(st.sampled_from(ADDRESSES[:3]), max_size=2),
    st.frozensets(st.sampled_from(["contoso.com", "fabrikam.com"]), max_size=1),
    st.booleans(),
)
folders = ["no-crm", "track", "sales", "news"]
copies = st.builds(
    Copy,
    mailbox=st.sampled_from(ADDRESSES[:2]),
    attributes=st.frozensets(st.sampled_from(["\\Sent", "\\Inbox", "\\SENT", "\\Archive", ""]), max_size=2),
    names=st.frozensets(st.sampled_from(folders), max_size=2),
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
                table=st.one_of(st.none(), st.sampled_from(PEOPLE_TABLES)),
                id=st.one_of(st.none(), _ids),
            ),
            max_size=4,
        ).map(tuple),
    ),
)
_people = st.frozensets(
    st.builds(Record, table=st.sampled_from(["contact", "account"]), id=_ids), min_size=1, max_size=2
)
_related = st.lists(st.builds(Related, record=_records, people=_people), max_size=2).map(tuple)
_VISIT = RelatedTable(name="visit", table="new_visit", contact=("new_contactid",), account=())
_RULES = ("reply", "token", "opportunity", "case", "contact", "account", "lead", "visit")
finds = st.builds(
    Found,
    parent=parents,
    sibling=parents,
    by_token=parents.map(lambda one: (one,) if one else ()),
    by_number=_related,
    related=st.dictionaries(st.sampled_from(["opportunity", "case", "visit"]), _related, max_size=2),
)

# policies

_patterns = st.sampled_from(["nowhere.org", "carl@fabrikam.com", "*@*.de", "x*@nowhere.org", "ann@contoso.com", "*"])
_denied = st.frozensets(_patterns, max_size=2).map(AddressList)
_named = st.frozensets(st.sampled_from(folders), max_size=2)
_tracked = st.sampled_from([TRACK, SKIP])
screens = st.builds(
    Screen,
    track=st.sampled_from(["all", "all", "known", "replies"]),
    internal_only=_tracked,
    private=_tracked,
    confidential=_tracked,
    receipts=_tracked,
    bounces=_tracked,
    automatic=_tracked,
    bulk=_tracked,
    invites=_tracked,
    thread=st.sampled_from(["all", "first"]),
    content=st.sampled_from(CONTENT_LEVELS),
    deny_senders=_denied,
    deny_participants=_denied,
    no_crm=_named,
    exclude=_named,
    include=_named,
)
owners = st.one_of(st.none(), st.builds(Record, table=st.sampled_from(["team", "systemuser"]), id=_ids))
mailbox_policies = st.dictionaries(
    st.sampled_from(ADDRESSES[:3]), st.builds(MailboxPolicy, screen=screens, owner=owners), max_size=2
)
policies = st.builds(
    Policy,
    screen=screens,
    wanted_folders=_named,
    fallback_owner=owners,
    queue_items=st.booleans(),
    files=st.booleans(),
    regarding=st.builds(
        RegardingRules,
        rules=st.lists(st.sampled_from(_RULES), unique=True).map(tuple),
        several=st.sampled_from(["newest", "none"]),
        tables=st.just((_VISIT,)),
    ),
    mailboxes=mailbox_policies,
)
limits = st.builds(
    Limits,
    largest=st.sampled_from([0, 4, 5_242_880, 131_072_000]),
    extensions=st.frozensets(st.sampled_from(["exe", "pdf", "png"]), max_size=2),
    blocked_types=st.frozensets(st.sampled_from(["image/png", "application/pdf"]), max_size=1),
    allowed_types=st.frozensets(st.sampled_from(["image/png", "application/pdf"]), max_size=1),
)
knowns = st.builds(
    Known,
    copy=copies,
    organisation=organisations,
    policy=policies,
    matches=matches,
    found=finds,
    limits=limits,
)
