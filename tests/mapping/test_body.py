from __future__ import annotations

import time

import pytest

from mapping.body import LONGEST_BODY, LONGEST_DESCRIPTION, Description, body_of, is_html, mended
from mapping.notes import CUT, SNIPPET, note
from mapping.plain_text import laid_out
from mapping.sanitiser import shortened
from mapping.text import units_of
from tests.mapping.active_content import active_content

NOTE = note(CUT)


def description_of(body: str | None, snippet: str | None = None) -> Description:
    """Of a mail with one file, the picture `ii_1@x`."""
    return body_of(body, snippet).described({"ii_1@x": "ii_1@x"}, ())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("<p>Hello</p>", id="a tag first"),
        pytest.param("\ufeff \r\n<!DOCTYPE html><html>", id="a doctype"),
        pytest.param("<!-- made by x --><b>Hello", id="a comment first"),
        pytest.param('<?xml version="1.0"?><html>', id="an xml declaration"),
        pytest.param('<DIV\ndir="ltr">Hello', id="capitals, and a line inside the tag"),
        pytest.param('<img src="data:image/png;base64,AAAA', id="a tag that never ends"),
        pytest.param("<o:p></o:p>", id="Word's own"),
        pytest.param("Hello<br>World", id="laid out by br"),
        pytest.param("Dear you,<br />\n<br />\nyour order has\nbeen sent.<br>\n", id="laid out by br, with line ends"),
        pytest.param('See <a href="https://x.org">this</a>', id="a link"),
        pytest.param("One <b>bold</b> line", id="a bold word"),
    ],
)
def test_html_is_recognised(text: str) -> None:
    assert is_html(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Hello", id="no tags"),
        pytest.param("a < b and c > d", id="a comparison"),
        pytest.param("if a<b then b>a", id="a tight comparison"),
        pytest.param("<john@x.org> wrote:\n> Hello", id="an address in brackets"),
        pytest.param("<p.smith@x.org> wrote:", id="an address that starts like a tag"),
        pytest.param("<https://x.org>", id="a link in brackets"),
        pytest.param("Dear <name>,", id="a placeholder"),
        pytest.param("Use the <b> tag", id="a tag talked about"),
        pytest.param("Hi,\n\nhere it is:\n\n  <b>x</b>\n\nDo you see it?\n\nBen", id="a snippet of HTML"),
        pytest.param("Tom &amp; Jerry", id="an entity"),
        pytest.param("<3 you", id="a heart"),
    ],
)
def test_plain_text_is_recognised(text: str) -> None:
    assert not is_html(text)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(None, "", id="null"),
        pytest.param("", "", id="empty"),
        pytest.param(" \r\n\t", "", id="blank"),
        pytest.param("Hello", "<div>Hello</div>", id="a word"),
        pytest.param("a < b & c > d", "<div>a &lt; b &amp; c &gt; d</div>", id="escaped"),
        pytest.param("a\r\nb\n\nc\n", "<div>a<br>\nb<br>\n<br>\nc</div>", id="lines"),
        pytest.param("> a\n>> b", "<div>&gt; a<br>\n&gt;&gt; b</div>", id="quoting"),
        pytest.param("a\n  b", "<div>a<br>\n\xa0\xa0b</div>", id="an indent"),
        pytest.param("  a", "<div>\xa0\xa0a</div>", id="an indent at the start"),
        pytest.param("a   b", "<div>a\xa0\xa0 b</div>", id="a column"),
        pytest.param("\ta", "<div>\xa0\xa0\xa0\xa0a</div>", id="a tab"),
        pytest.param(
            "see https://x.org/?a=1&b=2.",
            '<div>see <a href="https://x.org/?a=1&amp;b=2" rel="noopener noreferrer">https://x.org/?a=1&amp;b=2</a>.</div>',
            id="a link without the full stop",
        ),
        pytest.param(
            "(http://x.org/A_(b))",
            '<div>(<a href="http://x.org/A_(b)" rel="noopener noreferrer">http://x.org/A_(b)</a>)</div>',
            id="a link with its own brackets",
        ),
        pytest.param(
            "<https://x.org>",
            '<div>&lt;<a href="https://x.org" rel="noopener noreferrer">https://x.org</a>&gt;</div>',
            id="a link in brackets",
        ),
        pytest.param("javascript:alert(1)", "<div>javascript:alert(1)</div>", id="no other scheme is a link"),
        pytest.param("a\x00b\x07", "<div>ab</div>", id="control characters"),
        pytest.param("\ufeffa", "<div>a</div>", id="a byte order mark"),
    ],
)
def test_plain_text_keeps_its_layout(body: str | None, expected: str) -> None:
    assert description_of(body) == Description(expected, truncated=False)


