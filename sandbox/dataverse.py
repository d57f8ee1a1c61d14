"""Stands in for the Dataverse Web API v9.2, as strict as what is known of the service.

Responsible for the rows (SQLite in memory), the rules of the tables we write, conditional requests, service
protection and the answers' shapes. Names, values and query options are `odata`'s, the multipart form `batch`'s.
What nobody has proved on a live organisation says [unproven] where it is decided."""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import re
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import msgspec
from starlette.types import Receive, Scope, Send

from sandbox import batch
from sandbox.batch import ChangeSet, Operation, Part
from sandbox.odata import (
    GUID,
    INVALID_ARGUMENT,
    NAMESPACE,
    PAGE_CAP,
    PAYLOAD,
    SYNTAX,
    Expansion,
    Lookup,
    ODataError,
    Query,
    Table,
    load_model,
    options_of,
    parse_query,
    skip_token,
)

URL_CAP = 32_768
_ROOT = re.compile(r"(?:https?://[^/]+)?/api/data/v9\.[0-2](?:/|$)")
_SEGMENT = re.compile(r"([A-Za-z_$][\w.$]*)(?:\((.*)\))?")
_JSON = "application/json; odata.metadata=minimal"
_FORMATTED = "OData.Community.Display.V1.FormattedValue"
_LOGICAL = f"{NAMESPACE}.lookuplogicalname"
_NAVIGATION = f"{NAMESPACE}.associatednavigationproperty"
_EMAIL_MASKS = (1, 2, 3, 4)
_REGARDING, _OWNER = 8, 9
_MAIL_COLUMNS = {"systemuser": "internalemailaddress", "queue": "emailaddress"}

NOT_FOUND = "0x80040217"
DUPLICATE = "0x80040237"
STALE = "0x80060882"
NO_RESOURCE = "0x80060888"  # live answers of 2025; learn.microsoft.com, web-api-client-errors, has 0x8006088a
STATUS_OF_OTHER_STATE = "0x80048408"


@dataclass(frozen=True, slots=True)
class Protection:
    """Service protection limits of one user on one web server, over a sliding window of seconds."""

    requests: int = 6000
    execution_ms: float = 1_200_000
    concurrency: int = 52
    window: float = 300.0


@dataclass(frozen=True, slots=True)
class Logged:
    """One HTTP request as it was received, with the requests inside it when it was a batch."""

    method: str
    path: str
    query: str
    operations: tuple[str, ...]
    cookie: str | None
    status: int

    @property
    def parts(self) -> int:
        """How many requests the batch held; 0 when it was none."""
        return len(self.operations)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the Prefer header asks for."""

    representation: bool = False
    page: int | None = None
    annotations: tuple[str, ...] = ()
    continue_on_error: bool = False

    def wants(self, annotation: str) -> bool:
        """Whether this annotation was asked for."""
        return any(
            pattern == "*" or pattern == annotation or (pattern.endswith("*") and annotation.startswith(pattern[:-1]))
            for pattern in self.annotations
        )


@lru_cache(maxsize=256)
def preferences(header: str) -> Preferences:
    """The preferences of a Prefer header."""
    page = re.search(r"odata\.maxpagesize\s*=\s*(\d+)", header)
    names = re.search(r'odata\.include-annotations\s*=\s*"([^"]*)"', header)
    return Preferences(
        representation="return=representation" in header,
        page=min(int(page[1]), PAGE_CAP) if page and int(page[1]) else None,
        annotations=tuple(name.strip() for name in names[1].split(",")) if names else (),
        continue_on_error="odata.continue-on-error" in header and "continue-on-error=false" not in header,
    )


@dataclass(slots=True)
class Request:
    """One request as the tables see it, whether it came alone or in a batch."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    root: str
    caller: str
    refs: dict[str, tuple[Table, str]] | None = None  # by Content-ID, inside a change set
    made: set[str] = field(default_factory=set)  # rows created in the same change set

    @property
    def prefer(self) -> Preferences:
        """What the Prefer header asks for."""
        return preferences(self.headers.get("prefer", ""))

    def condition(self, name: str) -> str | None:
        """If-Match or If-None-Match; the word null asks for nothing."""
        value = self.headers.get(name)
        return None if value in (None, "", "null") else value


@dataclass(slots=True)
class Change:
    """What a body asks to write, checked against the declarations."""

    values: dict[str, object] = field(default_factory=dict)
    lookups: dict[str, tuple[str, str] | None] = field(default_factory=dict)
    children: list[Change] | None = None


class _Gate:
    """Counts one user's requests against the limits."""

    def __init__(self, limits: Protection, clock: Callable[[], float]) -> None:
        self._limits, self._clock = limits, clock
        self._seen: deque[list[float]] = deque()
        self._spent = 0.0
        self._open = 0

    def enter(self) -> tuple[list[float] | None, tuple[str, str, int] | None]:
        """A place in the window, or why there is none: code, message, seconds to wait."""
        now, limits = self._clock(), self._limits
        while self._seen and self._seen[0][0] <= now - limits.window:
            self._spent -= self._seen.popleft()[1]
        # A refused request counts as well: who ignores Retry-After waits longer.
        place = [now, 0.0]
        self._seen.append(place)
        window = f"over time window of {limits.window:g} seconds."
        if len(self._seen) > limits.requests:
            wait = self._seen[len(self._seen) - limits.requests - 1][0] + limits.window - now
            text = f"Number of requests exceeded the limit of {limits.requests} {window}"
            return None, ("0x80072322", text, max(1, math.ceil(wait)))
        if self._spent > limits.execution_ms:
            text = (
                f"Combined execution time of incoming requests exceeded limit of {limits.execution_ms:,g} milliseconds "
                f"{window} Decrease number of concurrent requests or reduce the duration of requests and try again "
                "later."
            )
            return None, ("0x80072321", text, max(1, math.ceil(self._seen[0][0] + limits.window - now)))
        if self._open >= limits.concurrency:
            text = f"Number of concurrent requests exceeded the limit of {limits.concurrency}."
            return None, ("0x80072326", text, 1)
        self._open += 1
        return place, None

    def leave(self, place: list[float]) -> None:
        """The request is answered: its time counts in full."""
        now = self._clock()
        self._open -= 1
        if place[0] > now - self._limits.window:
            place[1] = (now - place[0]) * 1000
            self._spent += place[1]

    def left(self) -> tuple[int, float]:
        """Requests and seconds of execution that remain."""
        seconds = (self._limits.execution_ms - self._spent) / 1000
        return max(0, self._limits.requests - len(self._seen)), max(0.0, seconds)


