"""The page is one piece of sound HTML that asks for nothing, says what its JSON says, and holds no address."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from typing import Any
from xml.etree import ElementTree as ET

import html5lib
import pytest

from mailsync.dashboard import answers
from mailsync.dashboard.facts import Status
from mailsync.dashboard.markup import Markup, several, tag
from mailsync.dashboard.page import page_of
from mailsync.dashboard.said import brief, span
from mailsync.wiring import Wiring
from tests.browser.states import STATES, Scene
from tests.mailsync.dashboard.conftest import Lay

SVG = "{http://www.w3.org/2000/svg}"
WORDS = {
    "flowing": "Flowing",
    "attention": "Needs attention",
    "stopped": "Not flowing",
    "starting": "Starting",
    "empty": "Starting",
    "hostile": "Not flowing",
    "broken": "Can't tell",
}


def read(text: str) -> ET.Element:
    """The page as a browser reads it; raises at whatever a browser would have to mend."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    tree: ET.Element = parser.parse(text)
    return tree


def said(element: ET.Element | None) -> str:
    assert element is not None
    return re.sub(r"\s+", " ", "".join(element.itertext())).strip()


def by_id(tree: ET.Element, name: str) -> ET.Element:
    found = [one for one in tree.iter() if one.get("id") == name]
    assert len(found) == 1, name
    return found[0]


def of_class(tree: ET.Element, name: str) -> list[ET.Element]:
    return [one for one in tree.iter() if name in (one.get("class") or "").split()]


class Shown:
    """One state: its world, its status and its page."""

    def __init__(self, scene: Scene | None, status: Status) -> None:
        self.scene = scene
        self.status = status
        self.text = page_of(status)
        self.tree = read(self.text)


@pytest.fixture(scope="module")
def states(lay: Lay) -> dict[str, Shown]:
    shown = {}
    for name in STATES:
        if name != "crowd":
            scene, wiring = lay(name)
            shown[name] = Shown(scene, wiring.status.read())
    shown["broken"] = Shown(None, Wiring({}).status.read())
    return shown


@pytest.fixture(params=sorted(WORDS))
def shown(states: dict[str, Shown], request: pytest.FixtureRequest) -> Shown:
    found: Shown = states[request.param]
    return found


def test_every_state_is_sound_html_with_one_heading_a_language_and_a_title(shown: Shown) -> None:
    assert shown.text.startswith("<!doctype html>")
    assert shown.tree.get("lang") == "en"
    assert [said(one) for one in shown.tree.iter("h1")] == [shown.status.verdict.sentence]
    assert said(shown.tree.find("head/title")) == f"{shown.status.verdict.word} - Mail in Dataverse"
    ids = [one.get("id") for one in shown.tree.iter() if one.get("id")]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("state", "word"), WORDS.items())
def test_the_top_says_in_a_word_a_sign_and_a_colour_how_things_stand(
    states: dict[str, Shown], state: str, word: str
) -> None:
    shown = states[state]
    top = by_id(shown.tree, "verdict")
    assert said(of_class(top, "word")[0]) == word
    level = shown.status.verdict.level.value
    assert top.get("class") == f"verdict {level}"
    assert shown.tree.get("data-level") == level
    sign = next(of_class(top, "word")[0].iter(f"{SVG}use"))
    assert sign.get("href") == f"#i-{level}"
    assert by_id(shown.tree, f"i-{level}").tag == f"{SVG}symbol"


def test_what_is_to_be_done_says_who_acts_and_since_when(states: dict[str, Shown]) -> None:
    shown = states["attention"]
    tasks = of_class(shown.tree, "task")
    assert len(tasks) == len(shown.status.verdict.tasks) == 4
    for element, task in zip(tasks, shown.status.verdict.tasks, strict=True):
        told = said(element)
        assert task.title in told
        assert task.who in told
        assert task.do.replace("`", "") in told
        assert "since 2026-" in told
    assert said(of_class(states["flowing"].tree, "todo")[0]) == "Nothing is to be done."


def test_nothing_is_asked_of_anybody(shown: Shown) -> None:
    """No stylesheet, script, picture or font by address; links lead to places of the page itself."""
    for element in shown.tree.iter():
        assert element.get("src") is None
        assert element.get("style") is None, "an inline style would need a weaker policy"
        assert not [name for name in element.attrib if name.startswith("on")]
        href = element.get("href")
        assert href is None or href.startswith(("#", "data:image/svg+xml;base64,"))
        assert element.get("action") is None
    assert "@import" not in shown.text
    assert "url(" not in shown.text


def test_every_link_into_the_page_leads_somewhere(shown: Shown) -> None:
    ids = {one.get("id") for one in shown.tree.iter()}
    for element in shown.tree.iter():
        href = element.get("href") or ""
        if href.startswith("#"):
            assert href[1:] in ids


