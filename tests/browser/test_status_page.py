"""The status page in a real browser: readable by everybody, refreshed in place, silent about people without the key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request, WebError, expect

from mailsync.storage.mailboxes import PARTITION
from mailsync.storage.tables import Table
from sandbox.browser import AXE
from tests.browser.served import ADMIN_KEY, FUNCTION_KEY, Served
from tests.browser.states import Scene

PICTURES = Path(__file__).parent / "pictures"
DESKTOP, PHONE = (1280, 900), (390, 844)
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
SHIFTS = """() => {
  window.shifted = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) for (const source of entry.sources)
      window.shifted.push(source.node && (source.node.id || source.node.className || source.node.textContent || source.node.nodeName).toString().slice(0, 60));
  }).observe({ type: "layout-shift", buffered: false });
}"""

Open = Callable[..., Page]


class Watched:
    """What a context did that a page of ours must not do."""

    def __init__(self, context: BrowserContext) -> None:
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        context.on("request", self._requested)
        context.on("console", self._said)
        context.on("weberror", self._failed)
        context.on("dialog", self._asked)

    def _requested(self, request: Request) -> None:
        self.requests.append(request)

    def _failed(self, error: WebError) -> None:
        self.complaints.append(str(error.error))

    def _said(self, message: ConsoleMessage) -> None:
        # an answer that is no success is told by the browser itself, and in the page by us
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource: the server"):
            self.complaints.append(message.text)

    def _asked(self, dialog: Dialog) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()


@contextmanager
def context_of(browser: Browser, served: Served, **more: Any) -> Iterator[tuple[BrowserContext, Watched]]:
    """A context in which, whatever happens, nothing leaves the page's own origin and nothing is complained of."""
    size = more.pop("size", DESKTOP)
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, timezone_id="UTC", locale="en-GB", **more
    )
    watched = Watched(context)
    try:
        yield context, watched
        for request in watched.requests:
            assert request.url.startswith((f"{served.origin}/", "data:image/svg+xml")), request.url
            assert ADMIN_KEY not in request.url
            assert FUNCTION_KEY not in request.url or request.is_navigation_request()
    finally:
        context.close()
    assert watched.complaints == []


@pytest.fixture
def look(browser: Browser, served: Served) -> Iterator[Open]:
    """Opens the page of a state as somebody with the function key does."""
    with context_of(browser, served) as (context, _):

        def opened(state: str, size: tuple[int, int] = DESKTOP) -> Page:
            page = context.new_page()
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.goto(served.url(state))
            return page

        yield opened


def refresh(page: Page) -> None:
    """Let the page ask for itself anew, and return when it has taken the answer."""
    with page.expect_response(lambda answer: answer.url.endswith("/api/status")):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(80)


def give_key(page: Page, key: str = ADMIN_KEY) -> None:
    page.get_by_role("button", name="Admin key").click()
    page.get_by_label("Admin key", exact=True).fill(key)
    page.keyboard.press("Enter")


def told(page: Page) -> str:
    return page.locator("body").inner_text()


def violations(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds wrong: the rule, and some of the elements that break it. Of hidden mailboxes there are hundreds."""
    page.evaluate("document.querySelectorAll('#boxes > li[hidden]').forEach((one) => one.remove())")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("rules => axe.run(document, rules)", RULES)
    return [(one["id"], [node["html"][:160] for node in one["nodes"][:3]]) for one in found["violations"]]


# for everybody


def test_the_checker_finds_what_is_wrong(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<html><body><img src='data:,'><p style='color:#aaa'>pale</p><button></button></body></html>")
    assert {rule for rule, _ in violations(page)} >= {"image-alt", "color-contrast", "button-name", "html-has-lang"}
    page.close()


SEEN = [
    *(
        (state, DESKTOP, "light")
        for state in ("flowing", "attention", "stopped", "empty", "broken", "hostile", "crowd")
    ),
    *((state, PHONE, "dark") for state in ("flowing", "attention", "stopped", "starting")),
    ("attention", PHONE, "light"),
]
"""Each level's colours, in the light and in the dark, and each layout."""


@pytest.mark.parametrize(
    ("state", "size", "scheme"), SEEN, ids=lambda told: told if isinstance(told, str) else str(told[0])
)
def test_every_state_is_readable_by_everybody(
    browser: Browser, served: Served, state: str, size: tuple[int, int], scheme: str
) -> None:
    """By axe's rules, on a desk and on a phone, in the light and in the dark, with some mailboxes opened."""
    with context_of(browser, served, size=size, color_scheme=scheme, reduced_motion="reduce") as (context, _):
        page = context.new_page()
        page.goto(served.url(state))
        PICTURES.mkdir(exist_ok=True)
        name = f"{state}-{'phone' if size == PHONE else 'desktop'}-{scheme}"
        page.screenshot(path=PICTURES / f"{name}.png", full_page=state != "crowd")
        page.evaluate("document.querySelectorAll('#boxes details').forEach((box, place) => { box.open = place < 4 })")
        page.evaluate("document.querySelectorAll('#flow details').forEach((one) => { one.open = true })")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], "nothing is wider than the screen"
        assert page.evaluate("document.getAnimations().length") == 0, "nothing moves"