class DataverseStandIn:
    """One organisation."""

    def __init__(
        self,
        authorise: Callable[[str], bool] | None = None,
        *,
        sales: bool = True,
        service: bool | None = None,
        custom: Mapping[str, Mapping[str, Mapping[str, object]]] | None = None,
        lenient_completed: bool = False,
        refuse_changesets: bool = False,
        nested_changeset_errors: bool = True,
        messageid_unique: bool = False,
        protection: Protection | None = None,
        delay: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.authorise = authorise or bool
        self.lenient_completed = lenient_completed
        self.refuse_changesets = refuse_changesets
        self.nested_changeset_errors = nested_changeset_errors
        self.messageid_unique = messageid_unique
        self.delay = delay
        self.dop_hint = 4
        self.requests = 0
        service = sales if service is None else service
        apps = ["dataverse", *(["sales"] if sales else []), *(["service"] if service else [])]
        self._model = load_model(apps, custom)
        self._clock = clock
        self._lock = threading.RLock()
        self._log: deque[Logged] = deque(maxlen=100_000)
        self._version = 1_000_000
        self._gate: _Gate | None = None
        self.protection = protection
        self._inserts: dict[tuple[str, tuple[str, ...]], str] = {}
        self._referring = self._references()
        self._db = self._database()
        self._affinity = uuid4().hex * 2
        self.organization_id = self.business_unit_id = self.user_id = ""
        self._furnish()

    # --- set-up and looking in ---------------------------------------------------------------------------------------

    @property
    def protection(self) -> Protection | None:
        """The limits in force; setting them starts a new window."""
        return self._protection

    @protection.setter
    def protection(self, limits: Protection | None) -> None:
        self._protection = limits
        self._gate = _Gate(limits, time.monotonic) if limits else None

    @property
    def log(self) -> tuple[Logged, ...]:
        """The requests since the log was cleared."""
        with self._lock:
            return tuple(self._log)

    def clear_log(self) -> None:
        """Forget the requests seen so far."""
        with self._lock:
            self._log.clear()

    def add(self, table: str, **columns: object) -> str:
        """Put a row there, as the platform itself may: read-only columns and state can be given.

        A lookup is given as (table, id) under its own name or as `name@odata.bind`."""
        with self._lock:
            declared = self._model.tables[table]
            change = self._given(declared, columns)
            return self._atomic(lambda: self._create(declared, change, self.user_id))

    def update(self, table: str, row_id: str | UUID, **columns: object) -> None:
        """Change a row as the platform itself may."""
        with self._lock:
            declared = self._model.tables[table]
            change = self._given(declared, columns)
            self._write(declared, str(row_id).lower(), change.values, change.lookups)
            if change.children is not None:
                self._replace_parties(str(row_id).lower(), change.children)

    def delete(self, table: str, row_id: str | UUID) -> None:
        """Delete a row with all that goes with it."""
        with self._lock:
            self._delete(self._model.tables[table], str(row_id).lower())

    def rows(self, table: str, **equals: object) -> list[dict[str, object]]:
        """The rows whose columns equal these, in the order they were made."""
        with self._lock:
            declared = self._model.tables[table]
            names = [*declared.columns, *(n for k in declared.lookups.values() for n in (k.value, k.type))]
            if unknown := set(equals) - set(names):
                raise KeyError(f"{table} has no {', '.join(sorted(unknown))}")
            where = " AND ".join(f'"{name}" IS ?' for name in equals) or "1"
            values = [str(value) if isinstance(value, UUID) else value for value in equals.values()]
            wanted = ", ".join(f'"{name}"' for name in names)
            found = self._db.execute(f'SELECT {wanted} FROM "{table}" WHERE {where} ORDER BY rowid', values)
            columns = declared.columns
            return [
                {name: columns[name].shown(v) if name in columns else v for name, v in zip(names, row, strict=True)}
                for row in found
            ]

    def count(self, table: str, **equals: object) -> int:
        """How many rows have these values."""
        return len(self.rows(table, **equals))

    def parties(self, activityid: str | UUID) -> list[dict[str, object]]:
        """The party rows of an activity, those for regarding and owner included."""
        return self.rows("activityparty", _activityid_value=str(activityid).lower())

    def email(self, activityid: str | UUID) -> dict[str, object] | None:
        """An email with its `parties`, or None."""
        found = self.rows("email", activityid=str(activityid).lower())
        return {**found[0], "parties": self.parties(activityid)} if found else None

    def _given(self, table: Table, columns: Mapping[str, object]) -> Change:
        change, payload = Change(), {}
        for name, value in columns.items():
            plain = str(value) if isinstance(value, UUID) else value
            plain = plain.astimezone(UTC).isoformat() if isinstance(plain, datetime) else plain
            if name in table.lookups:
                change.lookups[name] = (plain[0], str(plain[1]).lower()) if isinstance(plain, tuple) else None
            elif name in table.columns:
                change.values[name] = table.columns[name].stored(plain)
            else:
                payload[name] = plain
        rest = self._change(table, payload, Request("POST", "", "", {}, b"", "", self.user_id))
        rest.values |= change.values
        rest.lookups |= change.lookups
        if table.states and "statecode" in rest.values:
            state = int(str(rest.values["statecode"]))
            _check_pair(table, "", state, rest.values.setdefault("statuscode", table.states[state].default))
        return rest

    # --- storage ----------------------------------------------------------------------------------------------------

    def _database(self) -> sqlite3.Connection:
        db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None, cached_statements=1024)
        kinds = {"text": "TEXT COLLATE NOCASE", "decimal": "REAL", "datetime": "TEXT", "guid": "TEXT"}
        for table in self._model.tables.values():
            columns = [f'"{c.name}" {kinds.get(c.type, "INTEGER")}' for c in table.columns.values()]
            columns += [f'"{k.value}" TEXT, "{k.type}" TEXT' for k in table.lookups.values()]
            db.execute(f'CREATE TABLE "{table.logical}" ({", ".join(columns)}, UNIQUE ("{table.key}"))')
            indexed = [c.name for c in table.columns.values() if c.index]
            indexed += [k.value for k in table.lookups.values() if k.on_delete != "keep" or k.name == "partyid"]
            for name in indexed:
                db.execute(f'CREATE INDEX "{table.logical}.{name}" ON "{table.logical}" ("{name}")')
        return db

    def _references(self) -> dict[str, list[tuple[Table, Lookup]]]:
        referring: dict[str, list[tuple[Table, Lookup]]] = {logical: [] for logical in self._model.tables}
        for table in self._model.tables.values():
            for lookup in table.lookups.values():
                for target in {t for targets in lookup.bind.values() for t in targets}:
                    referring[target].append((table, lookup))
        return referring

    def _furnish(self) -> None:
        """What every organisation has before anyone adds anything."""
        self.user_id = str(uuid4())
        self.organization_id = self.add("organization", name="Sandbox")
        self.business_unit_id = self.add("businessunit", name="Sandbox")
        self.add("systemuser", systemuserid=self.user_id, fullname="# Sandbox application", firstname="#",
                 lastname="Sandbox application")  # fmt: skip

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    def _now(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))

    def _insert(self, table: str, row: Mapping[str, object]) -> None:
        names = tuple(row)
        sql = self._inserts.get((table, names))
        if sql is None:
            columns = ", ".join(f'"{name}"' for name in names)
            sql = f'INSERT INTO "{table}" ({columns}) VALUES ({", ".join("?" * len(names))})'
            self._inserts[table, names] = sql
        self._db.execute(sql, tuple(row.values()))

    def _value(self, table: Table, row_id: str, *names: str) -> tuple[object, ...] | None:
        wanted = ", ".join(f'"{name}"' for name in names)
        found = self._db.execute(f'SELECT {wanted} FROM "{table.logical}" WHERE "{table.key}" = ?', (row_id,))
        row: tuple[object, ...] | None = found.fetchone()
        return row

    def _write(
        self,
        table: Table,
        row_id: str,
        values: Mapping[str, object],
        lookups: Mapping[str, tuple[str, str] | None],
        caller: str | None = None,
    ) -> None:
        row = dict(values)
        for name, target in lookups.items():
            lookup = table.lookups[name]
            row[lookup.type], row[lookup.value] = target or (None, None)
        row |= {"modifiedon": self._now(), "versionnumber": self._next_version()}
        row |= {"_modifiedby_value": caller or self.user_id, "_modifiedby_type": "systemuser"}
        assigned = ", ".join(f'"{name}" = ?' for name in row)
        sql = f'UPDATE "{table.logical}" SET {assigned} WHERE "{table.key}" = ?'
        self._db.execute(sql, (*row.values(), row_id))

    # --- HTTP -------------------------------------------------------------------------------------------------------

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = await _body(receive)
        self.requests += 1
        gate = self._gate
        place, refusal = gate.enter() if gate else (None, None)
        try:
            part = _throttled(refusal) if refusal else self._serve(scope, body)
            if self.delay:
                await asyncio.sleep(self.delay)
        finally:
            if gate and place:
                gate.leave(place)
        headers = [(name.lower().encode(), value.encode()) for name, value in (*part.headers, *self._always())]
        headers.append((b"content-length", str(len(part.body)).encode()))
        await send({"type": "http.response.start", "status": part.status, "headers": headers})
        await send({"type": "http.response.body", "body": part.body})

    def _always(self) -> list[tuple[str, str]]:
        requests, seconds = self._gate.left() if self._gate else (5999, 1200.0)
        return [
            ("x-ms-service-request-id", str(uuid4())),
            ("REQ_ID", str(uuid4())),
            ("x-ms-ratelimit-burst-remaining-xrm-requests", str(requests)),
            ("x-ms-ratelimit-time-remaining-xrm-requests", f"{seconds:,.2f}"),
            ("x-ms-dop-hint", str(self.dop_hint)),
            ("Set-Cookie", f"ARRAffinity={self._affinity};path=/;secure;HttpOnly"),
        ]

    def _serve(self, scope: Scope, body: bytes) -> Part:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        raw = scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        method = scope["method"]
        operations: list[str] = []
        with self._lock:
            try:
                root = f"{scope['scheme']}://{headers.get('host', 'localhost')}/api/data/v9.2/"
                part = self._answer(Request(method, raw, query, headers, body, root, self.user_id), operations)
            except ODataError as error:
                part = _failure(error)
            self._log.append(Logged(method, raw, query, tuple(operations), headers.get("cookie"), part.status))
        return part

    def _answer(self, request: Request, operations: list[str]) -> Part:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not self.authorise(token):
            raise ODataError(401, "0x80072560", "The token is missing, unknown or expired.")
        if len(request.root) + len(request.path) + len(request.query) > URL_CAP:
            raise ODataError(414, "", f"The request URL is longer than {URL_CAP} characters.")
        request.caller = self._caller(request.headers)
        request.path = self._relative(request.path)
        if request.path == "$batch":
            return self._batch(request, operations)
        return self._run(request)

    def _relative(self, path: str) -> str:
        found = _ROOT.match(path)
        if not found:
            raise ODataError(404, "", f"No HTTP resource was found that matches the request URI '{path}'.")
        return path[found.end() :]

    def _caller(self, headers: Mapping[str, str]) -> str:
        """Who acts: the application user, or the user it acts for (learn.microsoft.com, impersonate-another-user)."""
        for header, column in (("callerobjectid", "azureactivedirectoryobjectid"), ("mscrmcallerid", "systemuserid")):
            if header in headers:
                sql = f'SELECT systemuserid FROM systemuser WHERE "{column}" = ? AND isdisabled = 0'
                found = self._db.execute(sql, (headers[header].lower(),)).fetchone()
                if not found:
                    raise ODataError(403, NOT_FOUND, f"systemuser With Id = {headers[header]} Does Not Exist")
                return str(found[0])
        return self.user_id

    # --- $batch -----------------------------------------------------------------------------------------------------

    def _batch(self, request: Request, operations: list[str]) -> Part:
        if request.method != "POST":
            raise _no_method(request.method)
        parts: list[Part | tuple[Part, ...]] = []
        entries = batch.parse(request.body, request.headers.get("content-type", ""))
        for entry in entries:
            inner = entry.operations if isinstance(entry, ChangeSet) else (entry,)
            operations.extend(f"{operation.method} {operation.url}" for operation in inner)
        failed = 0
        for entry in entries:
            answer = self._change_set(request, entry) if isinstance(entry, ChangeSet) else self._single(request, entry)
            parts.append(answer)
            last = answer if isinstance(answer, Part) else answer[-1]
            if last.status >= 400 and not request.prefer.continue_on_error:
                failed = last.status
                break
        content_type, body = batch.render(parts)
        return Part(failed or 200, (("Content-Type", content_type), ("OData-Version", "4.0")), body)

    def _inner(self, outer: Request, operation: Operation) -> Request:
        path, _, query = operation.url.partition("?")
        if not path.startswith("$") and path.startswith(("/", "http")):
            path = self._relative(path)
        return Request(operation.method, path, query, operation.headers, operation.body, outer.root, outer.caller)

    def _single(self, outer: Request, operation: Operation) -> Part:
        try:
            return self._run(self._inner(outer, operation))
        except ODataError as error:
            return _failure(error)

    def _change_set(self, outer: Request, change_set: ChangeSet) -> Part | tuple[Part, ...]:
        """All of it or nothing; a failure is one answer for the whole change set.

        It stands inside the change set's own boundary with the Content-ID of what failed, as an answer of the live
        service quoted in a public Entity Framework provider shows; OData 4.0 (part 1, 11.7.4) puts it outside."""
        refs: dict[str, tuple[Table, str]] = {}
        made: set[str] = set()
        parts: list[Part] = []
        self._db.execute("SAVEPOINT change_set")
        try:
            for operation in change_set.operations:
                request = self._inner(outer, operation)
                request.refs, request.made = refs, made
                parts.append(self._run_in_set(request, operation))
        except ODataError as error:
            self._db.execute("ROLLBACK TO change_set")
            failure = _failure(error, operation.content_id if self.nested_changeset_errors else None)
            return (failure,) if self.nested_changeset_errors else failure
        finally:
            self._db.execute("RELEASE change_set")
        return tuple(parts)

    def _run_in_set(self, request: Request, operation: Operation) -> Part:
        part = self._run(request)
        if operation.content_id is not None and request.refs is not None:
            where = next((value for name, value in part.headers if name == "OData-EntityId"), None)
            if where is not None:
                table, row_id = self._address(self._relative(where))
                request.refs[operation.content_id] = (table, row_id)
        return Part(part.status, part.headers, part.body, operation.content_id)

    # --- routes -----------------------------------------------------------------------------------------------------

    def _run(self, request: Request) -> Part:
        head, *rest = unquote(request.path).split("/")
        if head.startswith("$") and head[1:].isdigit():
            table, row_id = self._reference(head, request)
            return self._row_route(request, table, row_id, rest)
        if head == "":
            return self._service_document(request)
        found = _SEGMENT.fullmatch(head)
        name, key = (found[1], found[2]) if found else (head, None)
        if name == "WhoAmI" and key in (None, "") and not rest:
            return self._who_am_i(request)
        if name == "EntityDefinitions":
            return self._definitions(request, key, rest)
        if name not in self._model.sets:
            raise ODataError(404, NO_RESOURCE, f"Resource not found for the segment '{name}'.")
        table = self._model.sets[name]
        if key is None:
            return self._set_route(request, table, rest)
        return self._row_route(request, table, _key(table, key), rest)

    def _address(self, path: str) -> tuple[Table, str]:
        found = _SEGMENT.fullmatch(path)
        if not found or found[2] is None:
            raise ODataError(400, SYNTAX, f"'{path}' does not name a row.")
        if found[1] not in self._model.sets:
            raise ODataError(400, NO_RESOURCE, f"Resource not found for the segment '{found[1]}'.")
        table = self._model.sets[found[1]]
        return table, _key(table, found[2])

    def _reference(self, name: str, request: Request) -> tuple[Table, str]:
        if request.refs is None or name[1:] not in request.refs:
            raise ODataError(400, PAYLOAD, f"Content-ID Reference: '{name}' does not exist in the batch context.")
        return request.refs[name[1:]]

    def _set_route(self, request: Request, table: Table, rest: Sequence[str]) -> Part:
        if rest == ["$count"] and request.method == "GET":
            query = parse_query(self._model, table, options_of(request.query))
            return Part(200, (("Content-Type", "text/plain"), ("OData-Version", "4.0")), self._total(query))
        if rest:
            raise ODataError(404, NO_RESOURCE, f"Resource not found for the segment '{rest[0]}'.")
        if request.method == "GET":
            return self._list(request, table)
        if request.method != "POST":
            raise _no_method(request.method)
        return self._post(request, table)

    def _row_route(self, request: Request, table: Table, row_id: str, rest: Sequence[str]) -> Part:
        if rest:
            return self._below_row(request, table, row_id, rest)
        match request.method:
            case "GET":
                return self._get(request, table, row_id)
            case "PATCH":
                return self._patch(request, table, row_id)
            case "DELETE":
                return self._remove(request, table, row_id)
        raise _no_method(request.method)

    def _below_row(self, request: Request, table: Table, row_id: str, rest: Sequence[str]) -> Part:
        if request.method != "GET":
            raise _no_method(request.method)
        if self._value(table, row_id, table.key) is None:
            raise _missing(table, row_id)
        if rest[0] in table.collections and len(rest) == 1:
            child = table.collections[rest[0]]
            return self._list(request, self._model.tables[child.table], (child.lookup, table.logical, row_id))
        if rest[0] in table.columns and list(rest[1:]) == ["$value"]:
            (value,) = self._value(table, row_id, rest[0]) or (None,)
            if value is None:
                return Part(204)
            return Part(200, (("Content-Type", "text/plain"),), str(value).encode())
        raise ODataError(404, NO_RESOURCE, f"Resource not found for the segment '{rest[0]}'.")

    def _who_am_i(self, request: Request) -> Part:
        if request.method != "GET":
            uri = f"{request.root}{request.path}"
            raise ODataError(404, "", f"No HTTP resource was found that matches the request URI '{uri}'.")
        return _json(
            {
                "@odata.context": f"{request.root}$metadata#{NAMESPACE}.WhoAmIResponse",
                "BusinessUnitId": self.business_unit_id,
                "UserId": request.caller,
                "OrganizationId": self.organization_id,
            }
        )

    def _service_document(self, request: Request) -> Part:
        sets = [{"name": name, "kind": "EntitySet", "url": name} for name in sorted(self._model.sets)]
        return _json({"@odata.context": f"{request.root}$metadata", "value": sets})

    def _definitions(self, request: Request, key: str | None, rest: Sequence[str]) -> Part:
        """The little of EntityDefinitions that tells whether a table or a column exists, and the names to bind by."""
        if request.method != "GET":
            raise _no_method(request.method)
        options = options_of(request.query)
        wanted = {name.strip() for name in options.get("$select", "").split(",")} - {""}
        context = f"{request.root}$metadata#EntityDefinitions"
        if key is None:
            return _json({"@odata.context": context, "value": [_pick(_definition(t), wanted) for t in self._tables()]})
        logical = re.fullmatch(r"LogicalName='(\w+)'", key)
        table = self._model.tables.get(logical[1]) if logical else None
        if table is None:
            raise ODataError(404, NOT_FOUND, f"Could not find an entity with name {key} in the metadata cache.")
        if not rest:
            return _json({"@odata.context": f"{context}/$entity", **_pick(_definition(table), wanted)})
        column = re.fullmatch(r"Attributes\(LogicalName='(\w+)'\)", rest[0])
        if column:
            found = next((a for a in _attributes(table) if a["LogicalName"] == column[1]), None)
            if found is None:
                raise ODataError(404, NOT_FOUND, f"Could not find an attribute with name {column[1]}.")
            return _json(_pick(found, wanted))
        kinds = {"Attributes": _attributes, "ManyToOneRelationships": _relationships}
        if rest[0] not in kinds:
            raise ODataError(404, NO_RESOURCE, f"Resource not found for the segment '{rest[0]}'.")
        entries = _matching(kinds[rest[0]](table), options.get("$filter"))
        return _json({"@odata.context": context, "value": [_pick(entry, wanted) for entry in entries]})

    def _tables(self) -> Iterable[Table]:
        return self._model.tables.values()

    # --- reading ----------------------------------------------------------------------------------------------------

    def _get(self, request: Request, table: Table, row_id: str) -> Part:
        query = parse_query(self._model, table, options_of(request.query))
        rows = self._fetch(query, request.prefer, f'"{table.key}" = ?', (row_id,), 1)
        if not rows:
            raise _missing(table, row_id)
        none_match = request.condition("if-none-match")
        if none_match in ("*", rows[0]["@odata.etag"]):
            return Part(304, (("OData-Version", "4.0"),))
        context = f"{request.root}$metadata#{table.set}{_selected(query)}/$entity"
        return _json({"@odata.context": context, **rows[0]})

    def _list(self, request: Request, table: Table, owner: tuple[str, str, str] | None = None) -> Part:
        query = parse_query(self._model, table, options_of(request.query))
        condition, values = _belongs(owner) if owner else ("1", ())
        page = request.prefer.page or PAGE_CAP
        limit = min(query.top, PAGE_CAP) if query.top is not None else page
        rows = self._fetch(query, request.prefer, condition, values, limit + 1)
        answer: dict[str, object] = {"@odata.context": f"{request.root}$metadata#{table.set}{_selected(query)}"}
        if query.count:
            total = int(self._total(query, condition, values))
            answer["@odata.count"] = min(total, PAGE_CAP)
            if request.prefer.wants(f"{NAMESPACE}.totalrecordcount"):
                answer[f"@{NAMESPACE}.totalrecordcount"] = min(total, PAGE_CAP)
                answer[f"@{NAMESPACE}.totalrecordcountlimitexceeded"] = total > PAGE_CAP
        answer["value"] = rows[:limit]
        if len(rows) > limit and query.top is None:
            answer["@odata.nextLink"] = _next_link(request, query.skip + limit, limit)
        return _json(answer)

    def _total(self, query: Query, condition: str = "1", values: Sequence[object] = ()) -> bytes:
        where = f"{condition} AND ({query.where})" if query.where else condition
        sql = f'SELECT count(*) FROM "{query.table.logical}" WHERE {where}'
        return str(self._db.execute(sql, (*values, *query.values)).fetchone()[0]).encode()

    def _fetch(
        self, query: Query, prefer: Preferences, condition: str, values: Sequence[object], limit: int
    ) -> list[dict[str, object]]:
        table = query.table
        names = list(query.select if table.key in query.select else (*query.select, table.key))
        extra = ["versionnumber", table.key]
        extra += [lookup.type for name in names if (lookup := table.values.get(name))]
        extra += [n for e in query.expand if e.lookup for n in (e.lookup.value, e.lookup.type)]
        wanted = ", ".join(f'"{name}"' for name in (*names, *extra))
        where = f"{condition} AND ({query.where})" if query.where else condition
        order = f"{query.order}, rowid" if query.order else "rowid"
        sql = f'SELECT {wanted} FROM "{table.logical}" WHERE {where} ORDER BY {order} LIMIT {limit} OFFSET {query.skip}'
        if query.top is not None:
            sql = sql.replace(f"LIMIT {limit}", f"LIMIT {min(limit, query.top)}")
        found = self._db.execute(sql, (*values, *query.values)).fetchall()
        width = len(names)
        return [
            self._row(query, prefer, names, row[:width], dict(zip(extra, row[width:], strict=True))) for row in found
        ]

    def _row(
        self,
        query: Query,
        prefer: Preferences,
        names: Sequence[str],
        row: Sequence[object],
        extra: Mapping[str, object],
    ) -> dict[str, object]:
        table, columns = query.table, query.table.columns
        answer: dict[str, object] = {"@odata.etag": f'W/"{extra["versionnumber"]}"'}
        for name, value in zip(names, row, strict=True):
            column = columns.get(name)
            if prefer.annotations and value is not None:
                self._annotate(answer, prefer, table, name, value, extra)
            answer[name] = column.shown(value) if column else value
        for expansion in query.expand:
            answer[expansion.name] = self._expanded(expansion, prefer, table, extra)
        return answer

    def _annotate(
        self,
        answer: dict[str, object],
        prefer: Preferences,
        table: Table,
        name: str,
        value: object,
        extra: Mapping[str, object],
    ) -> None:
        column, lookup = table.columns.get(name), table.values.get(name)
        if column and prefer.wants(_FORMATTED):
            label = column.label(value)
            if label is not None:
                answer[f"{name}@{_FORMATTED}"] = label
        if not lookup:
            return
        target = str(extra[lookup.type])
        notes = {_LOGICAL: target, _NAVIGATION: lookup.navigation(target), _FORMATTED: self._title(target, str(value))}
        for annotation, note in notes.items():
            if note is not None and prefer.wants(annotation):
                answer[f"{name}@{annotation}"] = note

    def _title(self, logical: str, row_id: str) -> str | None:
        table = self._model.tables.get(logical)
        found = self._value(table, row_id, table.name) if table else None
        return None if not found or found[0] is None else str(found[0])

    def _expanded(self, expansion: Expansion, prefer: Preferences, table: Table, extra: Mapping[str, object]) -> object:
        query = expansion.query
        if expansion.child:
            condition, values = _belongs((expansion.child.lookup, table.logical, str(extra[table.key])))
            return self._fetch(query, prefer, condition, values, PAGE_CAP)
        lookup = expansion.lookup
        if lookup is None or extra[lookup.type] not in lookup.bind[expansion.name]:
            return None
        target = query.table
        if extra[lookup.type] != target.logical:
            return None
        rows = self._fetch(query, prefer, f'"{target.key}" = ?', (extra[lookup.value],), 1)
        return rows[0] if rows else None

    # --- bodies -----------------------------------------------------------------------------------------------------

    def _payload(self, request: Request) -> dict[str, object]:
        content_type = request.headers.get("content-type", "")
        if not content_type.lower().startswith("application/json"):
            raise ODataError(
                400, PAYLOAD, f"A supported Content-Type must be given: application/json, not '{content_type}'."
            )
        try:
            payload = msgspec.json.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ODataError(400, PAYLOAD, f"Error reading the JSON of the request: {error}") from None
        if not isinstance(payload, dict):
            raise ODataError(400, PAYLOAD, "Error reading the JSON of the request: an object is expected.")
        return payload

    def _change(self, table: Table, payload: Mapping[str, object], request: Request) -> Change:
        change = Change()
        for name, value in payload.items():
            column = table.columns.get(name)
            if column is not None:
                if column.write:
                    change.values[name] = column.stored(value)
            elif name.endswith("@odata.bind"):
                self._bind(table, change, name[: -len("@odata.bind")], value, request)
            elif name == "@odata.type":
                if str(value).lstrip("#") != table.type:
                    raise _bad_input(f"The type '{value}' is not '{table.type}'.")
            elif "@" in name:
                self._annotation(table, name)
            elif name in table.collections:
                change.children = self._children(table, name, value, request)
            elif name not in table.values:
                raise _undeclared(table, name, value)
        return change

    def _annotation(self, table: Table, name: str) -> None:
        """An annotation says nothing to write, but it must stand at something declared."""
        about = name.partition("@")[0]
        if about and about not in {*table.columns, *table.values, *table.binds, *table.collections}:
            raise _only_annotated(about)

    def _bind(self, table: Table, change: Change, navigation: str, value: object, request: Request) -> None:
        lookup = table.binds.get(navigation)
        if lookup is None:
            raise _only_annotated(navigation)
        if value is None:
            target = None
        elif isinstance(value, str):
            target = self._target(lookup, navigation, value, request)
        else:
            raise _bad_input(f"The value of '{navigation}@odata.bind' must be the address of one row.")
        if not lookup.write:
            return
        if lookup.name in change.lookups:
            raise _bad_input(f"The lookup '{lookup.name}' is bound more than once.")
        change.lookups[lookup.name] = target

    def _target(self, lookup: Lookup, navigation: str, address: str, request: Request) -> tuple[str, str]:
        if address.startswith(("$", "/$")):
            target, row_id = self._reference(address.lstrip("/"), request)
        else:
            path = unquote(address)
            if _ROOT.match(path):
                path = self._relative(path)
            target, row_id = self._address(path.removeprefix("/"))
        if target.logical not in lookup.bind[navigation]:
            expected = " or ".join(f"'{NAMESPACE}.{logical}'" for logical in lookup.bind[navigation])
            raise _bad_input(f"A resource of type '{target.type}' was found for '{navigation}', expected {expected}.")
        if self._value(target, row_id, target.key) is None:
            raise _missing(target, row_id)
        return target.logical, row_id

    def _children(self, table: Table, name: str, value: object, request: Request) -> list[Change]:
        child = table.collections[name]
        if not child.deep_insert:
            raise _bad_input(f"Rows of '{name}' cannot be created together with their '{table.logical}'.")  # [unproven]
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise _bad_input(f"The value of '{name}' must be an array of objects.")
        party = self._model.tables[child.table]
        changes = [self._change(party, entry, request) for entry in value]
        _check_parties(changes)
        return changes

    # --- writing ----------------------------------------------------------------------------------------------------

    def _post(self, request: Request, table: Table) -> Part:
        if "POST" not in table.methods:
            raise ODataError(
                400, "0x80040800", f"The 'Create' method does not support entities of type '{table.logical}'."
            )
        payload = self._payload(request)
        change = self._change(table, payload, request)
        _check_created_state(table, change)
        row_id = self._atomic(lambda: self._create(table, change, request.caller))
        request.made.add(row_id)
        return self._written(request, table, row_id, created=True)

    def _atomic(self, act: Callable[[], str]) -> str:
        self._db.execute("SAVEPOINT request")
        try:
            return act()
        except BaseException as error:
            self._db.execute("ROLLBACK TO request")
            if isinstance(error, sqlite3.IntegrityError):
                raise ODataError(412, DUPLICATE, "Cannot insert duplicate key.") from error
            raise
        finally:
            self._db.execute("RELEASE request")

    def _written(self, request: Request, table: Table, row_id: str, *, created: bool) -> Part:
        where = f"{request.root}{table.set}({row_id})"
        if not request.prefer.representation:
            # The service names the row in 204 answers only (learn.microsoft.com, create-entity-web-api).
            return Part(204, (("OData-Version", "4.0"), ("Location", where), ("OData-EntityId", where)))
        query = parse_query(self._model, table, options_of(request.query))
        (row,) = self._fetch(query, request.prefer, f'"{table.key}" = ?', (row_id,), 1)
        context = f"{request.root}$metadata#{table.set}{_selected(query)}/$entity"
        part = _json({"@odata.context": context, **row})
        headers = (*part.headers, ("Preference-Applied", "return=representation"))
        return Part(201 if created else 200, headers, part.body)

    def _create(self, table: Table, change: Change, caller: str, row_id: str | None = None) -> str:
        values = change.values
        row_id = row_id or str(values.get(table.key) or uuid4())
        if self._value(table, row_id, table.key) is not None:
            raise ODataError(412, DUPLICATE, "Cannot insert duplicate key.")
        if table.logical == "activitymimeattachment":
            self._check_attachment(change)
        now = self._now()
        row = {**table.defaults, **values, table.key: row_id, "versionnumber": self._next_version()}
        row["createdon"] = values.get("createdon") or now
        row["modifiedon"] = values.get("modifiedon") or now
        if values.get("overriddencreatedon"):
            # The date given becomes createdon, and the true one takes its place here. [unproven]
            row["createdon"], row["overriddencreatedon"] = values["overriddencreatedon"], now
        lookups: dict[str, tuple[str, str] | None] = {"createdby": ("systemuser", caller)}
        lookups["modifiedby"] = ("systemuser", caller)
        if caller != self.user_id:
            lookups["createdonbehalfby"] = ("systemuser", self.user_id)
        if table.owned:
            lookups["ownerid"] = ("systemuser", caller)
        lookups |= change.lookups
        self._complete(table, row, lookups)
        for name, target in lookups.items():
            if target is not None:
                lookup = table.lookups[name]
                row[lookup.type], row[lookup.value] = target
        self._insert(table.logical, row)
        self._after_create(table, row_id, change, lookups)
        return row_id

    def _complete(self, table: Table, row: dict[str, object], lookups: dict[str, tuple[str, str] | None]) -> None:
        """What the platform fills by itself when a row is made."""
        if "fullname" in table.columns and "fullname" not in row:
            row["fullname"] = _full_name(row.get("firstname"), row.get("lastname"))
        if table.logical == "email":
            self._check_messageid(str(row[table.key]), row.get("messageid"), row.get("directioncode"))
            lookups["owningbusinessunit"] = ("businessunit", self.business_unit_id)
            lookups |= _owners(lookups["ownerid"])

    def _after_create(
        self, table: Table, row_id: str, change: Change, lookups: Mapping[str, tuple[str, str] | None]
    ) -> None:
        if table.logical == "email":
            self._add_parties(row_id, change.children or (), lookups["ownerid"])
            self._add_platform_party(row_id, _REGARDING, lookups.get("regardingobjectid"), lookups["ownerid"])
            self._add_platform_party(row_id, _OWNER, lookups["ownerid"], lookups["ownerid"])
        elif table.logical == "activitymimeattachment":
            self._count_attachments(lookups.get("objectid"))

    def _check_messageid(self, row_id: str, message_id: object, direction: object) -> None:
        if not self.messageid_unique or message_id is None:
            return
        sql = "SELECT 1 FROM email WHERE messageid = ? AND directioncode = ? AND activityid <> ?"
        if self._db.execute(sql, (message_id, direction, row_id)).fetchone():
            raise ODataError(
                412,
                "0x80060892",
                "A record that has the attribute values Message ID, Direction already exists. The entity key requires "
                "that this set of attributes contains unique values. Select unique values and try again.",
            )

    # --- parties ----------------------------------------------------------------------------------------------------

    def _add_parties(self, activity: str, changes: Sequence[Change], owner: tuple[str, str] | None) -> None:
        party = self._model.tables["activityparty"]
        version = self._next_version()
        for change in changes:
            target = change.lookups.get("partyid")
            values = {party.key: str(uuid4()), **party.defaults, **change.values, "versionnumber": version}
            if target and not values.get("addressused"):
                values["addressused"] = self._address_of(*target)
            self._insert("activityparty", values | _party_lookups(activity, target, owner))

    def _address_of(self, logical: str, row_id: str) -> object:
        """The address the platform writes for a party that came without one. [unproven]"""
        table = self._model.tables[logical]
        column = _MAIL_COLUMNS.get(logical, "emailaddress1")
        found = self._value(table, row_id, column) if column in table.columns else None
        return found[0] if found else None

    def _add_platform_party(
        self, activity: str, mask: int, target: tuple[str, str] | None, owner: tuple[str, str] | None
    ) -> None:
        if target is None:
            return
        party = self._model.tables["activityparty"]
        values = {party.key: str(uuid4()), **party.defaults, "participationtypemask": mask}
        values["versionnumber"] = self._next_version()
        self._insert("activityparty", values | _party_lookups(activity, target, owner))

    def _replace_parties(self, activity: str, changes: Sequence[Change]) -> None:
        masks = ", ".join(map(str, _EMAIL_MASKS))
        self._db.execute(
            f"DELETE FROM activityparty WHERE _activityid_value = ? AND participationtypemask IN ({masks})", (activity,)
        )
        self._add_parties(activity, changes, self._owner_of(activity))

    def _owner_of(self, activity: str) -> tuple[str, str] | None:
        row = self._value(self._model.tables["email"], activity, "_ownerid_type", "_ownerid_value")
        return (str(row[0]), str(row[1])) if row else None

    def _replace_platform_party(self, activity: str, mask: int, target: tuple[str, str] | None) -> None:
        self._db.execute(
            "DELETE FROM activityparty WHERE _activityid_value = ? AND participationtypemask = ?", (activity, mask)
        )
        self._add_platform_party(activity, mask, target, self._owner_of(activity))

    # --- changing and deleting --------------------------------------------------------------------------------------

    def _patch(self, request: Request, table: Table, row_id: str) -> Part:
        if "PATCH" not in table.methods:
            raise ODataError(
                400, "0x80040800", f"The 'Update' method does not support entities of type '{table.logical}'."
            )
        change = self._change(table, self._payload(request), request)
        row = self._value(table, row_id, "versionnumber")
        if row is not None and request.condition("if-none-match") == "*":
            raise ODataError(412, DUPLICATE, "A record with matching key values already exists.")
        _check_version(request, table, row_id, row)
        if row is None:
            return self._upserted(request, table, row_id, change)
        self._atomic(lambda: self._update(request, table, row_id, change))
        return self._written(request, table, row_id, created=False)

    def _upserted(self, request: Request, table: Table, row_id: str, change: Change) -> Part:
        if change.children is not None:
            raise _bad_input("Related rows can be created with POST only, not with a PATCH that creates.")  # [unproven]
        _check_created_state(table, change)
        self._atomic(lambda: self._create(table, change, request.caller, row_id))
        request.made.add(row_id)
        return self._written(request, table, row_id, created=True)

    def _update(self, request: Request, table: Table, row_id: str, change: Change) -> str:
        values = {name: value for name, value in change.values.items() if not table.columns[name].create_only}
        if table.states:
            self._check_change_of_state(request, table, row_id, change, values)
        if table.logical == "email":
            self._check_email_update(row_id, values)
        if table.logical == "activitymimeattachment":
            self._check_open(self._value(table, row_id, "_objectid_type", "_objectid_value"))
        if "fullname" in table.columns and {"firstname", "lastname"} & set(values):
            first, last = self._value(table, row_id, "firstname", "lastname") or (None, None)
            values["fullname"] = _full_name(values.get("firstname", first), values.get("lastname", last))
        if table.logical == "email" and "ownerid" in change.lookups:
            change.lookups |= _owners(change.lookups["ownerid"])
        self._write(table, row_id, values, change.lookups, request.caller)
        if table.logical == "email":
            self._after_email_update(row_id, change)
        return row_id

    def _after_email_update(self, row_id: str, change: Change) -> None:
        if change.children is not None:
            self._replace_parties(row_id, change.children)
        if "regardingobjectid" in change.lookups:
            self._replace_platform_party(row_id, _REGARDING, change.lookups["regardingobjectid"])
        if "ownerid" in change.lookups:
            self._replace_platform_party(row_id, _OWNER, change.lookups["ownerid"])

    def _check_change_of_state(
        self, request: Request, table: Table, row_id: str, change: Change, values: dict[str, object]
    ) -> None:
        (current,) = self._value(table, row_id, "statecode") or (0,)
        asked = "statecode" in values
        state = values["statecode"] if asked else current
        if table.logical == "email" and current != 0:
            if not asked and not self.lenient_completed:
                raise ODataError(400, INVALID_ARGUMENT, "Cannot update Closed or Cancelled Activity")
            if state != 0 and change.children is not None and not self.lenient_completed:
                raise ODataError(400, INVALID_ARGUMENT, "Cannot update Closed or Cancelled Activity")
        if self.refuse_changesets and asked and row_id in request.made:
            raise ODataError(
                400,
                INVALID_ARGUMENT,
                f"The state of a {table.logical} cannot change in the change set that creates it.",
            )
        if not isinstance(state, int):
            raise _bad_input("A null value was found for the property 'statecode', which cannot be null.")
        if "statuscode" in values:
            _check_pair(table, row_id, state, values["statuscode"])
        elif asked and state != current:
            values["statuscode"] = table.states[state].default

    def _check_email_update(self, row_id: str, values: dict[str, object]) -> None:
        email = self._model.tables["email"]
        row = self._value(email, row_id, "messageid", "directioncode", "actualend", "senton") or (None,) * 4
        if "messageid" in values or "directioncode" in values:
            kept = values.get("messageid", row[0]), values.get("directioncode", row[1])
            self._check_messageid(row_id, *kept)
        if values.get("statecode") in (1, 2) and values.get("actualend", row[2]) is None:
            # The column's own description: by default the date when the activity was completed or cancelled.
            values["actualend"] = f"{self._now()[:10]}T00:00:00Z"
        if values.get("statuscode") == 3 and row[3] is None:
            values["senton"] = self._now()  # [unproven]

    def _remove(self, request: Request, table: Table, row_id: str) -> Part:
        if "DELETE" not in table.methods:
            raise ODataError(
                400, "0x80040800", f"The 'Delete' method does not support entities of type '{table.logical}'."
            )
        row = self._value(table, row_id, "versionnumber")
        if row is None:
            raise _missing(table, row_id)
        _check_version(request, table, row_id, row)
        self._atomic(lambda: self._delete(table, row_id))
        return Part(204, (("OData-Version", "4.0"),))

    def _delete(self, table: Table, row_id: str) -> str:
        mail = self._value(table, row_id, "_objectid_value") if table.logical == "activitymimeattachment" else None
        for other, lookup in self._referring[table.logical]:
            self._let_go(other, lookup, table.logical, row_id)
        self._db.execute(f'DELETE FROM "{table.logical}" WHERE "{table.key}" = ?', (row_id,))
        if mail and mail[0]:
            self._count_attachments(("email", str(mail[0])))
        return row_id

    def _let_go(self, other: Table, lookup: Lookup, logical: str, row_id: str) -> None:
        here = f'"{lookup.value}" = ? AND "{lookup.type}" = ?'
        if lookup.on_delete == "cascade":
            sql = f'SELECT "{other.key}" FROM "{other.logical}" WHERE {here}'
            for (child,) in self._db.execute(sql, (row_id, logical)).fetchall():
                self._delete(other, child)
        elif lookup.on_delete == "unlink":
            sql = f'UPDATE "{other.logical}" SET "{lookup.value}" = NULL, "{lookup.type}" = NULL WHERE {here}'
            self._db.execute(sql, (row_id, logical))
        elif lookup.name == "partyid":
            self._db.execute(f"UPDATE activityparty SET ispartydeleted = 1 WHERE {here}", (row_id, logical))

    # --- attachments ------------------------------------------------------------------------------------------------

    def _check_attachment(self, change: Change) -> None:
        values, target = change.values, change.lookups.get("objectid")
        if target is None or values.get("objecttypecode") != target[0]:
            raise ODataError(
                400, INVALID_ARGUMENT, "An attachment needs objectid and the objecttypecode of what it is attached to."
            )
        self._check_open(target)
        sql = "SELECT maxuploadfilesize, blockedattachments, blockedmimetypes, allowedmimetypes FROM organization"
        size, extensions, blocked, allowed = self._db.execute(sql).fetchone()
        body = str(values.get("body") or "")
        if len(body) > size:  # measured on the Base64 text (developer/data-platform/attachment-annotation-files)
            raise ODataError(400, "0x80044a02", "Attachment file size is too big.")
        try:
            values["filesize"] = len(base64.b64decode(body, validate=True))
        except binascii.Error:
            raise _bad_input("Cannot convert the value of 'body': it is not Base64.") from None
        _check_file_type(str(values.get("filename") or ""), values.get("mimetype"), extensions, blocked, allowed)

    def _check_open(self, target: Sequence[object] | None) -> None:
        if not target or target[0] != "email" or self.lenient_completed:
            return
        (state,) = self._value(self._model.tables["email"], str(target[1]), "statecode") or (0,)
        if state != 0:
            raise ODataError(400, INVALID_ARGUMENT, "Cannot update Closed or Cancelled Activity")

    def _count_attachments(self, target: tuple[str, str] | None) -> None:
        if target and target[0] == "email":
            sql = "SELECT count(*) FROM activitymimeattachment WHERE _objectid_value = ? AND _objectid_type = 'email'"
            (total,) = self._db.execute(sql, (target[1],)).fetchone()
            self._write(self._model.tables["email"], target[1], {"attachmentcount": total}, {})


