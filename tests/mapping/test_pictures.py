from __future__ import annotations

import time

import pytest

from mapping.body import body_of
from mapping.notes import MISSING_PICTURE
from mapping.pictures import LONGEST_NAME, pictures_in, reference, shown
from tests.mapping.active_content import active_content, trackers

HERE = {"logo@x": "logo@x", "logo.png": "abc@picture"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("cid:Logo@X", "logo@x", id="case does not count"),
        pytest.param("CID:logo@x", "logo@x", id="nor that of the scheme"),
        pytest.param("<logo@x>", "logo@x", id="brackets"),
        pytest.param("cid:<logo@x>", "logo@x", id="brackets in the body"),
        pytest.param("cid:my%20logo.png", "my logo.png", id="percent-encoded"),
        pytest.param(" cid:logo@x ", "logo@x", id="blanks around"),
        pytest.param("ci\nd:lo\r\n\tgo@x", "logo@x", id="folded, as browsers read it"),
        pytest.param("STRASSE.png", "strasse.png", id="a name"),
        pytest.param("stra\u00dfe.png", "strasse.png", id="letters that are one in capitals"),
        pytest.param("cid:", "", id="nothing"),
        pytest.param("", "", id="no source"),
    ],
)
def test_a_content_id_is_compared_however_it_is_written(source: str, expected: str) -> None:
    assert reference(source) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        pytest.param('<img src="cid:b"><img alt="x" src="cid:a">', ("b", "a"), id="in their order"),
        pytest.param('<img src="cid:a"><img src="CID:A">', ("a",), id="each once"),
        pytest.param(
            '<img src="https://x.org/a.png"><img src="data:image/png;base64,A">', (), id="others are not ours"
        ),
        pytest.param('<img src="cid:a&amp;b">', ("a&b",), id="with an entity"),
        pytest.param('<p title="<img src=cid:a>">cid:a</p><a href="cid:b">b</a>', (), id="only pictures call"),
        pytest.param("<img>", (), id="no source"),
        pytest.param("<p>a</p>", (), id="none"),
    ],
)
def test_the_pictures_a_body_calls(html: str, expected: tuple[str, ...]) -> None:
    assert pictures_in(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        pytest.param('<img src="cid:logo@x">', '<img src="cid:logo@x">', id="by its content id"),
        pytest.param('<img src="cid:LOGO@X">', '<img src="cid:logo@x">', id="in the case it is carried under"),
        pytest.param('<img src="cid:logo.png">', '<img src="cid:abc@picture">', id="by its name"),
        pytest.param(
            '<img alt="a" src="cid:logo.png" width="5">', '<img alt="a" src="cid:abc@picture" width="5">', id="all else stays"
        ),
        pytest.param(
            '<img alt="a src=" src="cid:logo.png">', '<img alt="a src=" src="cid:abc@picture">', id="words that look like it"
        ),
        pytest.param(
            '<img src="https://x.org/a.png" width="600">', '<img src="https://x.org/a.png" width="600">', id="pictures on the web"
        ),
        pytest.param(
            '<img src="data:image/png;base64,A" width="1">', '<img src="data:image/png;base64,A" width="1">', id="data tells nobody"
        ),
        pytest.param("<p>a<img>b</p>", "<p>ab</p>", id="nothing to show"),
        pytest.param("<p>a</p>", "<p>a</p>", id="no picture"),
    ],
)  # fmt: skip
def test_a_picture_is_called_by_the_id_it_is_carried_under(html: str, expected: str) -> None:
    assert shown(html, HERE) == expected


@pytest.mark.parametrize(
    ("html", "told"),
    [
        pytest.param('<img src="cid:ii_1@x">', "ii_1", id="by its id"),
        pytest.param('<img src="cid:chart%201.png@x">', "chart 1.png", id="by its name"),
        pytest.param('<img alt="Our  chart" src="cid:ii_1@x">', "Our chart", id="by what stands for it"),
        pytest.param('<img title="Chart" src="cid:ii_1@x">', "Chart", id="by its title"),
        pytest.param('<img alt="a [b] &lt;c&gt;" src="cid:x">', "a (b) &lt;c&gt;", id="nothing that ends the note"),
        pytest.param(f'<img alt="{"x" * 300}" src="cid:x">', "x" * LONGEST_NAME, id="shortly"),
    ],
)
def test_a_picture_that_is_not_here_leaves_a_note_in_its_place(html: str, told: str) -> None:
    assert shown(f"<p>a{html}b</p>", {}) == f"<p>a<span>[{MISSING_PICTURE} {told}]</span>b</p>"


