from __future__ import annotations

from pathlib import Path

import pytest

from mapping.direction import Copy
from mapping.message import Message
from mapping.tracking import PolicyError, TrackingRules, judge_copy, judge_people, parse_rules
from tests.mapping.mail import ANN, BEN, CARL, HELP, INBOX, MATCHES, ORGANISATION, SENT, STRANGER, message

DEFAULT = parse_rules("", "tracking.toml")
SHIPPED = Path(__file__).parents[2] / "tracking.toml"
FROM_CARL = message(from_=CARL, to=[ANN])
AMONG_US = message(from_=BEN, to=[ANN], cc=["eve@contoso.com"])
FROM_STRANGER = message(from_=STRANGER, to=[ANN])
REPLY = message(from_=CARL, to=[ANN], headers={"In-Reply-To": "<a@b>"})
CONTINUED = message(from_=CARL, to=[ANN], headers={"References": "<a@b>"})


def rules(text: str) -> TrackingRules:
    return parse_rules(text, "tracking.toml")


def lying_in(*attributes: str) -> Copy:
    return Copy(ANN, frozenset(attributes))


DENY_CARL = rules("[deny]\naddresses = ['CARL@fabrikam.com']")
DENY_FABRIKAM = rules("[deny]\ndomains = ['Fabrikam.com']")
ONLY_FIRST = rules("thread = 'first'")
ONLY_KNOWN = rules("track = 'known'")
INTERNAL_TOO = rules("internal_only = 'track'")


@pytest.mark.parametrize(
    ("mail", "copy", "policy", "expected"),
    [
        pytest.param(FROM_CARL, INBOX, DEFAULT, None, id="ordinary mail goes on"),
        pytest.param(FROM_CARL, lying_in("\\Drafts"), DEFAULT, "draft", id="draft"),
        pytest.param(FROM_CARL, lying_in("\\DRAFT", "\\Inbox"), DEFAULT, "draft", id="draft, as some servers write it"),
        pytest.param(FROM_CARL, lying_in("\\junk"), DEFAULT, "junk", id="junk"),
        pytest.param(FROM_CARL, lying_in("\\Spam"), DEFAULT, "junk", id="junk, as some servers write it"),
        pytest.param(FROM_CARL, lying_in("\\Trash"), DEFAULT, "trash", id="trash"),
        pytest.param(FROM_CARL, lying_in("\\Sent", "\\Trash"), DEFAULT, "trash", id="trash and elsewhere is trash"),
        pytest.param(FROM_CARL, lying_in("\\Archive", "\\Important"), DEFAULT, None, id="other folders go on"),
        pytest.param(FROM_CARL, INBOX, DENY_CARL, "deny_address", id="denied address"),
        pytest.param(message(from_=ANN, bcc=[CARL]), SENT, DENY_CARL, "deny_address", id="denied address in Bcc"),
        pytest.param(FROM_STRANGER, INBOX, DENY_CARL, None, id="another address"),
        pytest.param(FROM_CARL, INBOX, DENY_FABRIKAM, "deny_domain", id="denied domain"),
        pytest.param(message(from_="x@a.b.fabrikam.com"), INBOX, DENY_FABRIKAM, "deny_domain", id="a domain below"),
        pytest.param(message(from_="x@notfabrikam.com"), INBOX, DENY_FABRIKAM, None, id="a domain that ends alike"),
        pytest.param(FROM_CARL, lying_in("\\Trash"), DENY_CARL, "deny_address", id="deny comes first"),
        pytest.param(REPLY, INBOX, ONLY_FIRST, "thread_first", id="a reply, where only first mails count"),
        pytest.param(CONTINUED, INBOX, ONLY_FIRST, "thread_first", id="a continued talk, where only first mails count"),
        pytest.param(FROM_CARL, INBOX, ONLY_FIRST, None, id="a first mail"),
        pytest.param(REPLY, INBOX, DEFAULT, None, id="a reply, by default"),
        pytest.param(AMONG_US, INBOX, DEFAULT, "internal_only", id="own addresses need no looking up"),
        pytest.param(AMONG_US, INBOX, INTERNAL_TOO, None, id="internal mail, where it is wanted"),
        pytest.param(message(from_=HELP, to=["q@partner.com"]), INBOX, DEFAULT, None, id="who knows yet who q is"),
    ],
)
def test_judged_by_the_copy(mail: Message, copy: Copy, policy: TrackingRules, expected: str | None) -> None:
    skip = judge_copy(mail, copy, ORGANISATION, policy)
    assert (skip.rule if skip else None) == expected