def test_the_answer_is_on_the_first_screen_of_a_phone(look: Open) -> None:
    page = look("attention", PHONE)
    for place in (page.locator(".word"), page.locator("#sentence"), page.locator(".task").first):
        box = place.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < PHONE[1]


def test_everything_is_reached_and_used_by_keyboard(look: Open) -> None:
    page = look("attention")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the mailboxes")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Admin key")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Admin key", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Admin key")).to_be_focused()
    expect(page.locator("#key-form")).to_be_hidden()
    seen: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        here = page.evaluate(
            """() => {
              const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);
              return [one.closest("section")?.id || one.localName, one.id || one.textContent.trim().slice(0, 40),
                      box.width > 0 && box.height > 0, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
            }"""
        )
        if here[0] == "body":
            break
        assert here[2], f"{here} can be seen"
        assert here[3], f"{here} shows that it is focused"
        if here[1] not in {"find", "show", "sort"}:
            assert here[0] != "mailboxes" or "ago" in here[1] or here[1], here
        if here[0] not in seen:
            seen.append(here[0])
    assert seen == ["verdict", "flow", "mailboxes", "aside", "explain"], "in the order of the page"
    page.locator("#boxes summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#boxes .more").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#boxes .more").first).to_be_hidden()


def test_a_screen_reader_is_told_what_a_mailbox_s_line_says(look: Open) -> None:
    page = look("attention", PHONE)
    line = page.locator("#boxes summary").nth(2)
    assert re.sub(r"\s+", " ", line.inner_text()).startswith("Unexplained 57ee05cd Exchange")
    assert "looked through 3 min ago" in re.sub(r"\s+", " ", line.inner_text())
    assert line.locator("svg.icon").get_attribute("aria-hidden") == "true"
    sections = page.locator("main section").evaluate_all("all => all.map((one) => one.getAttribute('aria-labelledby'))")
    for name in sections:
        expect(page.locator(f"#{name}")).to_have_count(1)


def test_without_a_script_it_says_the_same_and_shows_nothing_that_needs_one(browser: Browser, served: Served) -> None:
    with context_of(browser, served, java_script_enabled=False) as (context, _):
        page = context.new_page()
        page.goto(served.url("attention"))
        expect(page.locator("#sentence")).to_have_text("Mail is flowing for 11 of 13 mailboxes.")
        assert page.locator("button:visible, input:visible, select:visible").count() == 0
        assert page.locator("#boxes > li:visible").count() == 14
        page.locator("#boxes summary").first.click()
        expect(page.locator("#boxes .gap").first).to_be_visible()
        expect(page.locator("noscript p")).to_be_visible()


# refreshed in place


def change(scene: Scene, grant: str, **columns: str) -> None:
    Table(scene.account, "mailboxes").put({"PartitionKey": PARTITION, "RowKey": grant, **columns}, merge=True)


def test_it_refreshes_itself_in_place_and_nothing_moves(look: Open, served: Served, scenes: dict[str, Scene]) -> None:
    page, scene = look("flowing"), scenes["flowing"]
    first = page.locator("#boxes > li").first
    grant = first.get_attribute("data-grant") or ""
    first.locator("summary").click()
    page.locator("#find").fill("e")
    page.evaluate("window.scrollTo(0, 420)")
    page.evaluate(SHIFTS)
    sentence = page.locator("#sentence").element_handle()
    change(scene, grant, last_written=str(scene.now - 5))
    scene.queued(2)
    served.worlds["flowing"].status.forget()
    refresh(page)
    expect(page.locator(f"[data-grant='{grant}'] summary")).to_contain_text("5 s ago")
    expect(page.locator("#queues tbody tr").first).to_contain_text("5")
    assert sentence is not None
    assert sentence.evaluate("one => one.isConnected"), "what has not changed was left in its place"
    expect(page.locator(f"[data-grant='{grant}'] .more")).to_be_visible()
    expect(page.locator("#find")).to_have_value("e")
    expect(page.locator("#find")).to_be_focused()
    assert page.evaluate("window.scrollY") == 420
    assert page.evaluate("window.shifted") == []
    page.evaluate(
        "document.querySelector('#sentence').prepend(Object.assign(document.createElement('p'), { textContent: 'x' }))"
    )
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_function("window.shifted.length > 0"), "a shift would have been seen"


