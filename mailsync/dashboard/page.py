"""The status page as one piece of HTML: no request leaves it, and it says the same without its script.

The script only refreshes it, sorts and finds mailboxes, and asks the manage endpoints with a key that is typed in. So
there is one place where each thing is put into words: here and in the parts.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from mailsync.dashboard.boxes import mailboxes
from mailsync.dashboard.elements import code, favicon, icon_symbols, section
from mailsync.dashboard.facts import Facts, Status, Verdict
from mailsync.dashboard.flow import flow
from mailsync.dashboard.gauges import dataverse, proof, queues
from mailsync.dashboard.held_up import errors, put_aside
from mailsync.dashboard.markup import Markup, tag
from mailsync.dashboard.said import age, many, when
from mailsync.dashboard.top import figures, verdict

HERE = Path(__file__).parent
REFRESH = 15
"""Seconds between two refreshes by the script; without it the page is loaded anew every thirty."""
TITLE = "Mail in Dataverse"


def _asset(name: str) -> Markup:
    return Markup((HERE / name).read_text(encoding="utf-8").strip())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


STYLE = _asset("page.css")
SCRIPT = _asset("page.js")
BEGIN = Markup('document.documentElement.classList.add("js")')
"""What is only there for the script is shown from the first moment on, so that nothing moves."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src {_hash(SCRIPT)} {_hash(BEGIN)}",
        f"style-src {_hash(STYLE)}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def page_of(status: Status) -> str:
    """The whole page."""
    facts = status.facts
    body = tag(
        "body",
        tag("a", "Skip to the mailboxes", class_="skip", href="#mailboxes"),
        icon_symbols(),
        _head_line(facts),
        tag(
            "main",
            verdict(status.verdict, facts),
            figures(facts),
            flow(facts.mail),
            mailboxes(facts),
            put_aside(facts.aside),
            errors(facts),
            tag("div", queues(facts), dataverse(facts), proof(facts), class_="three"),
            _explain(),
            id="main",
        ),
        _foot(facts),
        tag("script", SCRIPT),
        data_made=facts.made,
        data_refresh=REFRESH,
    )
    whole = tag("html", _head(status.verdict), body, lang="en", data_level=status.verdict.level)
    return f"<!doctype html>\n{whole}\n"


def _head(said: Verdict) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{said.word} - {TITLE}"),
        tag("link", rel="icon", href=favicon(said.level), id="favicon"),
        tag("script", BEGIN),
        tag("style", STYLE),
        tag("noscript", tag("meta", http_equiv="refresh", content="30")),
    )


def _head_line(facts: Facts) -> Markup:
    key = tag(
        "form",
        tag("label", "Admin key", for_="key"),
        tag("input", type="password", id="key", autocomplete="off", spellcheck="false", aria_describedby="key-says"),
        tag("button", "Use it", type="submit"),
        tag("p", "Shows addresses, replays and explains. It is kept in this tab alone.", id="key-says"),
        id="key-form",
        hidden=True,
    )
    return tag(
        "header",
        tag("p", TITLE, class_="name"),
        tag(
            "p",
            "As of ",
            when(facts.made),
            ", ",
            age(facts.made, facts.made),
            class_="as-of",
        ),
        tag(
            "button",
            "Admin key",
            id="key-button",
            type="button",
            class_="js-only quiet",
            aria_expanded="false",
            aria_controls="key-form",
        ),
        tag("div", key, data_keep=True, class_="js-only key"),
        tag("p", role="status", id="announce", class_="unseen", data_keep=True),
    )


def _foot(facts: Facts) -> Markup:
    return tag(
        "footer",
        tag(
            "p",
            f"Loaded anew every {REFRESH} seconds while it is looked at. ",
            "Numbers come from roll-ups that lag by some seconds; the nightly proof is what is certain. ",
            "The same as JSON: ",
            tag("code", "Accept: application/json"),
            ".",
        ),
        tag(
            "p",
            f"{many(facts.instances.instances, 'instance')} told of themselves of late." if facts.instances else None,
        ),
    )


def _explain() -> Markup:
    form = tag(
        "form",
        tag("label", "Mailbox", for_="explain-mailbox"),
        tag(
            "input",
            id="explain-mailbox",
            required=True,
            autocomplete="off",
            spellcheck="false",
            placeholder="grant id or address",
        ),
        tag("label", "Message", for_="explain-message"),
        tag(
            "input",
            id="explain-message",
            required=True,
            autocomplete="off",
            spellcheck="false",
            placeholder="Nylas id or Message-ID",
        ),
        tag("button", "Explain", type="submit"),
        id="explain-form",
        class_="js-only",
    )
    return section(
        "explain",
        "Explain a message",
        tag(
            "div",
            form,
            tag("div", id="explained", aria_live="polite"),
            tag(
                "noscript",
                tag("p", code("`python -m mailsync explain MAILBOX MESSAGE` tells every step of one message.")),
            ),
            data_keep=True,
        ),
        note="Why it is, or is not, in Dataverse. Needs the admin key.",
    )
