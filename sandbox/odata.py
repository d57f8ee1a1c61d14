"""What is declared (read from tables.toml) and the OData words over it: values, and query options turned into SQL.

Knows nothing of HTTP, of sockets or of what an email is; `dataverse` holds the rows and the rules of the tables."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus

NAMESPACE = "Microsoft.Dynamics.CRM"
PAGE_CAP = 5000
# learn.microsoft.com, Web API filter rows: TooManyConditionsInQuery.
CONDITION_CAP = 500
SYNTAX = "0x80060888"
PAYLOAD = "0x80048d19"
INVALID_ARGUMENT = "0x80040203"

GUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
# Only what System.Xml.XmlConvert.VerifyXmlChars lets pass is saved (learn.microsoft.com, InvalidCharactersInField).
_NOT_XML = bytes({*range(32)} - {*b"\t\n\r"})
_WHEN = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,12})?)?(Z|z|[+-]\d\d:\d\d)")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
EARLIEST, LATEST = "1753-01-01T00:00:00Z", "9999-12-30T23:59:59Z"


class ODataError(Exception):
    """A refusal: HTTP status, the service's hexadecimal code and its message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def _bad_payload(message: str) -> ODataError:
    return ODataError(
        400,
        PAYLOAD,
        f"An error occurred while validating input parameters: Microsoft.OData.ODataException: {message}",
    )


def utf16_units(text: str) -> int:
    """How long .NET and nvarchar find a text: an emoji counts twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _is_xml(text: str) -> bool:
    try:
        raw = text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return len(raw.translate(None, _NOT_XML)) == len(raw) and "\ufffe" not in text and "\uffff" not in text


def instant(text: str) -> str:
    """A point in time as it is kept and answered, in whole seconds UTC; ValueError when it is none."""
    if not _WHEN.fullmatch(text):
        raise ValueError(text)
    stamp = datetime.fromisoformat(text.upper()).astimezone(UTC)
    return stamp.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


@dataclass(frozen=True, slots=True)
class Column:
    """A declared column and the values it takes."""

    table: str
    name: str
    type: str
    max: int | None = None
    min: int | None = None
    options: Mapping[int, str] = field(default_factory=dict)
    no: str = "No"
    yes: str = "Yes"
    format: str = "instant"
    default: object = None
    write: bool = True
    read: bool = True
    filter: bool = True
    create_only: bool = False
    index: bool = False

    @property
    def edm(self) -> str:
        """The type's name in OData."""
        return _EDM[self.type]

    def stored(self, value: object) -> object:
        """The value as it is kept, or a refusal."""
        return None if value is None else _STORE[self.type](self, value)

    def shown(self, value: object) -> object:
        """The kept value as it is answered."""
        return bool(value) if self.type == "boolean" and value is not None else value

    def label(self, value: object) -> str | None:
        """The text people see for a value (annotation FormattedValue), where there is one."""
        if value is None:
            return None
        if self.type == "choice":
            return self.options.get(int(str(value)))
        if self.type == "boolean":
            return self.yes if value else self.no
        return f"{value:,}" if self.type == "integer" and self.name != "versionnumber" else None

    def cannot_convert(self, value: object) -> ODataError:
        """The refusal of a JSON value of the wrong type."""
        shown = str(value).lower() if isinstance(value, bool) else str(value)[:100]
        return _bad_payload(
            f"Cannot convert the literal '{shown}' to the expected type '{self.edm}'. (property '{self.name}')"
        )


def _store_text(column: Column, value: object) -> object:
    if not isinstance(value, str):
        raise column.cannot_convert(value)
    if column.max is not None and len(value) * 2 > column.max and utf16_units(value) > column.max:
        raise ODataError(
            400,
            "0x80044331",
            f"A validation error occurred.  The length of the '{column.name}' attribute of the "
            f"'{column.table}' entity exceeded the maximum allowed length of '{column.max}'.",
        )
    if not _is_xml(value):
        raise ODataError(400, "0x80040278", f"The field '{column.name}' contains one or more invalid characters.")
    return value


def _store_integer(column: Column, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int):
        raise column.cannot_convert(value)
    low = -(2**31) if column.min is None else column.min
    high = 2**31 - 1 if column.max is None else column.max
    if not low <= value <= high:
        raise ODataError(
            400,
            INVALID_ARGUMENT,
            f"A validation error occurred.  The value of '{column.name}' on record of type '{column.table}' "
            f"is outside the valid range.",
        )
    return value