def test_a_mailbox_that_comes_and_one_that_gets_worse_find_their_places(
    look: Open, served: Served, scenes: dict[str, Scene]
) -> None:
    page, scene = look("starting"), scenes["starting"]
    assert page.locator("#boxes > li").count() == 2
    worse = page.locator("#boxes > li").last.get_attribute("data-grant") or ""
    change(scene, worse, status="invalid", since=str(scene.now - 60))
    change(scene, "00000000-new", status="valid", provider="imap", connected=str(scene.now - 30), email="x@y.example")
    served.worlds["starting"].status.forget()
    refresh(page)
    grants = page.locator("#boxes > li").evaluate_all("all => all.map((one) => one.dataset.grant)")
    assert grants[0] == worse
    assert set(grants) >= {worse, "00000000-new"}
    expect(page.locator("#sentence")).to_have_text("Mail is flowing for 2 of 3 mailboxes.")
    (
        expect(page.locator("#announce")).to_have_text("Mail is flowing for 2 of 3 mailboxes."),
        "a screen reader hears of it",
    )
    assert page.title() == "Needs attention - Mail in Dataverse"
    assert page.locator("html").get_attribute("data-level") == "attention"


@pytest.mark.parametrize("how", ["it fails", "the key is no longer good"])
def test_a_page_that_can_t_be_refreshed_says_so_and_is_green_no_more(
    browser: Browser, served: Served, how: str
) -> None:
    with context_of(browser, served) as (context, _):
        page = context.new_page()
        page.clock.install()
        page.goto(served.url("flowing"))
        green = page.locator(".verdict .said").evaluate("one => getComputedStyle(one).backgroundColor")
        if how == "it fails":
            served.down.set()
        else:
            context.route("**/api/status", lambda route: route.fulfill(status=401))
        try:
            for _ in range(5):
                page.clock.run_for(15_000)
                page.wait_for_timeout(60)
            says = page.get_by_role("alert")
            expect(says).to_contain_text("Not current: this page could not be refreshed since")
            expect(says).to_contain_text("500" if how == "it fails" else "401")
            assert page.locator(".verdict .said").evaluate("one => getComputedStyle(one).backgroundColor") != green
        finally:
            served.down.clear()
            context.unroute_all()
        page.clock.run_for(15_000)
        expect(says).to_have_count(0)


# with the admin key


def test_addresses_are_shown_only_to_who_types_the_admin_key(
    look: Open, served: Served, scenes: dict[str, Scene]
) -> None:
    page, addresses = look("attention"), [box.address for box in scenes["attention"].boxes]
    refresh(page)
    assert not [one for one in addresses if one in page.content()]
    give_key(page, "not the key")
    expect(page.locator("#key-says")).to_have_text("It can't be used: this is not the admin key.")
    assert not [one for one in addresses if one in page.content()]
    page.locator("#key").fill(ADMIN_KEY)
    page.keyboard.press("Enter")
    expect(page.locator("#boxes .address")).to_have_count(14)
    assert not [one for one in addresses if one not in told(page)]
    refresh(page)
    expect(page.locator("#boxes .address")).to_have_count(14)
    page.locator("#find").fill(addresses[4])
    expect(page.locator("#boxes > li:visible")).to_have_count(1)
    page.locator("#find").fill("")
    page.reload()
    expect(page.locator("#boxes .address")).to_have_count(14), "for as long as the tab is open"
    assert page.evaluate("Object.keys(localStorage).length + document.cookie.length") == 0
    page.get_by_role("button", name="Forget the admin key").click()
    expect(page.locator("#boxes .address")).to_have_count(0)
    assert page.evaluate("sessionStorage.length") == 0
    assert not [one for one in addresses if one in page.content()]
    assert not [path for _, path in served.asked if ADMIN_KEY in path], "a key is never part of an address"