# --- refusals -------------------------------------------------------------------------------------------------------


def _missing(table: Table, row_id: str) -> ODataError:
    return ODataError(404, NOT_FOUND, f"{table.logical} With Id = {row_id} Does Not Exist")


def _no_method(method: str) -> ODataError:
    return ODataError(405, "", f"The requested resource does not support http method '{method}'.")


def _bad_input(message: str) -> ODataError:
    text = f"An error occurred while validating input parameters: Microsoft.OData.ODataException: {message}"
    return ODataError(400, PAYLOAD, text)


def _undeclared(table: Table, name: str, value: object) -> ODataError:
    if isinstance(value, list | dict):
        return _bad_input(f"Does not support untyped value in non-open type. (property '{name}' of '{table.type}')")
    return _bad_input(
        f"The property '{name}' does not exist on type '{table.type}'. Make sure to only use property names that are "
        "defined by the type."
    )


def _only_annotated(name: str) -> ODataError:
    return _bad_input(
        f"An undeclared property '{name}' which only has property annotations in the payload but no property value was "
        "found in the payload. In OData, only declared navigation properties and declared named streams can be "
        "represented as properties without values."
    )


def _check_version(request: Request, table: Table, row_id: str, row: Sequence[object] | None) -> None:
    wanted = request.condition("if-match")
    if wanted is None:
        return
    if row is None:
        raise _missing(table, row_id)
    if wanted not in ("*", f'W/"{row[0]}"'):
        raise ODataError(
            412, STALE, "The version of the existing record doesn't match the RowVersion property provided."
        )