def _store_choice(column: Column, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int):
        raise column.cannot_convert(value)
    if value not in column.options:
        raise ODataError(
            400,
            "0x8004431a",
            f"A validation error occurred. The value {value} of '{column.name}' on record of type "
            f"'{column.table}' is outside the valid range. Accepted Values: {','.join(map(str, column.options))}",
        )
    return value


def _store_boolean(column: Column, value: object) -> object:
    if not isinstance(value, bool):
        raise column.cannot_convert(value)
    return int(value)


def _store_guid(column: Column, value: object) -> object:
    if not isinstance(value, str) or not GUID.fullmatch(value):
        raise column.cannot_convert(value)
    return value.lower()


def _store_decimal(column: Column, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise column.cannot_convert(value)
    return float(value)


def _store_datetime(column: Column, value: object) -> object:
    if not isinstance(value, str):
        raise column.cannot_convert(value)
    try:
        kept = instant(value)
    except (ValueError, OverflowError):
        raise column.cannot_convert(value) from None
    if not EARLIEST <= kept <= LATEST:
        limit = ("less", "minimum", EARLIEST) if kept < EARLIEST else ("greater", "maximum", LATEST)
        raise ODataError(
            400,
            INVALID_ARGUMENT,
            f"DateTime is {limit[0]} than {limit[1]} value supported by CrmDateTime. Actual value: {kept}, "
            f"{limit[1].capitalize()} value supported: {limit[2]}",
        )
    return f"{kept[:10]}T00:00:00Z" if column.format == "date" else kept


_EDM = {
    "text": "Edm.String",
    "integer": "Edm.Int32",
    "choice": "Edm.Int32",
    "decimal": "Edm.Decimal",
    "boolean": "Edm.Boolean",
    "datetime": "Edm.DateTimeOffset",
    "guid": "Edm.Guid",
}
_STORE: Mapping[str, Callable[[Column, object], object]] = {
    "text": _store_text,
    "integer": _store_integer,
    "choice": _store_choice,
    "decimal": _store_decimal,
    "boolean": _store_boolean,
    "datetime": _store_datetime,
    "guid": _store_guid,
}


@dataclass(frozen=True, slots=True)
class Lookup:
    """A declared lookup: where it may lead, by which navigation name, and what befalls its row."""

    name: str
    bind: Mapping[str, tuple[str, ...]]
    write: bool = True
    on_delete: str = "unlink"

    @property
    def value(self) -> str:
        """The property that holds the id."""
        return f"_{self.name}_value"

    @property
    def type(self) -> str:
        """The column (of storage only) that holds the table's name."""
        return f"_{self.name}_type"

    def navigation(self, table: str) -> str | None:
        """The name that leads to this table (annotation associatednavigationproperty)."""
        return next((name for name, tables in self.bind.items() if table in tables), None)


@dataclass(frozen=True, slots=True)
class ChildRows:
    """A declared collection of child rows."""

    table: str
    lookup: str
    deep_insert: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """A state of a row with the statuses that belong to it."""

    label: str
    default: int
    statuses: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A declared table."""

    logical: str
    set: str
    key: str
    name: str
    app: str
    owned: bool
    methods: frozenset[str]
    columns: Mapping[str, Column]
    lookups: Mapping[str, Lookup]
    collections: Mapping[str, ChildRows]
    states: Mapping[int, State]
    values: Mapping[str, Lookup]  # by the property that holds the id
    binds: Mapping[str, Lookup]  # by navigation name
    readable: tuple[str, ...]  # all that can be selected
    defaults: Mapping[str, object]

    @property
    def type(self) -> str:
        """The type's name in OData."""
        return f"{NAMESPACE}.{self.logical}"

    def no_property(self, name: str) -> ODataError:
        """The refusal of a name that is not declared, in a query."""
        return ODataError(400, SYNTAX, f"Could not find a property named '{name}' on type '{self.type}'.")

    def state_of(self, status: int) -> int:
        """The state a status belongs to."""
        return next(state for state, entry in self.states.items() if status in entry.statuses)


def _column(table: str, name: str, entry: Mapping[str, Any]) -> Column:
    words = dict(entry)
    if "options" in words:
        words["options"] = {int(number): label for number, label in words["options"].items()}
    return Column(table=table, name=name, **words)


def _states(entries: Mapping[str, Any]) -> dict[int, State]:
    return {
        int(number): State(
            label=entry["label"],
            default=entry["default"],
            statuses={int(status): label for status, label in entry["statuses"].items()},
        )
        for number, entry in entries.items()
    }


def _state_columns(states: Mapping[int, State]) -> dict[str, dict[str, object]]:
    if not states:
        return {}
    statuses = {status: label for state in states.values() for status, label in sorted(state.statuses.items())}
    labels = {number: state.label for number, state in states.items()}
    return {
        "statecode": {"type": "choice", "options": labels, "default": 0},
        "statuscode": {"type": "choice", "options": statuses, "default": states[0].default},
    }


def _lookups(entry: Mapping[str, Any], owned: bool, installed: Collection[str]) -> dict[str, Lookup]:
    declared: dict[str, dict[str, Any]] = dict(entry.get("lookups", {}))
    for name in ("createdby", "modifiedby", "createdonbehalfby"):
        declared.setdefault(name, {"bind": {name: "systemuser"}, "write": False, "on_delete": "keep"})
    if owned:
        declared.setdefault("ownerid", {"bind": {"ownerid": ["systemuser", "team"]}, "on_delete": "keep"})
    lookups = {}
    for name, words in declared.items():
        bind = {}
        for navigation, targets in words["bind"].items():
            there = tuple(t for t in ([targets] if isinstance(targets, str) else targets) if t in installed)
            if there:
                bind[navigation] = there
        rest = {key: value for key, value in words.items() if key != "bind"}
        lookups[name] = Lookup(name=name, bind=bind, **rest)
    return lookups


def _table(logical: str, entry: Mapping[str, Any], installed: Collection[str]) -> Table:
    key, owned = entry["key"], entry.get("owned", False)
    states = _states(entry.get("states", {}))
    words: dict[str, dict[str, Any]] = {key: {"type": "guid", "create_only": True}}
    words |= _state_columns(states)
    words |= dict(entry.get("columns", {}))
    for name in ("createdon", "modifiedon"):
        words[name] = {"type": "datetime", "write": False}
    words["versionnumber"] = {"type": "integer", "write": False}
    columns = {name: _column(logical, name, column) for name, column in words.items()}
    lookups = _lookups(entry, owned, installed)
    children = {name: ChildRows(**child) for name, child in entry.get("collections", {}).items()}
    return Table(
        logical=logical,
        set=entry["set"],
        key=key,
        name=entry["name"],
        app=entry["app"],
        owned=owned,
        methods=frozenset(entry.get("methods", ("GET", "POST", "PATCH", "DELETE"))),
        columns=columns,
        lookups=lookups,
        collections=children,
        states=states,
        values={lookup.value: lookup for lookup in lookups.values()},
        binds={name: lookup for lookup in lookups.values() for name in lookup.bind},
        readable=(
            *(name for name, column in columns.items() if column.read),
            *(lookup.value for lookup in lookups.values()),
        ),
        defaults={
            name: column.stored(column.default) for name, column in columns.items() if column.default is not None
        },
    )


@dataclass(frozen=True, slots=True)
class Model:
    """All declared tables, by logical name and by entity set."""

    tables: Mapping[str, Table]
    sets: Mapping[str, Table]


def load_model(
    apps: Collection[str] = ("dataverse", "sales", "service"),
    custom: Mapping[str, Mapping[str, Mapping[str, object]]] | None = None,
) -> Model:
    """The declarations of these applications, with an organisation's own columns added."""
    document = tomllib.loads((Path(__file__).with_name("tables.toml")).read_text(encoding="utf-8"))
    for logical, columns in (custom or {}).items():
        document[logical].setdefault("columns", {}).update(columns)
    installed = {logical for logical, entry in document.items() if entry["app"] in apps}
    tables = {logical: _table(logical, document[logical], installed) for logical in document if logical in installed}
    return Model(tables=tables, sets={table.set: table for table in tables.values()})


# --- query options --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Expansion:
    """One $expand entry: a collection of child rows, or the row a lookup leads to."""

    name: str
    query: Query
    child: ChildRows | None = None
    lookup: Lookup | None = None


@dataclass(slots=True)
class Query:
    """The query options of one request, ready for SQL."""

    table: Table
    select: tuple[str, ...]
    selected: bool = False
    where: str = ""
    values: list[object] = field(default_factory=list)
    order: str = ""
    top: int | None = None
    count: bool = False
    skip: int = 0
    expand: list[Expansion] = field(default_factory=list)


def split_top(text: str, separator: str) -> list[str]:
    """Split where the separator stands outside parentheses and quotes."""
    parts, depth, quoted, start = [], 0, False, 0
    for position, char in enumerate(text):
        if char == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == separator and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return parts


def options_of(query_string: str) -> dict[str, str]:
    """The query options, decoded; a plus sign means a space, as the service reads it."""
    options: dict[str, str] = {}
    for pair in query_string.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        name = unquote(name)
        if name in options:
            raise ODataError(400, SYNTAX, f"Query option '{name}' was specified more than once.")
        options[name] = unquote_plus(value)
    return options


def parse_query(model: Model, table: Table, options: Mapping[str, str], *, nested: bool = False) -> Query:
    """The query a request's options ask for."""
    query = Query(table=table, select=table.readable)
    aliases = {name: value for name, value in options.items() if name.startswith("@")}
    for name, value in options.items():
        match name:
            case "$select":
                query.select, query.selected = _select(table, value), True
            case "$filter":
                query.where, query.values = Filter(table, value, aliases).sql()
            case "$orderby":
                query.order = _orderby(table, value)
            case "$top":
                query.top = _number(name, value)
            case "$count" if not nested:
                query.count = value.strip() == "true"
            case "$expand":
                query.expand = [_expansion(model, table, part) for part in split_top(value, ",")]
            case "$skiptoken" if not nested:
                query.skip = _skip_of(value)
            case "$skip":
                raise ODataError(400, SYNTAX, "Skip Clause is not supported in CRM")
            case _ if name.startswith("$"):
                raise ODataError(400, SYNTAX, f"The query parameter '{name}' is not supported.")
            case _ if not name.startswith("@"):
                raise ODataError(400, SYNTAX, f"The query parameter '{name}' is not supported.")
    return query


def _number(option: str, value: str) -> int:
    if not value.strip().isdigit():
        raise ODataError(400, SYNTAX, f"Invalid value '{value}' for {option} query option found.")
    return int(value)


def skip_token(skip: int, page: int) -> str:
    """The paging cookie of a next link: opaque to clients."""
    return f'<cookie pagenumber="{page}" pagingcookie="{skip}" istracking="False" />'


def _skip_of(value: str) -> int:
    found = re.fullmatch(r'<cookie pagenumber="\d+" pagingcookie="(\d+)" istracking="False" />', value)
    if not found:
        raise ODataError(400, "0x80040203", "Malformed XML in the Paging Cookie")
    return int(found[1])


def _select(table: Table, value: str) -> tuple[str, ...]:
    names = [name.strip() for name in value.split(",")]
    if names == ["*"]:
        return table.readable
    for name in names:
        if name not in table.readable:
            raise table.no_property(name)
    return tuple(dict.fromkeys(names))


def _orderby(table: Table, value: str) -> str:
    terms = []
    for term in value.split(","):
        name, _, way = term.strip().partition(" ")
        if name not in table.readable:
            raise table.no_property(name)
        if way.strip() not in ("", "asc", "desc"):
            raise ODataError(400, SYNTAX, f"Syntax error at position {len(name)} in '{value}'.")
        terms.append(f'"{name}" {way.strip() or "asc"}')
    return ", ".join(terms)


def _expansion(model: Model, table: Table, text: str) -> Expansion:
    name, bracket, inner = text.strip().partition("(")
    options = {}
    if bracket:
        if not inner.endswith(")"):
            raise ODataError(400, SYNTAX, f"Found an unbalanced bracket expression in '{text}'.")
        for part in split_top(inner[:-1], ";"):
            option, _, value = part.strip().partition("=")
            options[option] = value
    if name in table.collections:
        child = table.collections[name]
        return Expansion(name, parse_query(model, model.tables[child.table], options, nested=True), child=child)
    if name in table.binds:
        lookup = table.binds[name]
        target = model.tables[lookup.bind[name][0]]
        return Expansion(name, parse_query(model, target, options, nested=True), lookup=lookup)
    raise table.no_property(name)


# --- $filter --------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"\\]|\\.)*")
    | (?P<guid>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(?![\w.]))
    | (?P<when>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?)
    | (?P<number>-?\d+(?:\.\d+)?(?![\w.]))
    | (?P<word>[@A-Za-z_][\w.]*(?:/\w+)*)
    | (?P<mark>[(),=\[\]])
    )""",
    re.VERBOSE,
)
_COMPARE = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_KIND = {"eq": "Equal", "ne": "NotEqual", "gt": "GreaterThan", "ge": "GreaterThanOrEqual", "lt": "LessThan"}
_KIND["le"] = "LessThanOrEqual"
_LIKE = {"contains": "%{}%", "startswith": "{}%", "endswith": "%{}"}
_LITERALS = {"string": "Edm.String", "guid": "Edm.Guid", "number": "Edm.Int32", "when": "Edm.DateTimeOffset"}


class Filter:
    """One $filter expression over one table, turned into a SQL condition."""

    def __init__(self, table: Table, text: str, aliases: Mapping[str, str]) -> None:
        self._table, self._text, self._aliases = table, text, aliases
        self._tokens = list(self._read(text))
        self._at = 0
        self._conditions = 0
        self._values: list[object] = []

    def sql(self) -> tuple[str, list[object]]:
        """The condition and the values its question marks stand for."""
        condition = self._either()
        if self._at != len(self._tokens):
            raise self._syntax()
        return condition, self._values

    def _read(self, text: str) -> Iterator[tuple[str, str]]:
        end, at = len(text.rstrip()), 0
        while at < end:
            found = _TOKEN.match(text, at)
            if not found:
                raise ODataError(400, SYNTAX, f"Syntax error at position {at} in '{text}'.")
            at = found.end()
            yield str(found.lastgroup), found[str(found.lastgroup)]

    def _syntax(self) -> ODataError:
        place = self._tokens[self._at][1] if self._at < len(self._tokens) else "end"
        return ODataError(400, SYNTAX, f"Syntax error at '{place}' in '{self._text}'.")

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        if token[0] == "end":
            raise self._syntax()
        self._at += 1
        return token

    def _expect(self, mark: str) -> None:
        if self._next() != ("mark", mark):
            self._at -= 1
            raise self._syntax()

    def _either(self) -> str:
        terms = [self._both()]
        while self._peek() == ("word", "or"):
            self._at += 1
            terms.append(self._both())
        return _joined(terms, "OR")

    def _both(self) -> str:
        terms = [self._one()]
        while self._peek() == ("word", "and"):
            self._at += 1
            terms.append(self._one())
        return _joined(terms, "AND")

    def _one(self) -> str:
        kind, text = self._next()
        if (kind, text) == ("mark", "("):
            inner = self._either()
            self._expect(")")
            return f"({inner})"
        if kind != "word":
            self._at -= 1
            raise self._syntax()
        if text == "not":
            return f"NOT ({self._one()})"
        self._conditions += 1
        if self._conditions > CONDITION_CAP:
            raise ODataError(400, "0x8004430c", "Number of conditions in query exceeded maximum limit.")
        if self._peek() == ("mark", "("):
            return self._function(text)
        return self._comparison(text)

    def _property(self, name: str) -> str:
        column = self._table.columns.get(name)
        if name not in self._table.readable:
            raise self._table.no_property(name)
        if column is not None and not column.filter:
            # developer/data-platform/email-activity-entities: unsupported since the column moved to blob storage.
            raise ODataError(
                400,
                INVALID_ARGUMENT,
                f"Filtering on the column '{name}' of the table '{self._table.logical}' is not supported.",
            )
        return name

    def _comparison(self, name: str) -> str:
        column = self._property(name)
        kind, operator = self._next()
        if kind != "word" or operator not in _COMPARE:
            self._at -= 1
            raise self._syntax()
        value = self._literal(column, operator)
        if value is None:
            if operator not in ("eq", "ne"):
                raise self._incompatible(column, "null", operator)
            return f'"{column}" IS {"NOT " if operator == "ne" else ""}NULL'
        self._values.append(value)
        condition = f'"{column}" {_COMPARE[operator]} ?'
        return f'({condition} OR "{column}" IS NULL)' if operator == "ne" else condition

    def _edm(self, name: str) -> str:
        column = self._table.columns.get(name)
        return column.edm if column else "Edm.Guid"

    def _incompatible(self, name: str, found: str, operator: str) -> ODataError:
        return ODataError(
            400,
            SYNTAX,
            "A binary operator with incompatible types was detected. Found operand types "
            f"'{self._edm(name)}' and '{found}' for operator kind '{_KIND[operator]}'.",
        )

    def _literal(self, name: str, operator: str) -> object:
        kind, text = self._next()
        if kind == "word" and text.startswith("@"):
            kind, text = self._alias(text)
        wanted = self._edm(name)
        if kind == "word" and text == "null":
            return None
        if kind == "word" and text in ("true", "false"):
            if wanted != "Edm.Boolean":
                raise self._incompatible(name, "Edm.Boolean", operator)
            return int(text == "true")
        found = _LITERALS.get(kind)
        if found is None:
            self._at -= 1
            raise self._syntax()
        if found != wanted and (found, wanted) != ("Edm.Int32", "Edm.Decimal"):
            raise self._incompatible(name, found, operator)
        return self._value(kind, text)

    def _value(self, kind: str, text: str) -> object:
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind == "guid":
            return text.lower()
        if kind == "number":
            return float(text) if "." in text or len(text) > 18 else int(text)
        if _DAY.fullmatch(text):
            return f"{text}T00:00:00Z"
        try:
            return instant(text)
        except ValueError:
            raise ODataError(400, SYNTAX, f"Unrecognized 'Edm.DateTimeOffset' literal '{text}'.") from None

    def _alias(self, name: str) -> tuple[str, str]:
        tokens = list(self._read(self._aliases.get(name, "null")))
        if len(tokens) != 1:
            raise self._syntax()
        return tokens[0]

    def _function(self, name: str) -> str:
        self._expect("(")
        if name in _LIKE:
            return self._like(name)
        if name in (f"{NAMESPACE}.In", f"{NAMESPACE}.NotIn"):
            return self._in(negated=name.endswith("NotIn"))
        raise ODataError(400, SYNTAX, f"An unknown function with name '{name}' was found.")

    def _like(self, name: str) -> str:
        _, text = self._next()
        column = self._property(text)
        if self._edm(column) != "Edm.String":
            raise ODataError(400, SYNTAX, f"No function signature for the function with name '{name}' matches.")
        self._expect(",")
        value = str(self._literal(column, "eq") or "")
        self._expect(")")
        escaped = re.sub(r"([\\%_])", r"\\\1", value)
        self._values.append(_LIKE[name].format(escaped))
        return f"\"{column}\" LIKE ? ESCAPE '\\'"

    def _in(self, *, negated: bool) -> str:
        given: dict[str, list[tuple[str, str]]] = {}
        while True:
            _, name = self._next()
            self._expect("=")
            given[name] = self._argument()
            kind, mark = self._next()
            if (kind, mark) == ("mark", ")"):
                break
            if (kind, mark) != ("mark", ","):
                self._at -= 1
                raise self._syntax()
        if set(given) != {"PropertyName", "PropertyValues"}:
            raise ODataError(400, SYNTAX, f"Parameters of {NAMESPACE}.In are PropertyName and PropertyValues.")
        (kind, text), *_ = given["PropertyName"]
        column = self._property(_unquoted(kind, text))
        values = [self._typed(column, _unquoted(kind, text)) for kind, text in given["PropertyValues"]]
        if not values:
            raise ODataError(400, INVALID_ARGUMENT, "The collection PropertyValues must not be empty.")
        self._values.extend(values)
        return f'"{column}" {"NOT " if negated else ""}IN ({",".join("?" * len(values))})'

    def _argument(self) -> list[tuple[str, str]]:
        kind, text = self._next()
        if kind == "word" and text.startswith("@"):
            return self._listed(list(self._read(self._aliases.get(text, ""))))
        if (kind, text) != ("mark", "["):
            return [(kind, text)]
        inner = []
        while (token := self._next()) != ("mark", "]"):
            inner.append(token)
        return self._listed(inner)

    def _listed(self, tokens: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        if tokens and tokens[0] == ("mark", "["):
            tokens = tokens[1:-1]
        if any(token != ("mark", ",") for token in tokens[1::2]) or (tokens and len(tokens) % 2 == 0):
            raise self._syntax()
        return list(tokens[::2])

    def _typed(self, name: str, text: str) -> object:
        column = self._table.columns.get(name)
        try:
            if column is None or column.type == "guid":
                if not GUID.fullmatch(text):
                    raise ValueError(text)
                return text.lower()
            if column.type in ("integer", "choice"):
                return int(text)
            if column.type == "boolean":
                return int({"true": True, "false": False, "1": True, "0": False}[text])
            return instant(text) if column.type == "datetime" else text
        except (ValueError, KeyError, TypeError):
            raise ODataError(400, INVALID_ARGUMENT, f"The value '{text}' does not fit '{name}'.") from None


def _unquoted(kind: str, text: str) -> str:
    if kind == "string":
        return text[1:-1].replace("''", "'")
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if kind == "quoted" else text


def _joined(terms: Sequence[str], word: str) -> str:
    """Many terms as a tree of little depth: SQLite refuses expressions deeper than a thousand."""
    if len(terms) <= 50:
        return f" {word} ".join(terms)
    middle = len(terms) // 2
    return f"({_joined(terms[:middle], word)}) {word} ({_joined(terms[middle:], word)})"