def test_what_was_put_aside_is_replayed_by_a_button(look: Open, served: Served, scenes: dict[str, Scene]) -> None:
    page = look("attention")
    button = page.locator("#aside li").last.get_by_role("button", name="Replay")
    button.click()
    expect(page.locator("#key")).to_be_focused(), "the key is asked for first"
    give_key_here(page)
    last = page.locator("#aside li").last
    row = last.get_attribute("id")
    last.get_by_role("button", name="Replay").click()
    expect(page.locator(f"[id='{row}'] button").first).to_have_text("Back on its queue")
    expect(page.locator("#announce")).to_have_text("Back on its queue")
    waiting = served.worlds["attention"].aside.waiting_newest(most=10)
    assert waiting.number == 2
    refresh(page)
    expect(page.locator("#aside li")).to_have_count(2)


def give_key_here(page: Page) -> None:
    page.locator("#key").fill(ADMIN_KEY)
    page.keyboard.press("Enter")
    expect(page.locator("#boxes .address").first).to_be_attached()


def test_what_can_t_be_replayed_is_said_beside_its_button(look: Open, served: Served) -> None:
    page = look("attention")
    give_key(page)
    expect(page.locator("#boxes .address").first).to_be_attached()
    page.route(
        "**/manage/replay", lambda route: route.fulfill(status=409, json={"error": {"advice": "it was replayed"}})
    )
    first = page.locator("#aside li").first
    first.get_by_role("button", name="Replay").click()
    expect(first.get_by_role("alert")).to_have_text("it was replayed")
    expect(first.get_by_role("button", name="Replay")).to_be_enabled()


def test_a_message_is_explained_where_it_is_asked_for(look: Open, served: Served) -> None:
    page = look("attention")
    give_key(page)
    expect(page.locator("#boxes .address").first).to_be_attached()
    page.locator("#aside li").first.get_by_role("button", name="Explain").click()
    explained = page.locator("#explained")
    expect(explained).to_contain_text("put_aside")
    expect(explained).to_contain_text("dataverse_refused_row")
    expect(explained).to_contain_text("It waits for a person.")
    refresh(page)
    expect(explained).to_contain_text("It waits for a person.")
    page.route("**/manage/explain", lambda route: (page.wait_for_timeout(300), route.continue_()))
    page.locator("#explain-mailbox").fill("nobody at all")
    page.keyboard.press("Enter")
    expect(explained).to_have_text("Looking it up.")
    expect(explained).to_contain_text("It can't be explained:")
    assert [method for method, path in served.asked if path.endswith("/manage/explain")][-2:] == ["POST", "POST"]


# five hundred mailboxes


def test_five_hundred_mailboxes_are_found_sorted_and_paged(look: Open) -> None:
    page = look("crowd")
    shown = page.locator("#boxes > li:visible")
    expect(shown).to_have_count(25)
    expect(page.locator("#found")).to_have_text("500 in all")
    expect(shown.first.locator(".state")).to_have_text("Sign-in needed"), "the worst first"
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#page-at")).to_have_text("Page 2 of 20")
    page.locator("#find").fill("exchange behind")
    found = page.locator("#found").inner_text()
    assert re.fullmatch(r"\d of 500", found)
    expect(shown).to_have_count(int(found[0]))
    page.locator("#find").fill("nobody is called so")
    expect(shown).to_have_count(0)
    page.locator("#find").fill("")
    page.locator("#show").select_option("attention")
    assert set(shown.locator(".state").all_inner_texts()) <= {"Unexplained", "Put aside"}
    page.locator("#show").select_option("")
    page.locator("#sort").select_option("mail")
    mail = [int(text) for text in shown.evaluate_all("all => all.map((one) => one.dataset.mail)")]
    assert mail == sorted(mail, reverse=True)
    first = shown.first.get_attribute("data-grant")
    took = page.evaluate(
        """() => new Promise((done) => {
          const began = performance.now();
          new MutationObserver(() => done(performance.now() - began)).observe(document.body, { attributes: true, attributeFilter: ["data-made"] });
          document.dispatchEvent(new Event("visibilitychange"));
          setTimeout(() => done(-1), 15000);
        })"""
    )
    page.wait_for_timeout(100)
    assert took != 0
    assert shown.first.get_attribute("data-grant") == first
    expect(shown).to_have_count(25)
