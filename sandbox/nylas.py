"""Stands in for Nylas v3: grants, folders, messages, attachments and webhooks, as strict as the documentation.

Responsible for what happens in a mailbox (mail comes, moves, a grant expires) and for what each path answers. What
lies in a mailbox is kept by `mailboxes`, deliveries by `webhooks`, requests are read by `nylas_requests`. Anything
Nylas does not document is refused, so that a mistyped parameter is found here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Scope, Send

from sandbox.mail import Mail
from sandbox.mailboxes import NO_METADATA, PROVIDERS, Mailbox, Shown, Stored, new_grant_id
from sandbox.nylas_requests import Answer, Call, Query, Refusal, invalid, not_found
from sandbox.webhooks import ChallengeFailed, Delivery, Webhook, Webhooks

DAY = 86_400
FIELDS = ("standard", "include_headers", "include_basic_headers", "raw_mime")
SELECTABLE = (
    *("id", "grant_id", "object", "thread_id", "subject", "from", "to", "cc", "bcc", "reply_to", "date", "body"),
    *("snippet", "starred", "unread", "folders", "attachments", "headers", "metadata", "raw_mime"),
)
MESSAGE_FILTERS = (
    *("in", "thread_id", "subject", "from", "to", "cc", "bcc", "any_email"),
    *("unread", "starred", "has_attachment", "received_after", "received_before"),
)
TOGETHER_NEVER = ({"thread_id", "unread", "starred"}, {"subject", "to", "cc", "bcc", "any_email"})
"""On Microsoft, one request filters by one of these groups only (developer.nylas.com, 2026)."""

GMAIL_UNITS = {"get": 20, "list": 5}
CONCURRENT = 4
"""Requests that Microsoft lets run at once in one mailbox."""
BACKFILL = 72 * 3600
"""Seconds a grant may have been out for Nylas to tell what came meanwhile."""


@dataclass(slots=True)
class Behaviour:
    """What Nylas leaves open, or does only under load."""

    list_has_body: bool = True
    last_cursor_absent: bool = False
    """On the last page `next_cursor` is left out rather than null."""
    received_inclusive: bool = False
    """`received_after` and `received_before` include the second they name."""
    clamp_limit: bool = False
    """A limit over the maximum is cut to it rather than refused."""
    repeat_across_pages: bool = False
    """A page begins with the last message of the page before."""
    gzip: bool = True
    gzip_downloads: bool = False
    """Files are zipped too where the client takes it. [unproven]"""
    padded_raw_mime: bool = True
    """`raw_mime` ends with `=` where its length asks for it. [unproven]"""
    folded_headers: bool = True
    """The values of headers have the line breaks they were sent with. [unproven]"""
    sent_without_headers: bool = False
    """Microsoft has no headers of what was sent, Message-ID neither. [unproven]"""
    alike_files_share_id: bool = False
    """On Google, files of one name, type and size in one mail have one id, which opens the first. [unproven]"""
    signed_is_one_file: bool = False
    """On Microsoft and EWS, a mail that S/MIME signed has one file, which holds its text and all others. [unproven]"""
    loose_search: bool = False
    """A search for an address also finds longer ones that hold it. [unproven]"""
    courtesy: bool = False
    """Microsoft refuses more than four requests at once for one mailbox."""
    retry_after: int = 1
    gmail_units: int | None = None
    """Gmail refuses more than so many quota units a minute for one mailbox."""


class NylasStandIn:
    """One Nylas application with its grants."""

    def __init__(
        self,
        api_key: str,
        *,
        clock: Callable[[], float] = time.time,
        behaviour: Behaviour | None = None,
        seed: int = 0,
    ) -> None:
        self.api_key = api_key
        self.delay = 0.0
        """Seconds every answer takes."""
        self.behaviour = behaviour or Behaviour()
        self.webhooks = Webhooks(clock, seed=seed)
        self.calls: Counter[str] = Counter()
        """Requests so far by what they asked for, as 'GET messages/id' or 'GET messages/id raw_mime'."""
        self._clock = clock
        self._lock = threading.RLock()
        self._boxes: dict[str, Mailbox] = {}
        self._connections = 0
        self._integration = str(uuid.uuid5(uuid.NAMESPACE_URL, "https://sandbox.example/integration"))
        self._cursor_key = secrets.token_bytes(16)

    # what happens in mailboxes

    def connect(
        self,
        email: str,
        provider: str,
        *,
        name: str | None = None,
        aliases: Collection[str] = (),
        created_at: float | None = None,
        language: str = "de",
        folder_attributes: bool = True,
        metadata_only: bool = False,
    ) -> str:
        """Connect a mailbox and return its grant id; the language is that of Microsoft's folder names.

        `metadata_only` is Google's narrow scope: no text, no files, and what is told of mail is its metadata.
        """
        if provider not in PROVIDERS:
            raise ValueError(f"no such provider of mail: {provider}")
        if metadata_only and provider != "google":
            raise ValueError("only Google has a scope for metadata alone")
        with self._lock:
            self._connections += 1
            since = int(self._clock() if created_at is None else created_at)
            box = Mailbox(
                grant_id=new_grant_id(email, self._connections),
                provider=provider,
                email=email,
                name=name or email.partition("@")[0],
                aliases=tuple(aliases),
                created_at=since,
                updated_at=since,
                metadata_only=metadata_only,
            )
            box.prepare(language, folder_attributes)
            self._boxes[box.grant_id] = box
            more = {"login_id": str(uuid.uuid4()), "name": box.name, "scope": box.show_grant()["scope"]}
            self._tell_grant("created", box, 25012, **more)
        return box.grant_id

    def has(self, grant: str) -> bool:
        """Whether a mailbox is connected, told by its id or address."""
        with self._lock:
            return self._find(grant) is not None

    def grant_id(self, grant: str) -> str:
        """The grant id of a mailbox, told by its id or address."""
        return self._box(grant).grant_id

    def make_folder(self, grant: str, name: str, attributes: tuple[str, ...] = (), *, parent: str | None = None) -> str:
        """Add a folder of the user's own, within another one if that is named, and return its id."""
        with self._lock:
            return self._box(grant).make_folder(name, attributes, parent=parent)

    def folder_id(self, grant: str, folder: str) -> str:
        """The id of a folder, told by its role (inbox, sent, drafts, junk, trash, archive) or name, as Parent/Child."""
        with self._lock:
            return self._box(grant).folder_id(folder)

    def deliver(
        self,
        grant: str,
        mail: Mail,
        folder: str = "inbox",
        *,
        notify: bool | str = True,
        message_id: str | None = None,
        unread: bool | None = None,
        overrides: Mapping[str, object] | None = None,
        hidden: int = 0,
        labels: Collection[str] = (),
    ) -> str:
        """Lay a mail into a mailbox and return its message id there.

        `notify` tells of it as message.created, as message.updated ("updated"), as any other type written out
        ("message.created.metadata"), or not at all. `overrides` shows fields otherwise than they are, with `...`
        not at all. `hidden` lets it be not found so many times. `labels`, on Google, are those beside its folder.
        """
        with self._lock:
            box = self._box(grant)
            stored = box.put(
                mail,
                folder,
                now=int(self._clock()),
                message_id=message_id,
                unread=unread,
                overrides=overrides,
                labels=labels,
                alike=self.behaviour.alike_files_share_id,
                whole_signed=self.behaviour.signed_is_one_file,
            )
            stored.hidden = hidden
            if notify:
                kind = notify if isinstance(notify, str) else "created"
                self._tell(kind if "." in kind else f"message.{kind}", box, stored)
        return stored.id

    def move(self, grant: str, message_id: str, folder: str, *, notify: bool = True) -> None:
        """Move a message to another folder; its id stays."""
        with self._lock:
            box = self._box(grant)
            stored = box.messages[message_id]
            box.move(stored, folder)
            if notify:
                self._tell("message.updated", box, stored)

    def label(self, grant: str, message_id: str, name: str, *, on: bool = True, notify: bool = True) -> None:
        """Give a message of Google's one more label, told by its name or id, or take one away."""
        with self._lock:
            box = self._box(grant)
            stored = box.messages[message_id]
            box.label(stored, name, on=on)
            if notify:
                self._tell("message.updated", box, stored)

    def refuse_raw_mime(self, grant: str, message_id: str, status: int = 404) -> None:
        """Refuse from now on to show the raw MIME of one message, with 404 or 400."""
        if status not in (400, 404):
            raise ValueError("raw MIME is refused with 400 or 404")
        with self._lock:
            self._box(grant).messages[message_id].raw_mime_refused = status

    def mark(self, grant: str, message_id: str, *, unread: bool, notify: bool = True) -> None:
        """Mark a message as read or unread."""
        with self._lock:
            box = self._box(grant)
            stored = box.messages[message_id]
            box.mark(stored, unread=unread)
            if notify:
                self._tell("message.updated", box, stored)

    def delete(self, grant: str, message_id: str, *, notify: bool = True) -> None:
        """Delete a message for good."""
        with self._lock:
            box = self._box(grant)
            box.remove(message_id)
            if notify and box.status == "valid":
                gone = {"id": message_id, "grant_id": box.grant_id, "object": "message"}
                self.webhooks.notify("message.deleted", f"/{box.provider}/emails/realtime", gone)

    def expire(self, grant: str) -> None:
        """Let a grant expire: calls get a 401, and nothing of its mail is told."""
        with self._lock:
            box = self._box(grant)
            box.status = "invalid"
            box.expired_at = int(self._clock())
            self._tell_grant("expired", box, 25009, grant_updated_at=box.updated_at)

    def reauthenticate(self, grant: str) -> None:
        """Let its owner sign in again; what came within 72 hours of the expiry is told then, later mail never."""
        with self._lock:
            box = self._box(grant)
            now = int(self._clock())
            out = now - (now if box.expired_at is None else box.expired_at)
            box.status, box.expired_at, box.updated_at = "valid", None, now
            self._tell_grant("updated", box, 25027, reauthentication_flag=True)
            untold, box.untold = box.untold, []
            for message_id in untold if out < BACKFILL else ():
                if message_id in box.messages:
                    self._tell("message.created", box, box.messages[message_id])

    def update_grant(self, grant: str) -> None:
        """Tell of a grant that something about it changed, without a new sign-in."""
        with self._lock:
            self._tell_grant("updated", self._box(grant), 25014, reauthentication_flag=False)

    def complete_imap_sync(self, grant: str) -> None:
        """Tell that the first synchronisation of an IMAP mailbox is done."""
        with self._lock:
            box = self._box(grant)
            shown = {
                "grant_id": box.grant_id,
                "code": 25012,
                "integration_id": self._integration,
                "provider": box.provider,
                "type": "grant.imap_sync_completed",
            }
            self.webhooks.notify("grant.imap_sync_completed", "/imap/emails/historic", shown)

    def disconnect(self, grant: str) -> None:
        """Delete a grant; connecting the mailbox again makes another one."""
        with self._lock:
            box = self._box(grant)
            del self._boxes[box.grant_id]
            self._tell_grant("deleted", box, 25013)

    def messages(self, grant: str) -> list[Shown]:
        """All messages of a mailbox as Nylas shows them, newest first, with every header."""
        with self._lock:
            box = self._box(grant)
            return [box.show(stored, fields="include_headers") for stored in box.newest_first()]

    def forget_cursors(self) -> None:
        """Let every page token handed out so far fail."""
        self._cursor_key = secrets.token_bytes(16)

    # webhooks

    def register(self, url: str, triggers: Collection[str], *, compressed: bool = False) -> Webhook:
        """Add a webhook destination, once it has answered the challenge."""
        return self.webhooks.register(url, triggers, compressed=compressed)

    def redeliver(self, notification_id: str) -> None:
        """Send a notification again."""
        self.webhooks.redeliver(notification_id)

    @property
    def deliveries(self) -> list[Delivery]:
        """Every attempt to deliver so far."""
        return self.webhooks.deliveries

    def notifications_of(self, message_id: str) -> list[str]:
        """The ids of the notifications about a message, oldest first."""
        told = self.webhooks.notifications()
        return [known.id for known in told if known.data["object"].get("id") == message_id]

    def wait_idle(self, timeout: float = 10.0) -> None:
        """Return when every notification is delivered or given up."""
        self.webhooks.wait_idle(timeout)

    def close(self) -> None:
        """Stop delivering."""
        self.webhooks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    # HTTP

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = await Call.read(scope, receive)
        with self._lock:
            box = self._find(call.path[2]) if call.path[:2] == ("v3", "grants") and call.path[2:] else None
            crowded = box is not None and box.in_flight >= CONCURRENT
            if box is not None:
                box.in_flight += 1
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
            try:
                answer = await self._answer(call, box, crowded)
            except Refusal as refusal:
                answer = Answer({"error": refusal.error}, refusal.status, refusal.headers)
            zips = self.behaviour.gzip_downloads if isinstance(answer.shown, bytes) else self.behaviour.gzip
            await answer.send(receive, send, zipped=zips and call.takes_gzip)
        finally:
            if box is not None:
                with self._lock:
                    box.in_flight -= 1

    async def _answer(self, call: Call, box: Mailbox | None, crowded: bool) -> Answer:
        if not secrets.compare_digest(call.authorization.encode(), f"Bearer {self.api_key}".encode()):
            raise Refusal(401, "unauthorized", "Unauthorized")
        match call.path:
            case ("v3", "webhooks", *rest):
                self.calls[f"{call.method} webhooks"] += 1
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(None, self._answer_webhooks, call, rest)
            case ("v3", "grants", *rest):
                with self._lock:
                    return self._answer_grants(call, rest, box, crowded)
        raise not_found("no such path")

    def _answer_grants(self, call: Call, rest: list[str], box: Mailbox | None, crowded: bool) -> Answer:
        if call.method != "GET":
            raise Refusal(405, "invalid_request_error", f"{call.method} is not supported here")
        match rest:
            case []:
                self.calls["GET grants"] += 1
                return self._list_grants(call)
            case [_, *inside]:
                called = "/".join(("id" if place == 1 else part) for place, part in enumerate(inside))
                raw = " raw_mime" if parse_qs(call.query_string).get("fields") == ["raw_mime"] else ""
                self.calls[f"GET {called or 'grants/id'}{raw}"] += 1
        if box is None:
            raise not_found("requested object not found")
        if not inside:
            return self._get_grant(call, box)
        self._admit(box, crowded)
        match inside:
            case ["folders"]:
                return self._list_folders(call, box)
            case ["folders", folder_id]:
                return self._get_folder(call, box, folder_id)
            case ["messages"]:
                return self._list_messages(call, box)
            case ["messages", message_id]:
                return self._get_message(call, box, message_id)
            case ["attachments", *_] if box.metadata_only:
                raise Refusal(403, "insufficient_scopes", "missing provider scopes required to read attachments")
            case ["attachments", attachment_id]:
                shown, _ = _attachment(call, box, attachment_id)
                return self._of(box, {"data": shown})
            case ["attachments", attachment_id, "download"]:
                _, content = _attachment(call, box, attachment_id)
                return self._of(box, content)
        raise not_found("no such path")

    def _admit(self, box: Mailbox, crowded: bool) -> None:
        """Refuse what the provider would refuse: an expired grant, too many at once, too much a minute."""
        if box.status != "valid":
            told = {"code": 401, "message": "Request had invalid authentication credentials."}
            raise Refusal(401, "unauthorized", "Unauthorized", provider_error=told)
        behaviour = self.behaviour
        if behaviour.courtesy and crowded and box.provider == "microsoft":
            raise Refusal(
                429,
                "rate_limit_error",
                "Too many requests, please try again shortly.",
                headers={"Retry-After": str(behaviour.retry_after)},
            )
        minute, used = box.units
        now = int(self._clock()) // 60
        limited = behaviour.gmail_units is not None and box.provider == "google" and minute == now
        if limited and used >= (behaviour.gmail_units or 0):
            again = datetime.fromtimestamp((now + 1) * 60, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            told = {"error": {"code": 429, "message": f"User-rate limit exceeded.  Retry after {again}"}}
            raise Refusal(429, "quota_exceeded_error", "Activity limit reached", provider_error=told)

    def _of(self, box: Mailbox, shown: Shown | bytes, *, got: int = 1, listed: int = 0) -> Answer:
        """An answer for which the provider was asked, and what that cost of the quota."""
        headers = {"Nylas-Provider-Request-Count": str(got + listed)}
        if box.provider == "google":
            units = got * GMAIL_UNITS["get"] + listed * GMAIL_UNITS["list"]
            minute, used = box.units
            now = int(self._clock()) // 60
            box.units = (now, units + (used if minute == now else 0))
            headers["Nylas-Gmail-Quota-Usage"] = str(units)
        return Answer(shown, headers=headers)

    def _list_grants(self, call: Call) -> Answer:
        query = call.query("limit", "offset", "grant_status", "provider", "email", "since", "before")
        limit = query.limit(10, 200, clamp=self.behaviour.clamp_limit)
        offset = query.number("offset", 0) or 0
        since, before = query.number("since"), query.number("before")
        wanted = {"grant_status": query.one_of("grant_status", ("valid", "invalid"))}
        wanted["provider"], wanted["email"] = query.text("provider"), query.text("email")
        known = [
            shown
            for shown in (box.show_grant() for box in self._boxes.values())
            if all(value is None or shown[name].lower() == value.lower() for name, value in wanted.items())
            and (since is None or shown["created_at"] >= since)
            and (before is None or shown["created_at"] <= before)
        ]
        return Answer({"data": known[offset : offset + limit], "limit": limit, "offset": offset})

    def _get_grant(self, call: Call, box: Mailbox) -> Answer:
        query = call.query("expose_aliases")
        return Answer({"data": box.show_grant(aliases=bool(query.flag("expose_aliases")))})

    def _list_folders(self, call: Call, box: Mailbox) -> Answer:
        query = call.query("limit", "page_token", "select")
        limit = query.limit(50, 200, clamp=self.behaviour.clamp_limit)
        bound = f"{box.grant_id}/folders"
        begin, _ = self._place(bound, query.text("page_token")) or (0, 0)
        folders = list(box.folders.values())
        shown = [query.select(box.show_folder(folder), None) for folder in folders[begin : begin + limit]]
        end = begin + limit
        return self._of(box, self._page(shown, bound, (end, 0) if end < len(folders) else None), listed=1, got=0)

    def _get_folder(self, call: Call, box: Mailbox, folder_id: str) -> Answer:
        call.query()
        if folder_id not in box.folders:
            raise not_found("requested object not found")
        return self._of(box, {"data": box.show_folder(box.folders[folder_id])})

    def _list_messages(self, call: Call, box: Mailbox) -> Answer:
        query = call.query(*MESSAGE_FILTERS, "limit", "page_token", "select", "fields")
        behaviour = self.behaviour
        limit = query.limit(50, 200, clamp=behaviour.clamp_limit)
        fields = query.one_of("fields", FIELDS) or "standard"
        bound = f"{box.grant_id}/messages?{query.bound()}"
        place = self._place(bound, query.text("page_token"))
        after, before = self._span(query, box)
        fits = _filters(query, box, loose=behaviour.loose_search)
        found = (
            stored
            for stored in box.newest_first(after, before, place)
            if not stored.hidden and all(fit(stored) for fit in fits)
        )
        page = list(islice(found, limit + 1))
        more, page = len(page) > limit, page[:limit]
        shown = [
            query.select(self._show(box, stored, fields, body=behaviour.list_has_body), SELECTABLE) for stored in page
        ]
        last = (page[-1].date, page[-1].number + behaviour.repeat_across_pages) if more else None
        return self._of(box, self._page(shown, bound, last), got=len(page), listed=1)

    def _span(self, query: Query, box: Mailbox) -> tuple[int | None, int | None]:
        """The seconds that a date must lie between, both exclusive."""
        after, before = query.number("received_after"), query.number("received_before")
        if box.provider == "ews":  # whole days, inclusive (developer.nylas.com, search, 2026)
            after = None if after is None else after - after % DAY - 1
            before = None if before is None else before - before % DAY + DAY
        elif self.behaviour.received_inclusive:
            after = None if after is None else after - 1
            before = None if before is None else before + 1
        return after, before

    def _get_message(self, call: Call, box: Mailbox, message_id: str) -> Answer:
        query = call.query("fields", "select")
        fields = query.one_of("fields", FIELDS) or "standard"
        stored = _message(box, message_id)
        if stored.hidden:
            stored.hidden -= 1
            raise not_found("requested object not found")
        return self._of(box, {"data": query.select(self._show(box, stored, fields), SELECTABLE)})

    def _show(self, box: Mailbox, stored: Stored, fields: str, *, body: bool = True) -> Shown:
        """A message with the fields asked for, or the refusal of its raw MIME."""
        behaviour = self.behaviour
        if fields != "raw_mime":
            return box.show(
                stored,
                fields=fields,
                body=body,
                sent_headers=not behaviour.sent_without_headers,
                folded=behaviour.folded_headers,
            )
        if box.metadata_only:
            raise Refusal(403, "insufficient_scopes", "missing provider scopes required to read raw MIME")
        if stored.raw_mime_refused == 400:
            raise invalid("the provider does not give the MIME of this message")
        if stored.raw_mime_refused is not None:
            raise not_found("requested object not found")
        return box.show_raw(stored, padded=behaviour.padded_raw_mime)

    def _page(self, shown: list[Shown], bound: str, last: tuple[int, int] | None) -> Shown:
        if last is not None:
            return {"data": shown, "next_cursor": self._cursor(bound, last)}
        return {"data": shown} if self.behaviour.last_cursor_absent else {"data": shown, "next_cursor": None}

    def _cursor(self, bound: str, place: tuple[int, int]) -> str:
        """A token for a place in a listing, good for nothing but this listing."""
        body = msgspec.json.encode(place)
        seal = hashlib.blake2b(bound.encode() + body, key=self._cursor_key, digest_size=12).digest()
        return base64.urlsafe_b64encode(seal + body).decode()

    def _place(self, bound: str, token: str | None) -> tuple[int, int] | None:
        if token is None:
            return None
        try:
            place = msgspec.json.decode(base64.urlsafe_b64decode(token)[12:], type=tuple[int, int])
        except (ValueError, msgspec.MsgspecError):
            place = (0, 0)
        if not secrets.compare_digest(self._cursor(bound, place), token):
            raise invalid("invalid page_token")
        return place

    def _answer_webhooks(self, call: Call, rest: list[str]) -> Answer:
        call.query()
        hooks = self.webhooks
        try:
            match (call.method, *rest):
                case ("POST",):
                    return Answer({"data": self._create_webhook(call.json()).shown(secret=True)})
                case ("GET",):
                    return Answer({"data": [known.shown() for known in hooks.registered.values()]})
                case ("GET", webhook_id):
                    return Answer({"data": hooks.registered[webhook_id].shown()})
                case ("PUT", webhook_id):
                    return Answer({"data": hooks.change(webhook_id, **_settings(call.json())).shown()})
                case ("DELETE", webhook_id):
                    hooks.remove(webhook_id)
                    return Answer({})
                case ("POST", "rotate-secret", webhook_id):
                    return Answer({"data": hooks.rotate(webhook_id).shown(secret=True)})
        except KeyError as error:
            raise not_found("requested object not found") from error
        except ValueError as error:
            raise invalid(str(error)) from error
        except ChallengeFailed as error:
            raise Refusal(400, "70005", f"unable.verify.webhook_url : {error}") from error
        raise not_found("no such path")

    def _create_webhook(self, asked: Shown) -> Webhook:
        settings = _settings(asked)
        if settings.keys() < {"url", "triggers"} or "status" in settings:
            raise ValueError("webhook_url and trigger_types are required, status cannot be set")
        return self.webhooks.register(**settings)

    # what is known

    def _box(self, grant: str) -> Mailbox:
        box = self._find(grant)
        if box is None:
            raise LookupError(f"no such grant: {grant}")
        return box

    def _find(self, grant: str) -> Mailbox | None:
        """A grant by its id or address, with or without the word that says which."""
        word, colon, rest = grant.partition(":")
        named = rest if colon and word in ("grant", "email") else grant
        if named in self._boxes:
            return self._boxes[named]
        address = named.lower()
        return next((box for box in self._boxes.values() if box.email.lower() == address), None)

    def _tell(self, kind: str, box: Mailbox, stored: Stored) -> None:
        """Notify of a message; an expired grant tells nothing, and keeps it for the next sign-in."""
        if box.status != "valid":
            box.untold.append(stored.id)
            return
        if box.metadata_only and ".metadata" not in kind:
            kind += ".metadata"
        metadata = ".metadata" in kind
        shown = self._show(box, stored, "include_headers" if metadata else "standard")
        left_out = NO_METADATA if metadata else ()
        if kind.startswith("message.updated"):  # its published schema has none of these
            left_out = (*left_out, "bcc", "reply_to", "attachments")
        for name in left_out:
            shown.pop(name, None)
        self.webhooks.notify(kind, f"/{box.provider}/emails/realtime", shown)

    def _tell_grant(self, what: str, box: Mailbox, code: int, **more: object) -> None:
        shown = {
            "grant_id": box.grant_id,
            "integration_id": self._integration,
            "provider": box.provider,
            "email": box.email,
            "code": code,
            **more,
        }
        self.webhooks.notify(f"grant.{what}", "/nylas/system", shown)


def download_of(attachment_id: str) -> str:
    """What the path of a fault must be to strike the downloads of this file, however a client encodes the id."""
    letters = (f"(?:{re.escape(letter)}|(?i:{_escaped(letter)}))" for letter in attachment_id)
    return f"/attachments/{''.join(letters)}/download"


def _escaped(letter: str) -> str:
    return "".join(f"%{byte:02x}" for byte in letter.encode())


def _filters(query: Query, box: Mailbox, *, loose: bool) -> list[Callable[[Stored], bool]]:
    """What a message must fit, besides its date."""
    asked = query.values.keys()
    if box.provider == "microsoft" and all(asked & group for group in TOGETHER_NEVER):
        raise invalid("these filters cannot be combined on Microsoft")
    fits: list[Callable[[Stored], bool]] = []
    folder, thread, subject = query.text("in"), query.text("thread_id"), query.text("subject")
    if folder is not None:
        if folder not in box.folders:
            raise invalid("in must be the id of a folder")
        fits.append(lambda stored: folder in stored.folders)
    if thread is not None:
        fits.append(lambda stored: stored.fixed["thread_id"] == thread)
    if subject is not None:
        fits.append(lambda stored: subject.lower() in (stored.mail.subject or "").lower())
    flags: dict[str, Callable[[Stored], bool]] = {
        "unread": lambda stored: stored.unread,
        "starred": lambda stored: bool(stored.fixed["starred"]),
        "has_attachment": lambda stored: bool(stored.files),
    }
    for name, has in flags.items():
        if (wanted := query.flag(name)) is not None:
            fits.append(lambda stored, has=has, wanted=wanted: has(stored) == wanted)  # type: ignore[misc]
    people = {name: (name,) for name in ("from", "to", "cc", "bcc")} | {"any_email": ("from", "to", "cc", "bcc")}
    for name, places in people.items():
        if (those := query.addresses(name, 25 if name == "any_email" else None)) is not None:
            fits.append(lambda stored, those=those, places=places: _names(stored, places, those, loose))  # type: ignore[misc]
    return fits


def _names(stored: Stored, places: tuple[str, ...], addresses: set[str], loose: bool) -> bool:
    people = [(person.get("email") or "").lower() for place in places for person in stored.fixed[place]]
    return any(one in addresses or (loose and any(asked in one for asked in addresses)) for one in people)


def _message(box: Mailbox, message_id: str) -> Stored:
    if message_id not in box.messages:
        raise not_found("requested object not found")
    return box.messages[message_id]


def _attachment(call: Call, box: Mailbox, attachment_id: str) -> tuple[Shown, bytes]:
    message_id = call.query("message_id").text("message_id")
    if not message_id:
        raise invalid("message_id is required")
    files = _message(box, message_id).files
    if attachment_id not in files:
        raise not_found("requested object not found")
    return files[attachment_id]


SETTINGS = {
    "trigger_types": "triggers",
    "webhook_url": "url",
    "description": "description",
    "notification_email_addresses": "emails",
    "compressed_delivery": "compressed",
    "status": "status",
}
"""What may be set of a webhook, by Nylas' name for it."""


def _settings(asked: Shown) -> Shown:
    if unknown := asked.keys() - SETTINGS.keys():
        raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
    return {SETTINGS[name]: value for name, value in asked.items()}