def test_the_policy_lets_its_own_style_and_scripts_run_and_no_other(shown: Shown) -> None:
    policy = answers.shown(shown.status, params={}, headers={}).headers["Content-Security-Policy"]
    rules = {words[0]: words[1:] for part in policy.split(";") if (words := part.split())}
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == ["'none'"]
    assert rules["connect-src"] == ["'self'"]
    hashes = {
        kind: {f"'sha256-{base64.b64encode(hashlib.sha256((one.text or '').encode()).digest()).decode()}'" for one in shown.tree.iter(kind)}
        for kind in ("style", "script")
    }  # fmt: skip
    assert set(rules["style-src"]) == hashes["style"]
    assert set(rules["script-src"]) == hashes["script"]


def test_without_the_script_the_page_loads_itself_anew(shown: Shown) -> None:
    assert '<noscript><meta http-equiv="refresh" content="30"></noscript>' in shown.text


def test_what_only_the_script_can_do_is_not_shown_without_it(shown: Shown) -> None:
    assert "html:not(.js) .js-only { display: none !important; }" in shown.text
    for button in shown.tree.iter("button"):
        assert any(button in list(part.iter()) for part in of_class(shown.tree, "js-only")), said(button)


# the page and its JSON say the same


def test_the_json_holds_what_the_page_shows(states: dict[str, Shown]) -> None:
    shown = states["attention"]
    told = json.loads(answers.shown(shown.status, params={"format": "json"}, headers={}).body)
    page = said(shown.tree.find("body/main"))
    for text in (told["verdict"]["sentence"], told["verdict"]["word"], told["verdict"]["detail"]):
        assert text in page
    for number in (told["mail"]["day"]["in_dataverse"], told["mail"]["week"]["in_dataverse"], told["proof"]["seen"]):
        assert f"{number:,}" in page
    rows = by_id(shown.tree, "boxes").findall("li")
    assert [row.get("data-grant") for row in rows] == [one["grant"] for one in told["mailboxes"]]
    for row, one in zip(rows, told["mailboxes"], strict=True):
        text = said(row)
        assert one["word"] in text
        assert one["why"] in text
        assert f"{one['today']['in_dataverse']:,}" in text
        assert one["grant"] in text
    for one in told["aside"]["newest"]:
        text = said(by_id(shown.tree, f"aside-{one['grant']}-{one['key']}"))
        assert one["title"] in text
        assert one["do"] in text
        assert one["evidence"] in text
    for one in told["mail"]["errors"]:
        assert one["title"] in said(by_id(shown.tree, "errors"))
    queues = said(by_id(shown.tree, "queues"))
    for one in told["queues"]:
        assert f"{one['title']}{one['waiting']}" in queues


def test_each_bar_of_a_chart_says_what_it_shows_and_a_table_says_it_too(states: dict[str, Shown]) -> None:
    shown = states["attention"]
    charts = [one for one in by_id(shown.tree, "flow").iter(f"{SVG}svg") if one.get("role") == "img"]
    mail = shown.status.facts.mail
    assert mail is not None
    told = ("in Dataverse", "kept out by a rule or gone, 3 put aside")
    assert [one.get("aria-label") for one in charts] == [
        f"The last {span}: {tally.in_dataverse:,} {told[0]}, {tally.kept_out:,} {told[1]}"
        for span, tally in (("24 hours", mail.day), ("seven days", mail.week))
    ]
    assert len(list(charts[1].iter(f"{SVG}title"))) == 7
    tables = list(by_id(shown.tree, "flow-table").iter("table"))
    assert [said(table.find("caption")) for table in tables] == ["By the hour", "By the day"]
    assert [len(table.findall("tbody/tr")) for table in tables] == [24, 7]
    sums = [sum(int(said(row[1]).replace(",", "")) for row in table.findall("tbody/tr")) for table in tables]
    assert sums == [mail.day.in_dataverse, mail.week.in_dataverse]


def test_a_gap_is_a_bar_that_says_from_when_until_when(states: dict[str, Shown]) -> None:
    gaps = of_class(states["attention"].tree, "gap-told")
    assert [said(one) for one in gaps] == [
        "Not looked through yet from 2026-09-19 09:13 UTC until now, 2 days: it stays open until the owner signs in.",
        "Not looked through yet from 2026-09-20 09:13 UTC until now, 29 h: it is being worked through.",
    ]
    for one in gaps:
        drawing = next(one.iter(f"{SVG}svg"))
        assert drawing.get("role") == "img"
        assert (drawing.get("aria-label") or "").startswith("Not looked through yet: from 2026-09-")
        assert of_class(one, "open")
    assert of_class(states["flowing"].tree, "gap-told") == []


