"""One organisation as its clients meet it over HTTP, and as a test or the demo sets it up and looks into it.

Responsible for who may come in, what every answer carries, and what is logged. Each request is answered under one lock,
by `routes` and `batch`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from starlette.types import Receive, Scope, Send

from sandbox.dataverse.answers import Answer, failure
from sandbox.dataverse.automation import Ran
from sandbox.dataverse.batch import Batches
from sandbox.dataverse.bodies import change_of
from sandbox.dataverse.model import Table, load_model
from sandbox.dataverse.privileges import Privileges
from sandbox.dataverse.protection import Gate, Protection
from sandbox.dataverse.reading import Reading
from sandbox.dataverse.refusals import NOT_FOUND, ODataError
from sandbox.dataverse.requests import Request, relative
from sandbox.dataverse.routes import Routes
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.rules import Behaviour, Change, check_pair
from sandbox.dataverse.security import Security
from sandbox.dataverse.writing import Writing

_URL_CAP = 32_768


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


class DataverseStandIn:
    """One organisation."""

    def __init__(
        self,
        authorise: Callable[[str], bool] | None = None,
        *,
        sales: bool = True,
        service: bool | None = None,
        custom: Mapping[str, Mapping[str, Mapping[str, object]]] | None = None,
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        privileges: Collection[str] | None = None,
        lenient_completed: bool = False,
        sealed_completed: bool = False,
        refuse_changesets: bool = False,
        nested_changeset_errors: bool = True,
        messageid_unique: bool = False,
        protection: Protection | None = None,
        delay: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`custom` adds columns to tables, `tables` adds tables, both in the words of tables.toml.

        A table needs `set`, `name` and `columns`; `regarding` is the navigation name by which emails regard its rows.
        """
        self.authorise = authorise or bool
        self.delay = delay
        self.dop_hint = 4
        self.requests = 0
        self.protection = protection
        self.behaviour = behaviour = Behaviour(
            lenient_completed=lenient_completed,
            sealed_completed=sealed_completed,
            refuse_changesets=refuse_changesets,
            nested_changeset_errors=nested_changeset_errors,
            messageid_unique=messageid_unique,
        )
        """May be changed at any time."""
        apps = {"dataverse": True, "sales": sales, "service": sales if service is None else service}
        self._rows = Rows(load_model([app for app, there in apps.items() if there], custom, tables), clock)
        self._privileges = Privileges(self._rows)
        self.privileges = privileges
        reading = Reading(self._rows, self._privileges)
        self._writing = Writing(self._rows, reading, self._privileges, behaviour)
        self._security = Security(self._rows, reading, self._privileges)
        self._routes = Routes(self._rows, reading, self._writing, self._privileges, self._security)
        self._batches = Batches(self._rows, self._routes.run, behaviour)
        self._lock = threading.RLock()
        self._log: deque[Logged] = deque(maxlen=100_000)
        self._affinity = uuid4().hex * 2
        self._furnish()

    # set-up

    @property
    def organization_id(self) -> str:
        """The id of the one row in organization."""
        return self._rows.organisation.id

    @property
    def business_unit_id(self) -> str:
        """The id of the one row in businessunit that was there from the beginning."""
        return self._rows.organisation.business_unit

    @property
    def user_id(self) -> str:
        """The systemuser that requests come from unless they impersonate another one."""
        return self._rows.organisation.user

    @property
    def protection(self) -> Protection | None:
        """The limits in force; setting them starts a new window."""
        return self._protection

    @protection.setter
    def protection(self, limits: Protection | None) -> None:
        self._protection = limits
        self._gate = Gate(limits) if limits else None

    @property
    def privileges(self) -> frozenset[str] | None:
        """Those of the application user, by name; None is all there are. May be set at any time."""
        return self._privileges.granted

    @privileges.setter
    def privileges(self, names: Collection[str] | None) -> None:
        self._privileges.granted = None if names is None else frozenset(names)

    @property
    def used_privileges(self) -> set[str]:
        """The privileges that requests needed so far, granted or not; may be cleared."""
        return self._privileges.used

    @property
    def depths(self) -> dict[str, str]:
        """How deep the application user's privileges reach, where it is not Global; to be changed."""
        return self._security.depths

    def privileges_of(self, user: str | UUID) -> dict[str, str]:
        """The privileges that a user has by its roles, with their depths."""
        with self._lock:
            return self._security.of_user(str(user).lower())

    @property
    def automation(self) -> deque[Ran]:
        """What of the organisation's own answered each write so far, those rolled back included; may be cleared."""
        return self._writing.automation.log

    @property
    def roleless(self) -> set[str]:
        """Ids of users and teams that have no security role; to be added to."""
        return self._writing.owners.roleless

    @property
    def unreading(self) -> set[str]:
        """Ids of users and teams whose roles let them read no activities; to be added to."""
        return self._writing.owners.unreading

    def add(self, table: str, **columns: object) -> str:
        """Put a row there, as the platform itself may: read-only columns and state can be given.

        A lookup is given as (table, id) under its own name or as `name@odata.bind`."""
        with self._lock:
            declared = self._rows.model.tables[table]
            return self._writing.create(declared, self._given(declared, columns), self.user_id)

    def update(self, table: str, row_id: str | UUID, **columns: object) -> None:
        """Change a row as the platform itself may."""
        with self._lock:
            declared, plain = self._rows.model.tables[table], str(row_id).lower()
            change = self._given(declared, columns)
            self._rows.change(declared, plain, change.values, change.lookups)
            if change.children is not None:
                self._writing.emails.parties.replace(plain, change.children)

    def delete(self, table: str, row_id: str | UUID) -> None:
        """Delete a row with all that goes with it."""
        with self._lock:
            self._writing.delete(self._rows.model.tables[table], str(row_id).lower())

    def _furnish(self) -> None:
        """What every organisation has before anyone adds anything."""
        own = self._rows.organisation
        self.add("organization", organizationid=own.id, name="Sandbox")
        self.add("businessunit", businessunitid=own.business_unit, name="Sandbox")
        self.add("systemuser", systemuserid=own.user, fullname="# Sandbox application", firstname="#",
                 lastname="Sandbox application", applicationid=uuid4())  # fmt: skip

    def _given(self, table: Table, columns: Mapping[str, object]) -> Change:
        """A change with read-only columns and lookups taken as they are, and the rest as a body would give it."""
        values: dict[str, object] = {}
        lookups: dict[str, tuple[str, str] | None] = {}
        payload: dict[str, object] = {}
        for name, value in columns.items():
            plain = str(value) if isinstance(value, UUID) else value
            plain = plain.astimezone(UTC).isoformat() if isinstance(plain, datetime) else plain
            if name in table.lookups:
                lookups[name] = (plain[0], str(plain[1]).lower()) if isinstance(plain, tuple) else None
            elif name in table.columns:
                values[name] = table.columns[name].stored(plain)
            else:
                payload[name] = plain
        change = change_of(self._rows, table, payload, Request("POST", "", "", {}, b"", "", self.user_id))
        change.values |= values
        change.lookups |= lookups
        if table.states and "statecode" in change.values:
            state = int(str(change.values["statecode"]))
            check_pair(table, "", state, change.values.setdefault("statuscode", table.states[state].default))
        return change

    # looking in

    @property
    def log(self) -> tuple[Logged, ...]:
        """The requests since the log was cleared."""
        with self._lock:
            return tuple(self._log)

    def clear_log(self) -> None:
        """Forget the requests seen so far."""
        with self._lock:
            self._log.clear()

    def rows(self, table: str, **equals: object) -> list[dict[str, object]]:
        """The rows whose columns equal these, in the order they were made."""
        with self._lock:
            return self._rows.equal(self._rows.model.tables[table], equals)

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

    # HTTP

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = await _body(receive)
        self.requests += 1
        answer = await self._admitted(scope, body)
        headers = [(name.lower().encode(), value.encode()) for name, value in (*answer.headers, *self._always())]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _admitted(self, scope: Scope, body: bytes) -> Answer:
        """The answer, within the limits in force."""
        gate = self._gate
        try:
            place = gate.enter() if gate else None
        except ODataError as refusal:
            await self._linger()
            return failure(refusal)
        try:
            answer = self._serve(scope, body)
            await self._linger()
        finally:
            if gate and place:
                gate.leave(place)
        return answer

    async def _linger(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)

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

    def _serve(self, scope: Scope, body: bytes) -> Answer:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        root = f"{scope['scheme']}://{headers.get('host', 'localhost')}/api/data/v9.2/"
        request = Request(scope["method"], path, query, headers, body, root, self.user_id)
        operations: list[str] = []
        with self._lock:
            try:
                answer = self._answer(request, operations)
            except ODataError as error:
                answer = failure(error)
            logged = Logged(request.method, path, query, tuple(operations), headers.get("cookie"), answer.status)
            self._log.append(logged)
        return answer

    def _answer(self, request: Request, operations: list[str]) -> Answer:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not self.authorise(token):
            raise ODataError(401, "0x80072560", "The token is missing, unknown or expired.")
        if len(request.root) + len(request.path) + len(request.query) > _URL_CAP:
            raise ODataError(414, "", f"The request URL is longer than {_URL_CAP} characters.")
        request.caller = self._caller(request.headers)
        request.path = relative(request.path)
        if request.path == "$batch":
            return self._batches.run(request, operations)
        return self._routes.run(request)

    def _caller(self, headers: Mapping[str, str]) -> str:
        """Who acts: the application user, or the user it acts for (learn.microsoft.com, impersonate-another-user)."""
        for header, column in (("callerobjectid", "azureactivedirectoryobjectid"), ("mscrmcallerid", "systemuserid")):
            if header in headers:
                self._privileges.impersonate()
                sql = f'SELECT systemuserid FROM systemuser WHERE "{column}" = ? AND isdisabled = 0'
                found = self._rows.db.execute(sql, (headers[header].lower(),)).fetchone()
                if not found:
                    raise ODataError(403, NOT_FOUND, f"systemuser With Id = {headers[header]} Does Not Exist")
                return str(found[0])
        return self.user_id


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