USER_ELSEWHERE = "ann@agency.org"
PEOPLE = MATCHES | {USER_ELSEWHERE: MATCHES[ANN]}


@pytest.mark.parametrize(
    ("mail", "copy", "policy", "expected"),
    [
        pytest.param(FROM_CARL, INBOX, DEFAULT, None, id="a contact"),
        pytest.param(FROM_STRANGER, INBOX, DEFAULT, None, id="a stranger crosses the border too"),
        pytest.param(
            message(from_=USER_ELSEWHERE, to=[ANN]), INBOX, DEFAULT, "internal_only", id="a user's other address"
        ),
        pytest.param(message(from_=USER_ELSEWHERE, to=[ANN]), INBOX, INTERNAL_TOO, None, id="internal mail wanted"),
        pytest.param(message(from_=BEN, to=[ANN], bcc=[CARL]), INBOX, DEFAULT, None, id="one stranger in Bcc"),
        pytest.param(message(from_=BEN, to=["/O=X/CN=Y"]), INBOX, DEFAULT, None, id="in doubt it crossed the border"),
        pytest.param(message(), INBOX, DEFAULT, None, id="no participants are not internal"),
        pytest.param(message(to=[ANN]), INBOX, DEFAULT, None, id="an unknown sender is not internal"),
        pytest.param(message(to=[BEN]), SENT, DEFAULT, "internal_only", id="in Sent the sender is the mailbox"),
        pytest.param(
            message(from_=STRANGER, to=[BEN]), SENT, DEFAULT, "internal_only", id="in Sent a stranger is one of us"
        ),
        pytest.param(message(from_=STRANGER, to=[CARL]), SENT, DEFAULT, None, id="in Sent, to a contact"),
        pytest.param(message(from_=BEN), INBOX, DEFAULT, "internal_only", id="a note to nobody"),
        pytest.param(FROM_CARL, INBOX, ONLY_KNOWN, None, id="known: a contact"),
        pytest.param(
            message(from_=STRANGER, to=[ANN], cc=[CARL]), INBOX, ONLY_KNOWN, None, id="known: a contact in Cc"
        ),
        pytest.param(FROM_STRANGER, INBOX, ONLY_KNOWN, "unknown_people", id="known: our own people do not count"),
        pytest.param(message(), INBOX, ONLY_KNOWN, "unknown_people", id="known: nobody at all"),
        pytest.param(
            AMONG_US, INBOX, rules("track = 'known'\ninternal_only = 'track'"), None, id="known is about external mail"
        ),
    ],
)
def test_judged_by_the_people(mail: Message, copy: Copy, policy: TrackingRules, expected: str | None) -> None:
    skip = judge_people(mail, copy, ORGANISATION, PEOPLE, policy)
    assert (skip.rule if skip else None) == expected


def test_a_reason_is_a_sentence_without_addresses() -> None:
    skip = judge_copy(FROM_CARL, INBOX, ORGANISATION, DENY_CARL)
    assert skip is not None
    assert skip.reason == "A participant's address is on the deny list."


def test_the_shipped_policy_says_the_defaults() -> None:
    assert parse_rules(SHIPPED.read_text(encoding="utf-8"), "tracking.toml") == DEFAULT
    assert (
        TrackingRules(
            track="all",
            internal_only="skip",
            own_domains=None,
            deny_addresses=frozenset(),
            deny_domains=frozenset(),
            thread="all",
        )
        == DEFAULT
    )


def test_every_key_is_read() -> None:
    text = """
        track = "known"
        internal_only = "track"
        own_domains = ["Contoso.com", "@münchen.de"]
        thread = "first"
        deny = { addresses = ["Carl <CARL@fabrikam.com>"], domains = ["Fabrikam.com."] }
    """
    assert rules("\ufeff" + text) == TrackingRules(
        track="known",
        internal_only="track",
        own_domains=frozenset({"contoso.com", "xn--mnchen-3ya.de"}),
        deny_addresses=frozenset({CARL}),
        deny_domains=frozenset({"fabrikam.com"}),
        thread="first",
    )