def _check_pair(table: Table, row_id: str, state: int, status: object) -> None:
    if not isinstance(status, int):
        raise _bad_input("A null value was found for the property 'statuscode', which cannot be null.")
    if status not in table.states[state].statuses:
        name = f"{table.logical.capitalize()}State.{table.states[state].label}"
        raise ODataError(
            400,
            STATUS_OF_OTHER_STATE,
            f"{status} is not a valid status code for state code {name} on {table.logical} with Id {row_id}.",
        )


def _check_created_state(table: Table, change: Change) -> None:
    """A row is born open: the state asked for is ignored, an inactive status without it refused."""
    if not table.states:
        return
    asked = change.values.pop("statecode", None)
    status = change.values.get("statuscode")
    if "statuscode" not in change.values or status in table.states[0].statuses:
        return
    if asked is None or not isinstance(status, int):
        _check_pair(table, "00000000-0000-0000-0000-000000000000", 0, status)
    del change.values["statuscode"]


def _check_parties(changes: Sequence[Change]) -> None:
    senders = 0
    for change in changes:
        mask = change.values.get("participationtypemask")
        if mask not in _EMAIL_MASKS:
            raise ODataError(
                400, INVALID_ARGUMENT, f"The participationtypemask '{mask}' is not valid for a party of an email."
            )
        senders += mask == 1
        if not change.lookups.get("partyid") and not change.values.get("addressused"):
            raise ODataError(400, INVALID_ARGUMENT, "An activity party needs a partyid or an addressused.")
    if senders > 1:
        raise ODataError(400, INVALID_ARGUMENT, "An email cannot have more than one sender.")