TABLE = (
    '<table border="0" cellpadding="4" width="100%" bgcolor="#eee"><tbody><tr>'
    '<td align="center" colspan="2" style="color:red">x</td></tr></tbody></table>'
)


@pytest.mark.parametrize(
    "html",
    [
        pytest.param(
            '<p style="color:#333333;font-family:Arial">Hi <b>you</b> <font color="red">x</font></p>', id="styles"
        ),
        pytest.param('<p style="FONT-SIZE:10pt;COLOR:red;Margin:0">Hi</p>', id="styles in capitals"),
        pytest.param('<p style="background:linear-gradient(red, blue)">Hi</p>', id="computed colours"),
        pytest.param(TABLE, id="tables"),
        pytest.param('<img src="cid:ii_1@x" width="5" alt="logo">', id="inline pictures"),
        pytest.param('<img src="https://x.org/a.png">', id="pictures on the web"),
        pytest.param('<img src="data:image/png;base64,iVBORw0KGgo=">', id="pictures written as data"),
        pytest.param('<a href="mailto:a@x.org" rel="noopener noreferrer">a</a>', id="mail links"),
        pytest.param('<blockquote style="margin:0 0 0 4px">&gt; quoted</blockquote>', id="quotes"),
        pytest.param("<ul><li>日本語 😀 é</li></ul>", id="lists and scripts"),
    ],
)
def test_what_a_mail_shows_stays(html: str) -> None:
    assert description_of(html) == Description(html, truncated=False)


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        pytest.param("<p>a<script>alert(1)</script>b</p>", "<p>ab</p>", id="scripts"),
        pytest.param('<p onclick="x()" onmouseover=x>a</p>', "<p>a</p>", id="handlers"),
        pytest.param("<style>p{color:red}</style><title>t</title><p>a</p>", "<p>a</p>", id="style sheets and titles"),
        pytest.param('<p>a</p><iframe src="https://x.org">b</iframe>', "<p>a</p>", id="frames"),
        pytest.param('<form action="https://x.org"><input name="p">a<button>b</button></form>', "ab", id="forms"),
        pytest.param("<select><option>a</select><textarea>b</textarea><p>c</p>", "<p>c</p>", id="fields"),
        pytest.param("<object data=x><embed src=y></object><svg><a>x</a></svg><p>a</p>", "<p>a</p>", id="objects"),
        pytest.param(
            "<base href='https://x.org'><meta http-equiv=refresh><link href=x><p>a</p>", "<p>a</p>", id="heads"
        ),
        pytest.param("<!--[if mso]><p>b</p><![endif]--><p>a</p>", "<p>a</p>", id="comments"),
        pytest.param(
            '<a href="javascript:x()">a</a>', '<a rel="noopener noreferrer">a</a>', id="links that do something"
        ),
        pytest.param(
            '<a href="java&#10;script:x()">a</a>', '<a rel="noopener noreferrer">a</a>', id="the same, broken up"
        ),
        pytest.param('<img src="data:text/html,x"><p>a</p>', "<p>a</p>", id="data that is no picture"),
        pytest.param('<img src="data:image/svg+xml,x"><p>a</p>', "<p>a</p>", id="a picture that is a document"),
        pytest.param(
            '<a href="data:image/png;base64,AA">a</a>', '<a rel="noopener noreferrer">a</a>', id="data that is followed"
        ),
        pytest.param(
            '<a href="&#1;data:text/html,x">data:</a>',
            '<a rel="noopener noreferrer">data:</a>',
            id="data behind a control",
        ),
        pytest.param('<img src="/main.aspx"><p>a</p>', "<p>a</p>", id="addresses without a host lead into the CRM"),
        pytest.param('<img src="//x.org/a.png">', '<img src="https://x.org/a.png">', id="a host without a scheme"),
        pytest.param(
            '<p style="position:fixed;color:red">a</p>', '<p style="color:red">a</p>', id="what covers the page"
        ),
        pytest.param(
            '<p style="background:url(https://x.org/a.png);color:red">a</p>',
            '<p style="color:red">a</p>',
            id="what fetches",
        ),
        pytest.param(
            '<p style="background:\\75rl(https://x.org);color:red">a</p>',
            '<p style="color:red">a</p>',
            id="the same, escaped",
        ),
        pytest.param(
            "<p style=\"background:image-set('//x.org/a.png' 1x)\">a</p>", "<p>a</p>", id="what fetches a set"
        ),
        pytest.param(
            "<p style=\"background:-webkit-Image-Set('//x.org/a' 1x)\">a</p>", "<p>a</p>", id="the same, in Chrome"
        ),
        pytest.param(
            "<p style=\"background:\\69mage-set('//x.org/a' 1x)\">a</p>", "<p>a</p>", id="the same, escaped once"
        ),
        pytest.param("<p style=\"background:image('https://x.org/a')\">a</p>", "<p>a</p>", id="what fetches an image"),
        pytest.param(
            "<p style=\"background:cross-fade('//x.org/a', red)\">a</p>", "<p>a</p>", id="what fetches to mix"
        ),
        pytest.param("<p style=\"background:src('//x.org/a')\">a</p>", "<p>a</p>", id="what fetches by another name"),
        pytest.param(
            '<p style="font-family:\\5B8B\\4F53">a</p>', '<p style="font-family:宋体">a</p>', id="a font's escape"
        ),
        pytest.param('<img src="///x.org"><p>a</p>', "<p>a</p>", id="a host that is none"),
        pytest.param("<img alt='x'><p>a</p>", "<p>a</p>", id="pictures without a source"),
        pytest.param("<p>a&#1;b</p>", "<p>ab</p>", id="control characters as references"),
    ],
)
def test_what_a_mail_does_goes(html: str, expected: str) -> None:
    assert description_of(html) == Description(expected, truncated=False)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("word " * 300_000, id="plain text"),
        pytest.param("\n" * 5 + "& < 😀\n" * 300_000, id="plain text that grows"),
        pytest.param("x" * 1_200_000, id="one word"),
        pytest.param("<div><p><b>" + "some words &amp; 😀 " * 80_000, id="HTML with open tags"),
        pytest.param('<p title="a>b">ten words in a row</p>' * 60_000, id="HTML of many tags"),
        pytest.param("<table><tr><td>" * 10_000 + "word " * 300_000, id="HTML deeper than the room for closing it"),
        pytest.param("<p>" + "x" * (LONGEST_BODY - 3) + "</p>", id="a body longer than is looked at"),
    ],
)
def test_a_long_body_is_cut_and_says_so(body: str) -> None:
    description = description_of(body)
    assert description.truncated
    assert description.html.endswith(NOTE)
    assert LONGEST_DESCRIPTION * 0.5 < units_of(description.html) <= LONGEST_DESCRIPTION
    assert active_content(description.html) == []