def test_no_own_domains_is_not_the_default() -> None:
    assert rules("own_domains = []").own_domains == frozenset()


def test_the_version_follows_the_meaning() -> None:
    assert DEFAULT.version == "ed44f5f6e0c0"
    assert rules("# a comment\nthread = 'all'").version == DEFAULT.version
    assert rules("deny.domains = ['a.org', 'b.org']").version == rules("deny.domains = ['B.org', 'a.org']").version
    others = ["track = 'known'", "internal_only = 'track'", "own_domains = []", "own_domains = ['a.org']",
              "deny.addresses = ['a@a.org']", "deny.domains = ['a.org']", "thread = 'first'"]  # fmt: skip
    assert len({DEFAULT.version, *(rules(text).version for text in others)}) == len(others) + 1


PROBLEMS = """# The policy
trak = "all"
track = "some"
internal_only = false
own_domains = [
  "contoso.com",
  "ann@contoso.com",
  7,
]

[deny]
adresses = []
addresses = ["ann"]
domains = "x.org"

[other]
x = 1
"""


@pytest.mark.parametrize(
    "expected",
    [
        'policy/tracking.toml:2: trak is no key of this file (is track meant?); allowed: track, internal_only, own_domains, deny, thread',
        'policy/tracking.toml:3: track = "some" is not known; allowed: all, known',
        "policy/tracking.toml:4: internal_only = false is not known; allowed: skip, track",
        'policy/tracking.toml:7: own_domains holds "ann@contoso.com"; each entry must be a domain such as "example.com"',
        'policy/tracking.toml:5: own_domains holds 7; each entry must be a domain such as "example.com"',
        "policy/tracking.toml:12: deny.adresses is no key of this file (is addresses meant?); allowed: addresses, domains",
        'policy/tracking.toml:13: deny.addresses holds "ann"; each entry must be an address such as "ann@example.com"',
        'policy/tracking.toml:14: deny.domains must be a list, each entry a domain such as "example.com"',
        "policy/tracking.toml:16: other is no key of this file; allowed: track, internal_only, own_domains, deny, thread",
    ],
)  # fmt: skip
def test_everything_wrong_with_a_policy_is_said_at_once(expected: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_rules(PROBLEMS, "policy/tracking.toml")
    lines = str(caught.value).splitlines()
    assert expected in lines
    assert len(lines) == 9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('track = "all"\nthread = \n', "t:2: not valid TOML: Invalid value", id="no value"),
        pytest.param("\n\nown_domains = [", "t:3: not valid TOML: ", id="no end"),
        pytest.param("track = 'all'\ntrack = 'all'", "t:2: not valid TOML: ", id="a key twice"),
        pytest.param("deny = 1", "t:1: deny must be a table, written [deny]", id="no table"),
        pytest.param("# x\ndeny.domain = []", "t:2: deny.domain is no key of this file", id="dotted key"),
        pytest.param("\ndeny = { domain = [] }", "t:2: deny.domain is no key of this file", id="inline table"),
        pytest.param('\n[ "deny" ]\n"domain" = []', "t:3: deny.domain is no key of this file", id="quoted keys"),
        pytest.param('x = """\ntrack = 1\n"""\ntrack = 2', "t:4: track = 2 is not known", id="a key inside a text"),
        pytest.param("own_domains = ['*.contoso.com']", 't:1: own_domains holds "*.contoso.com"', id="a pattern"),
        pytest.param("own_domains = ['contoso']", 't:1: own_domains holds "contoso"', id="a single label"),
        pytest.param("own_domains = ['']", 't:1: own_domains holds ""', id="nothing"),
        pytest.param("[[deny]]\n", "t:1: deny must be a table, written [deny]", id="a list of tables"),
    ],
)
def test_a_problem_is_found_again_by_its_line(text: str, expected: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_rules(text, "t")
    assert any(line.startswith(expected) for line in str(caught.value).splitlines()), str(caught.value)