def _check_file_type(filename: str, mimetype: object, extensions: object, blocked: object, allowed: object) -> None:
    extension = filename.rpartition(".")[2].lower() if "." in filename else ""
    if extension and extension in _listed(extensions):
        raise ODataError(
            400,
            "0x80043e09",
            "The attachment is either not a valid type or is too large. It cannot be uploaded or downloaded.",
        )
    kind = str(mimetype or "").lower()
    if _listed(allowed):
        if kind not in _listed(allowed):
            raise ODataError(400, "0x80072521", f"Operation not allowed as mime type {kind} is not in allowed list.")
    elif kind in _listed(blocked):
        raise ODataError(400, "0x80072522", f"Operation not allowed as mime type {kind} is blocked.")


def _listed(setting: object) -> set[str]:
    return {entry.strip().lower() for entry in str(setting or "").split(";")} - {""}


# --- answers --------------------------------------------------------------------------------------------------------


def _json(content: Mapping[str, object]) -> Part:
    return Part(200, (("Content-Type", _JSON), ("OData-Version", "4.0")), msgspec.json.encode(content))


def _failure(error: ODataError, content_id: str | None = None) -> Part:
    body = msgspec.json.encode({"error": {"code": error.code, "message": error.message}})
    headers = [("REQ_ID", str(uuid4())), ("Content-Type", _JSON), ("OData-Version", "4.0")]
    if error.status == 401:
        headers.append(("WWW-Authenticate", "Bearer"))
    return Part(error.status, headers, body, content_id)