def test_the_budget_says_what_is_left_and_how_old_that_is(states: dict[str, Shown]) -> None:
    told = said(by_id(states["attention"].tree, "dataverse"))
    assert "Requests2,105 of 6,000 left" in told
    assert "Execution time341 of 1,200 s left" in told
    assert "It recommends 6 requests at once; the app allows itself 12." in told
    assert "Last answer 30 s ago" in told


def test_parts_that_can_t_be_read_are_told_in_their_place_and_at_the_top(states: dict[str, Shown]) -> None:
    shown = states["broken"]
    assert "AzureWebJobsStorage: is missing" in said(of_class(shown.tree, "todo")[0])
    for part in ("flow", "mailboxes", "aside", "errors", "queues", "dataverse", "proof"):
        assert "could not be read just now" in said(by_id(shown.tree, part))


def test_an_installation_without_a_mailbox_says_what_comes_first(states: dict[str, Shown]) -> None:
    shown = states["empty"]
    assert "Connect a mailbox" in said(of_class(shown.tree, "todo")[0])
    assert "No mailbox is connected." in said(by_id(shown.tree, "mailboxes"))
    assert "Nothing is put aside" in said(by_id(shown.tree, "aside"))


# what must not be there


def test_no_address_is_on_any_page(shown: Shown) -> None:
    for box in shown.scene.boxes if shown.scene else ():
        assert box.address not in shown.text
    assert "fjordlight.example" not in shown.text
    assert "@" not in shown.text.replace("@media", "")


def test_texts_from_outside_stay_texts(states: dict[str, Shown]) -> None:
    shown = states["hostile"]
    assert "<img" not in shown.text
    assert len(list(shown.tree.iter("script"))) == 2
    assert "alert(1)" in said(by_id(shown.tree, "aside")), "and are shown as what they are"
    assert "alert(1)" in said(by_id(shown.tree, "errors"))


@pytest.mark.parametrize(
    ("made", "text"),
    [
        pytest.param(tag("p", "a < b & c"), "<p>a &lt; b &amp; c</p>", id="text"),
        pytest.param(tag("p", tag("b", "x"), " y"), "<p><b>x</b> y</p>", id="markup in markup"),
        pytest.param(tag("a", 7, href='"><i>'), '<a href="&quot;&gt;&lt;i&gt;">7</a>', id="an attribute"),
        pytest.param(tag("p", None, False, [1, (2, "<")]), "<p>12&lt;</p>", id="nothing, and several"),
        pytest.param(tag("input", disabled=True, value=None, hidden=False), "<input disabled>", id="bare and absent"),
        pytest.param(tag("use", href="#a", class_="x", aria_hidden="true"), '<use href="#a" class="x" aria-hidden="true"/>', id="names"),
        pytest.param(several(Markup("<hr>"), "<hr>"), "<hr>&lt;hr&gt;", id="only markup is taken for it"),
    ],
)  # fmt: skip
def test_whatever_is_not_markup_is_escaped(made: Markup, text: str) -> None:
    assert made == text


# how it goes over the line


@pytest.mark.parametrize(
    ("params", "headers", "is_json"),
    [
        pytest.param({}, {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, False, id="a browser"),
        pytest.param({}, {"Accept": "*/*"}, False, id="anything"),
        pytest.param({}, {}, False, id="nothing said"),
        pytest.param({}, {"accept": "application/json"}, True, id="JSON"),
        pytest.param({}, {"Accept": "application/json, text/html"}, False, id="both: the page"),
        pytest.param({"format": "json"}, {"Accept": "text/html"}, True, id="by the query"),
        pytest.param({"format": "html"}, {"Accept": "application/json"}, False, id="the page by the query"),
    ],
)
def test_who_asks_for_json_gets_it(
    states: dict[str, Shown], params: dict[str, str], headers: dict[str, str], is_json: bool
) -> None:
    answer = answers.shown(states["flowing"].status, params=params, headers=headers)
    assert (answer.kind == "application/json") is is_json
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if is_json:
        assert json.loads(answer.body)["verdict"]["level"] == "good"


def test_it_is_packed_for_who_takes_it_so(states: dict[str, Shown]) -> None:
    plain = answers.shown(states["flowing"].status, params={}, headers={"Accept-Encoding": "br, identity"})
    packed = answers.shown(states["flowing"].status, params={}, headers={"Accept-Encoding": "br, gzip;q=0.8"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (90, "1 min"), (5399, "89 min"), (5400, "1 h"), (129_599, "35 h"), (129_600, "2 days"), (-5, "0 s")],
)  # fmt: skip
def test_spans_are_said_in_one_unit(seconds: int, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(None, "-"), (0.24, "0.2 s"), (9.96, "10.0 s"), (14.2, "14 s")])
def test_what_something_took(seconds: Any, text: str) -> None:
    assert brief(seconds) == text
