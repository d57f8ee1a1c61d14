"use strict";
(() => {
  const root = document.documentElement;
  const REFRESH = Number(document.body.dataset.refresh) * 1000;
  const STALE = 3 * REFRESH + 5000;
  const PAGE = 25;
  const find = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const functionKey = new URLSearchParams(location.search).get("code") || "";
  const address = location.pathname;
  const manage = address.replace(/status\/?$/, "manage/");
  let made = Number(document.body.dataset.made), seen = performance.now();
  let adminKey = sessionStorage.getItem("admin-key") || "";
  let addresses = {};
  let page = 0;

  // moments: in the reader's own zone, and ages that go on

  const now = () => made + (performance.now() - seen) / 1000;
  const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

  function span(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 90) return `${whole} s`;
    if (whole < 5400) return `${Math.floor(whole / 60)} min`;
    if (whole < 129600) return `${Math.floor(whole / 3600)} h`;
    const days = Math.round(whole / 86400);
    return days === 1 ? "a day" : `${days} days`;
  }

  function setText(node, text) { if (node.textContent !== text) node.textContent = text; }

  function tell() {
    for (const node of all("time[data-at]")) {
      const at = Number(node.dataset.at), spelled = clock.format(new Date(at * 1000));
      if (node.classList.contains("when")) setText(node, spelled);
      else {
        setText(node, at <= now() + 1 ? `${span(now() - at)} ago` : `in ${span(at - now())}`);
        if (node.title !== spelled) node.title = spelled;
      }
    }
  }

  // refreshing: the page is asked for anew and what has changed in it is changed here

  const key = (node) => (node.nodeType === 1 ? node.id : "");
  const OWN = new Set(["open", "hidden", "disabled"]);

  function morph(here, there) {
    if (here.nodeType === 3 || here.nodeType === 8) {
      if (here.data !== there.data) here.data = there.data;
      return;
    }
    if (here.hasAttribute("data-keep")) return;
    for (const { name, value } of there.attributes) {
      if (!OWN.has(name) && here.getAttribute(name) !== value) here.setAttribute(name, value);
    }
    for (const { name } of Array.from(here.attributes)) {
      if (!OWN.has(name) && !there.hasAttribute(name)) here.removeAttribute(name);
    }
    const keyed = new Map(Array.from(here.children).filter(key).map((node) => [node.id, node]));
    let place = here.firstChild;
    for (const wanted of Array.from(there.childNodes)) {
      let match = null;
      if (key(wanted)) match = keyed.get(wanted.id) || null;
      else if (place && !key(place) && place.nodeType === wanted.nodeType && place.nodeName === wanted.nodeName) match = place;
      if (match === null) {
        here.insertBefore(document.importNode(wanted, true), place);
        continue;
      }
      if (match === place) place = place.nextSibling;
      else here.insertBefore(match, place);
      morph(match, wanted);
      keyed.delete(match.id);
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  }

  let last = performance.now(), asking = false;

  async function refresh() {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const headers = { Accept: "text/html" };
      if (functionKey) headers["x-functions-key"] = functionKey;
      const answer = await fetch(address, { headers, cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(12000) });
      if (!answer.ok) throw new Error(`it was answered with ${answer.status}`);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!find("#sentence", fresh)) throw new Error("it was answered with something else");
      take(fresh);
      last = performance.now();
      stale("");
    } catch (error) {
      if (performance.now() - last > STALE) stale(error.name === "TimeoutError" ? "there was no answer in time" : error.message);
    } finally {
      asking = false;
    }
  }

  function take(fresh) {
    const before = find("#sentence").textContent;
    made = Number(fresh.body.dataset.made);
    seen = performance.now();
    document.body.dataset.made = String(made);
    root.dataset.level = fresh.documentElement.dataset.level;
    document.title = fresh.title;
    const icon = find("#favicon", fresh).getAttribute("href");
    if (find("#favicon").getAttribute("href") !== icon) find("#favicon").setAttribute("href", icon);
    prepare(fresh);
    for (const part of ["header", "main", "footer"]) morph(find(part), find(part, fresh));
    tell();
    arrange();
    const after = find("#sentence").textContent;
    if (after !== before) setText(find("#announce"), after);
  }

  // what the script itself says in the page is said in the fresh one too, so that nothing flickers between
  function prepare(fresh) {
    for (const node of all("time[data-at]", fresh)) {
      const at = Number(node.dataset.at), spelled = clock.format(new Date(at * 1000));
      if (node.classList.contains("when")) node.textContent = spelled;
      else node.title = spelled;
    }
    const rows = new Map(all("#boxes > li", fresh).map((row) => [row.id, row]));
    const list = find("#boxes", fresh);
    for (const row of all("#boxes > li")) if (rows.has(row.id)) list.append(rows.get(row.id));
    for (const row of rows.values()) if (!document.getElementById(row.id)) list.append(row);
    name(fresh);
    for (const [what, said] of replayed) {
      const button = all("[data-replay]", fresh).find((one) => one.dataset.replay === what);
      if (button) { button.setAttribute("disabled", ""); button.textContent = said; }
    }
  }

  function stale(why) {
    root.classList.toggle("stale", why !== "");
    let says = find(".stale-says");
    if (why === "") { if (says) says.remove(); return; }
    if (!says) {
      says = document.createElement("p");
      says.className = "stale-says";
      says.setAttribute("role", "alert");
      find("#verdict").prepend(says);
    }
    setText(says, `Not current: this page could not be refreshed since ${clock.format(new Date(made * 1000))}, for ${why}.`);
  }

  // mailboxes: find, show, sort, page

  const ORDER = {
    worst: (a, b) => a.dataset.rank - b.dataset.rank || a.dataset.swept - b.dataset.swept,
    swept: (a, b) => a.dataset.swept - b.dataset.swept,
    written: (a, b) => a.dataset.written - b.dataset.written,
    mail: (a, b) => b.dataset.mail - a.dataset.mail,
    name: (a, b) => label(a).localeCompare(label(b)),
  };
  const label = (row) => addresses[row.dataset.grant] || row.dataset.grant;

  function arrange() {
    const list = find("#boxes");
    if (!list) return;
    const words = find("#find").value.trim().toLowerCase().split(/\s+/).filter(Boolean), level = find("#show").value;
    const rows = all("#boxes > li");
    const sorted = rows.slice().sort(ORDER[find("#sort").value]);
    const focused = document.activeElement;
    sorted.forEach((row, place) => { if (list.children[place] !== row) list.insertBefore(row, list.children[place] || null); });
    if (focused && focused !== document.activeElement) focused.focus({ preventScroll: true });
    const fits = (row) => (!level || row.dataset.level === level) && words.every((word) => `${row.dataset.find} ${label(row).toLowerCase()}`.includes(word));
    const found = sorted.filter(fits);
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(page, pages - 1);
    const shown = new Set(found.slice(page * PAGE, (page + 1) * PAGE));
    for (const row of rows) if (row.hidden === shown.has(row)) row.hidden = !shown.has(row);
    setText(find("#found"), found.length === rows.length ? `${rows.length} in all` : `${found.length} of ${rows.length}`);
    find(".pages").hidden = pages === 1;
    setText(find("#page-at"), `Page ${page + 1} of ${pages}`);
    find("#page-before").disabled = page === 0;
    find("#page-next").disabled = page === pages - 1;
  }

  function turn(by) {
    page += by;
    arrange();
    find("#mailboxes").scrollIntoView({ block: "start" });
  }

  // the admin key: addresses, replay, sweep, explain

  async function ask(method, what, { query = null, body = null, key = adminKey } = {}) {
    const headers = { Accept: "application/json", "x-functions-key": key };
    if (body) headers["Content-Type"] = "application/json";
    const url = query ? `${manage}${what}?${new URLSearchParams(query)}` : manage + what;
    const answer = await fetch(url, {
      method, headers, body: body && JSON.stringify(body), cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(60000),
    });
    if (answer.status === 401) throw new Error("this is not the admin key");
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error((told.error && told.error.advice) || `it was answered with ${answer.status}`);
    return told;
  }

  async function useKey(given) {
    addresses = (await ask("GET", "status", { key: given })).addresses;
    adminKey = given;
    sessionStorage.setItem("admin-key", given);
    name(document);
    arrange();
  }

  function forgetKey() {
    sessionStorage.removeItem("admin-key");
    adminKey = "";
    addresses = {};
    for (const node of all(".address")) node.remove();
    showKey();
    arrange();
  }

  function name(within) {
    for (const row of all("#boxes > li", within)) {
      const known = addresses[row.dataset.grant], place = find(".who-is", row);
      if (!known || find(".address", place)) continue;
      const said = document.createElement("span");
      said.className = "address";
      said.textContent = known;
      place.prepend(said);
    }
  }

  function showKey() {
    setText(find("#key-button"), adminKey ? "Forget the admin key" : "Admin key");
  }

  function openKey() {
    find("#key-form").hidden = false;
    find("#key-button").setAttribute("aria-expanded", "true");
    find("#key").focus();
  }

  function closeKey() {
    find("#key-form").hidden = true;
    find("#key-button").setAttribute("aria-expanded", "false");
  }

  const WAY = "Shows addresses, replays and explains. It is kept in this tab alone.";

  async function offerKey(event) {
    event.preventDefault();
    const given = find("#key").value.trim(), says = find("#key-says");
    if (!given) return;
    try {
      await useKey(given);
      find("#key").value = "";
      setText(says, WAY);
      closeKey();
      showKey();
      find("#key-button").focus();
      setText(find("#announce"), "The admin key is in use; addresses are shown.");
    } catch (error) {
      setText(says, `It can't be used: ${error.message}.`);
      find("#key").select();
    }
  }

  const replayed = new Map();

  async function act(button, doing, done, work) {
    if (!adminKey) { openKey(); return; }
    const text = button.innerHTML;
    button.disabled = true;
    setText(button, doing);
    try {
      await work();
      setText(button, done);
      setText(find("#announce"), done);
      if (button.dataset.replay) replayed.set(button.dataset.replay, done);
    } catch (error) {
      button.disabled = false;
      button.innerHTML = text;
      let says = button.parentElement.querySelector(".failed");
      if (!says) {
        says = document.createElement("span");
        says.className = "failed bad";
        says.setAttribute("role", "alert");
        button.after(says);
      }
      setText(says, error.message);
    }
  }

  // explaining one message

  const NAMES = { from: "heard of by", dated: "date", noted: "as of", next: "what is next" };

  function facts(told) {
    const list = document.createElement("dl");
    for (const [name, value] of Object.entries(told)) {
      if (value === null || value === "" || (Array.isArray(value) && !value.length)) continue;
      const term = document.createElement("dt"), said = document.createElement("dd");
      term.textContent = (NAMES[name] || name).replace(/_/g, " ");
      said.textContent = Array.isArray(value) ? value.join("; ") : String(value);
      list.append(term, said);
    }
    return list;
  }

  function paragraph(text) {
    const said = document.createElement("p");
    said.textContent = text;
    return said;
  }

  async function explain(event) {
    if (event) event.preventDefault();
    if (!adminKey) { openKey(); return; }
    const place = find("#explained");
    const asked = { mailbox: find("#explain-mailbox").value.trim(), message: find("#explain-message").value.trim() };
    place.replaceChildren(paragraph("Looking it up."));
    try {
      const told = await ask("POST", "explain", { body: asked });
      const said = told.copies.map(facts);
      if (told.unknown) said.unshift(paragraph(told.unknown));
      said.push(paragraph(`Dataverse: ${told.dataverse}`));
      if (told.email) said.push(facts(told.email));
      place.replaceChildren(...said);
    } catch (error) {
      place.replaceChildren(paragraph(`It can't be explained: ${error.message}`));
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { replay, explain: message, of, sweep } = button.dataset;
    if (replay) act(button, "Replaying", "Back on its queue", () => ask("POST", "replay", { body: { grant: of, key: replay } }));
    else if (sweep) act(button, "Asking for it", "A sweep is on its way", () => ask("POST", "sweep", { body: { mailbox: sweep, since: "1d" } }));
    else if (message) {
      find("#explain-mailbox").value = of;
      find("#explain-message").value = message;
      find("#explain").scrollIntoView({ block: "start" });
      find("#explain-message").focus({ preventScroll: true });
      explain();
    } else if (button.id === "page-before") turn(-1);
    else if (button.id === "page-next") turn(1);
    else if (button.id === "key-button") {
      if (adminKey) forgetKey();
      else if (find("#key-form").hidden) openKey();
      else closeKey();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !find("#key-form").hidden) { closeKey(); find("#key-button").focus(); }
  });
  find("#key-form").addEventListener("submit", offerKey);
  find("#explain-form").addEventListener("submit", explain);
  document.addEventListener("input", (event) => { if (event.target.closest(".tools")) { page = 0; arrange(); } });
  document.addEventListener("visibilitychange", refresh);

  tell();
  arrange();
  showKey();
  if (adminKey) useKey(adminKey).catch(forgetKey);
  setInterval(refresh, REFRESH);
  setInterval(tell, 1000);
})();