def _throttled(refusal: tuple[str, str, int]) -> Part:
    code, message, wait = refusal
    part = _failure(ODataError(429, code, message))
    return Part(429, (*part.headers, ("Retry-After", str(wait))), part.body)


def _key(table: Table, text: str) -> str:
    text = text.removeprefix(f"{table.key}=")
    if not GUID.fullmatch(text):
        raise ODataError(400, SYNTAX, f"'{text}' is not the key of a row of '{table.set}': a GUID without quotes.")
    return text.lower()


def _belongs(owner: tuple[str, str, str]) -> tuple[str, tuple[str, ...]]:
    lookup, logical, row_id = owner
    return f'"_{lookup}_value" = ? AND "_{lookup}_type" = ?', (row_id, logical)


def _party_lookups(activity: str, target: tuple[str, str] | None, owner: tuple[str, str] | None) -> dict[str, object]:
    party, owned = target or (None, None), owner or (None, None)
    return {
        "_activityid_type": "email",
        "_activityid_value": activity,
        "_partyid_type": party[0],
        "_partyid_value": party[1],
        "_ownerid_type": owned[0],
        "_ownerid_value": owned[1],
    }


def _selected(query: Query) -> str:
    if not query.selected and not query.expand:
        return ""
    names = [*(query.select if query.selected else ())]
    names += [f"{e.name}({','.join(e.query.select) if e.query.selected else ''})" for e in query.expand]
    return f"({','.join(names)})"