@pytest.mark.parametrize(
    ("body", "piece", "most"),
    [
        pytest.param("<p>a</p>" * 30_000, "<p>a</p>", 20_000, id="tags"),
        pytest.param("<p>" + "a&amp; " * 60_000, "&amp;", 50_000, id="entities"),
    ],
)
def test_of_very_many_marks_the_first_are_kept(body: str, piece: str, most: int) -> None:
    description = description_of(body)
    assert description.truncated
    assert description.html.count(piece) == most


def test_plain_text_fits_to_the_unit() -> None:
    assert laid_out("xx", 13) == ("<div>xx</div>", True)
    assert laid_out("xxx", 13) == ("<div></div>", False)


def test_a_cut_never_shows_half_an_entity() -> None:
    for lead in range(8):
        html = description_of("<p>" + "x" * lead + "&lt; word " * 120_000).html.removesuffix("</p>" + NOTE)
        assert not html.endswith(("&", "&l", "&lt", "&amp;l", "&amp;lt"))


@pytest.mark.parametrize("most", range(12_000, 12_016))
def test_a_cut_never_shows_half_a_tag(most: int) -> None:
    html = shortened('word<br><b title="x">' * 1_000, most)
    assert units_of(html) <= most
    assert "&lt;" not in html


def test_pictures_written_as_data_go_before_any_word_does() -> None:
    picture = '<img src="data:image/png;base64,' + "A" * LONGEST_DESCRIPTION + '">'
    assert description_of(f"<p>a</p>{picture}<p>b</p>") == Description(f"<p>a</p><img><p>b</p>{NOTE}", truncated=True)