UNSEEN = [
    pytest.param('width="1" height="1"', id="one by one"),
    pytest.param('width="0" height="0"', id="nothing by nothing"),
    pytest.param('width="2"', id="one side"),
    pytest.param('height="01px"', id="a leading zero"),
    pytest.param('width="x" height="1"', id="a size that is none"),
    pytest.param('width="600" height="0"', id="wide and of no height"),
    pytest.param('style="width:1px;height:1px"', id="by style"),
    pytest.param('style="height:1px !important;width:1px !important" width="600" height="600"', id="style before size"),
    pytest.param('style="max-width:0" width="600" height="600"', id="bounded to nothing"),
    pytest.param('style="max-height:1px;max-width:1px"', id="bounded to a point"),
    pytest.param('width="1" height="1" style="max-width:100%"', id="bounded by what it never reaches"),
    pytest.param('style="display:none"', id="not shown"),
    pytest.param('style="color:red; DISPLAY : None ! important"', id="not shown, however it is written"),
    pytest.param('style="visibility:hidden"', id="hidden"),
    pytest.param('style="opacity:0.0"', id="transparent"),
    pytest.param('style="width:0%"', id="no part of the page"),
]


@pytest.mark.parametrize("look", UNSEEN)
@pytest.mark.parametrize(
    "source",
    [
        pytest.param("https://x.org/o.gif", id="https"),
        pytest.param("HTTP://x.org/o.gif", id="http"),
        pytest.param("//x.org/o.gif", id="no scheme"),
        pytest.param(" ht&#10;tp://x.org/o.gif", id="broken up"),
    ],
)
def test_a_picture_that_only_tells_its_sender_that_it_was_looked_at_goes(look: str, source: str) -> None:
    html = body_of(f'<p>a<img src="{source}" {look}>b</p>').described({}, ()).html
    assert html == "<p>ab</p>"


@pytest.mark.parametrize(
    "look",
    [
        pytest.param("", id="of no size"),
        pytest.param('width="3" height="1"', id="a line"),
        pytest.param('width="1" height="20"', id="a spacer"),
        pytest.param('style="width:100%;height:auto"', id="as wide as the page"),
        pytest.param('style="width:2em"', id="two letters wide"),
        pytest.param('style="display:block;opacity:0.5"', id="half seen"),
        pytest.param('style="max-width:600px"', id="bounded"),
        pytest.param('style="border-width:0;line-height:1"', id="other properties"),
    ],
)
def test_a_picture_that_is_seen_stays(look: str) -> None:
    html = body_of(f'<img src="https://x.org/a.png" {look}>').described({}, ()).html
    assert 'src="https://x.org/a.png"' in html
    assert trackers(html) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("logo.png", "cid:logo.png", id="its name"),
        pytest.param("Our Logo (2).JPEG", "cid:Our Logo (2).JPEG", id="any name of a picture"),
        pytest.param("logo.svg", None, id="one that is a document"),
        pytest.param("img/logo.png", None, id="a path leads into the CRM"),
        pytest.param("/logo.png", None, id="from its root too"),
        pytest.param("logo.png?x", None, id="a question"),
        pytest.param("logo", None, id="no name of a picture"),
    ],
)
def test_a_picture_called_by_its_bare_name_came_with_the_mail(source: str, expected: str | None) -> None:
    """osTicket#779: some programs write the name of the file where its content id belongs."""
    html = body_of(f'<p>a</p><img src="{source}">').html
    assert html == (f'<p>a</p><img src="{expected}">' if expected else "<p>a</p><img>")


def test_a_small_picture_of_the_mail_s_own_stays() -> None:
    html = '<img src="cid:logo@x" width="1" height="1">'
    assert shown(html, HERE) == html


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('<img alt="a src=" src="cid:x onerror=alert(1) y">', id="a source behind the word"),
        pytest.param(
            "<img alt=' src=\"cid:x' title='\" onerror=alert(1) ' src='cid:x onerror=alert(1) y'>", id="quotes"
        ),
        pytest.param('<img src="cid:x&quot;onerror=&quot;alert(1)">', id="a quote in the id"),
        pytest.param('<p title="<img " lang=" src="><img src="cid:x onerror=alert(1) y"></p>', id="a tag in a title"),
        pytest.param("<img alt='<script>' src='cid:nobody'>", id="a script in the name"),
    ],
)
def test_no_picture_s_id_or_name_gets_out_of_its_quotes(body: str) -> None:
    safe = body_of(body)
    everything = dict.fromkeys(safe.pictures, "abc@picture")
    for carried in (everything, {}):
        assert active_content(safe.described(carried, ()).html) == []


def test_hostile_pictures_take_no_longer_than_a_moment() -> None:
    before = time.process_time()
    for html in ("<img " * 40_000, '<img a="' * 40_000, "<img" + " a" * 500_000, "<img src='cid:a'>" * 40_000):
        safe = body_of("<p>" + html)
        safe.described({}, ())
        shown(html, {})
        pictures_in(html)
    assert time.process_time() - before < 10