def _next_link(request: Request, skip: int, size: int) -> str:
    kept = [pair for pair in request.query.split("&") if pair and not pair.startswith("$skiptoken=")]
    kept.append(f"$skiptoken={quote(skip_token(skip, skip // size + 1), safe='')}")
    return f"{request.root}{request.path}?{'&'.join(kept)}"


def _owners(owner: tuple[str, str] | None) -> dict[str, tuple[str, str] | None]:
    if owner is None:
        raise _bad_input("A null value was found for the lookup 'ownerid', which cannot be null.")
    user = owner[0] == "systemuser"
    return {"owninguser": owner if user else None, "owningteam": None if user else owner}


def _full_name(first: object, last: object) -> str | None:
    return " ".join(str(name) for name in (first, last) if name) or None


def _pick(entry: Mapping[str, object], wanted: set[str]) -> dict[str, object]:
    unknown = wanted - set(entry)
    if unknown:
        raise ODataError(400, SYNTAX, f"Could not find a property named '{min(unknown)}' on this type.")
    return {name: value for name, value in entry.items() if not wanted or name in wanted or name == "MetadataId"}


def _matching(entries: Iterable[dict[str, object]], condition: str | None) -> list[dict[str, object]]:
    if condition is None:
        return list(entries)
    found = re.fullmatch(r"\s*(\w+) eq '([^']*)'\s*", condition)
    if not found:
        raise ODataError(400, SYNTAX, f"This stand-in filters definitions by one equality only, not by '{condition}'.")
    return [entry for entry in entries if str(entry.get(found[1])) == found[2]]