def test_a_body_of_just_the_longest_length_stays_whole() -> None:
    html = "<p>" + "x" * (LONGEST_DESCRIPTION - 7) + "</p>"
    assert description_of(html) == Description(html, truncated=False)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("<p>" + "x" * (LONGEST_DESCRIPTION - 6) + "</p>", id="a unit longer"),
        pytest.param("<img src='cid:a'>" * 30_000, id="pictures that are not here make it longer"),
        pytest.param("<p>a</p><!--" + "x" * LONGEST_BODY + "-->", id="something nobody sees is left out"),
    ],
)
def test_whatever_cuts_a_body_it_is_said_in_words_and_in_notifications(body: str) -> None:
    description = description_of(body)
    assert description.truncated
    assert description.html.endswith(NOTE)
    assert units_of(description.html) <= LONGEST_DESCRIPTION


def test_a_body_gives_way_to_what_is_told_of_it() -> None:
    body = body_of("<p>" + "x" * (LONGEST_DESCRIPTION - 7) + "</p>")
    description = body.described({}, ("a", "b" * 30_000))
    assert description.truncated
    assert description.html.endswith(f"</p>{NOTE}{note('a')}{note('b' * 30_000)}")
    assert units_of(description.html) <= LONGEST_DESCRIPTION


def test_what_is_only_long_for_its_trackers_is_whole() -> None:
    html = "<p>" + "x" * (LONGEST_DESCRIPTION - 7) + "</p>"
    assert description_of('<img src="https://x.org/1" width="1" height="1">' * 900 + html) == Description(html, False)


HOSTILE = {
    "formatting left open": "<p>" + "".join(f"<font color=c{n}>" for n in range(4000)) + "</p>" + "<p>x" * 4000,
    "the same in odd quotes": "<p>" + "".join(f"<font a='>{n}'>" for n in range(2000)) + "</p>" + "<p>x" * 2000,
    "long formatting left open": "<p>" + f"<b title='{'x' * 20_000}'>" * 3 + "</p>" + "<p>x" * 5000,
    "nested tags": "<ul><li>" * 4000,
    "attributes without end": "<p " + " ".join(f"a{n}=1" for n in range(250_000)) + ">x",
    "the same with brackets": "<p " + "".join(f"=a{n}='>'" for n in range(250_000)) + ">x",
    "entities": "<p>" + "&" * 60_000,
    "link of brackets": "http://x.org/" + ")" * 200_000,
    "blanks": "<p>" + " " * 1_000_000 + "<",
    "tag never closed": "<p " * 300_000,
    "comments never closed": "<!--" * 250_000,
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in HOSTILE.items()])
def test_a_hostile_body_costs_no_more_than_a_moment(body: str) -> None:
    """Without its bounds each of these takes from ten seconds to hours, or gigabytes."""
    before = time.process_time()
    description = description_of(body)
    assert time.process_time() - before < 3
    assert units_of(description.html) <= LONGEST_DESCRIPTION
    assert active_content(description.html) == []


def test_what_lies_beyond_the_longest_body_is_said_to_be_missing() -> None:
    body = "<p>a</p><!--" + "x" * LONGEST_BODY + "--><p>b</p>"
    assert description_of(body) == Description(f"<p>a</p>{NOTE}", truncated=True)


def test_formatting_survives_the_bounds() -> None:
    """Mail of very many tags is read with stand-ins for the formatting tags, and they are put back."""
    cell = '<td><b><i>a</i></b><font color="red" size="2">b</font></td>'
    html = (
        "<table><tbody>"
        + "".join(f'<tr><td><font color="#{n:06}">c</font></td>{cell * 8}</tr>' for n in range(300))
        + "</tbody></table>"
    )
    assert description_of(html) == Description(html, truncated=False)


@pytest.mark.parametrize(
    ("body", "snippet", "expected"),
    [
        pytest.param(None, "Dear Ann, I", f"<div>Dear Ann, I</div>{note(SNIPPET)}", id="no text"),
        pytest.param(" \n", "a <b> & c", f"<div>a &lt;b&gt; &amp; c</div>{note(SNIPPET)}", id="nothing but blanks"),
        pytest.param("", "a\x00\ud800", f"<div>a\ufffd</div>{note(SNIPPET)}", id="what no column holds"),
        pytest.param("<p>b</p>", "Dear Ann, I", "<p>b</p>", id="a text that is there stands for itself"),
        pytest.param("", " ", "", id="nothing at all"),
    ],
)
def test_where_the_text_was_lost_its_beginning_stands_for_it(body: str | None, snippet: str, expected: str) -> None:
    assert description_of(body, snippet) == Description(expected, truncated=SNIPPET in expected)


@pytest.mark.parametrize(
    ("read", "written"),
    [
        pytest.param(
            "caf\u00c3\u00a9 \u00e2\u20ac\u0153bar\u00e2\u20ac\u009d", "café “bar", id="UTF-8 taken for Windows-1252"
        ),
        pytest.param(
            "\u00d0\u0178\u00d1\u20ac\u00d0\u00b8\u00d0\u00b2\u00d0\u00b5\u00d1\u201a", "Привет", id="Cyrillic"
        ),
        pytest.param("São Paulo, naïve, 5 €", "São Paulo, naïve, 5 €", id="letters that are right stay"),
        pytest.param("Â", "Â", id="a letter that could begin such a thing stays"),
        pytest.param("日本語", "日本語", id="other scripts stay"),
        pytest.param("&lt;b&gt; a &amp;amp; b", "&lt;b&gt; a &amp;amp; b", id="entities are not touched"),
    ],
)
def test_a_charset_that_lied_is_put_right_where_that_can_be_told(read: str, written: str) -> None:
    assert written in mended(read)


def test_what_was_misread_is_mended_with_the_controls_that_are_parts_of_its_characters() -> None:
    read = "420 m² \u2013 für „uns“".encode().decode("latin-1")
    assert body_of(f"<p>{read}</p>").html == "<p>420 m² \u2013 für „uns“</p>"


def test_mending_never_takes_long() -> None:
    before = time.process_time()
    for text in ("\u00c3\u201a\u00c2" * 130_000, "â€™Ã©" * 100_000, "Ã" + "x" * 399_000 + "©", "Ã©" * 2_000_000):
        mended(text)
    assert time.process_time() - before < 5