def _definition(table: Table) -> dict[str, object]:
    return {
        "MetadataId": str(uuid5(NAMESPACE_URL, table.logical)),
        "LogicalName": table.logical,
        "EntitySetName": table.set,
        "LogicalCollectionName": table.set,
        "PrimaryIdAttribute": table.key,
        "PrimaryNameAttribute": table.name,
        "IsActivity": table.logical == "email",
        "IsOptimisticConcurrencyEnabled": True,
        "OwnershipType": "UserOwned" if table.owned else "None",
    }


def _attributes(table: Table) -> list[dict[str, object]]:
    kinds = {"text": "String", "integer": "Integer", "choice": "Picklist", "guid": "Uniqueidentifier"}
    kinds |= {"boolean": "Boolean", "datetime": "DateTime", "decimal": "Decimal"}
    columns: list[dict[str, object]] = [
        {
            "LogicalName": column.name,
            "AttributeType": kinds[column.type],
            "MaxLength": column.max if column.type == "text" else None,
            "IsValidForCreate": column.write,
            "IsValidForUpdate": column.write and not column.create_only,
            "IsValidForRead": column.read,
        }
        for column in table.columns.values()
    ]
    lookups: list[dict[str, object]] = [
        {
            "LogicalName": lookup.name,
            "AttributeType": "Lookup",
            "MaxLength": None,
            "IsValidForCreate": lookup.write,
            "IsValidForUpdate": lookup.write,
            "IsValidForRead": True,
        }
        for lookup in table.lookups.values()
    ]
    return columns + lookups


def _relationships(table: Table) -> list[dict[str, object]]:
    return [
        {
            "ReferencedEntity": target,
            "ReferencingEntity": table.logical,
            "ReferencingAttribute": lookup.name,
            "ReferencingEntityNavigationPropertyName": navigation,
        }
        for lookup in table.lookups.values()
        for navigation, targets in lookup.bind.items()
        for target in targets
    ]


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)
