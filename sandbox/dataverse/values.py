"""Columns and their values: what each type takes, how it is kept, and how it is shown.

Pure; knows nothing of rows. A value is kept as SQLite compares it best: a point in time as text in whole seconds UTC.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sandbox.dataverse.refusals import ODataError, bad_input, invalid

GUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
# Only what System.Xml.XmlConvert.VerifyXmlChars lets pass is saved (learn.microsoft.com, InvalidCharactersInField).
_NOT_XML = bytes({*range(32)} - {*b"\t\n\r"})
_WHEN = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,12})?)?(Z|z|[+-]\d\d:\d\d)")
_EARLIEST, _LATEST = "1753-01-01T00:00:00Z", "9999-12-30T23:59:59Z"


def utf16_units(text: str) -> int:
    """How long .NET and nvarchar find a text: an emoji counts twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def instant(text: str) -> str:
    """A point in time as it is kept and answered, in whole seconds UTC; ValueError when it is none."""
    if not _WHEN.fullmatch(text):
        raise ValueError(text)
    try:
        stamp = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError as error:  # before or after the calendar, once it is UTC
        raise ValueError(text) from error
    return stamp.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def midnight(moment: str) -> str:
    """The start of the day of a point in time: all that a date-only column keeps."""
    return f"{moment[:10]}T00:00:00Z"


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
    through: str | None = None

    @property
    def edm(self) -> str:
        """The type's name in OData."""
        return _EDM[self.type]

    def stored(self, value: object) -> object:
        """The value as it is kept, or a refusal."""
        return None if value is None else _STORE[self.type](self, value)

    def shown(self, value: object) -> object:
        """The kept value as it is answered."""
        if self.type == "boolean" and value is not None:
            return bool(value)
        return b2a_base64(value, newline=False).decode() if isinstance(value, bytes) else value

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
        return bad_input(
            f"Cannot convert the literal '{shown}' to the expected type '{self.edm}'. (property '{self.name}')"
        )


def _store_text(column: Column, value: object) -> object:
    if not isinstance(value, str):
        raise column.cannot_convert(value)
    if column.max is not None and len(value) * 2 > column.max and utf16_units(value) > column.max:
        raise _too_long(column)
    if not _is_xml(value):
        raise ODataError(400, "0x80040278", f"The field '{column.name}' contains one or more invalid characters.")
    return value


def _is_xml(text: str) -> bool:
    try:
        raw = text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return len(raw.translate(None, _NOT_XML)) == len(raw) and "\ufffe" not in text and "\uffff" not in text


def _store_integer(column: Column, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int):
        raise column.cannot_convert(value)
    low = -(2**31) if column.min is None else column.min
    high = 2**31 - 1 if column.max is None else column.max
    if not low <= value <= high:
        raise invalid(
            f"A validation error occurred.  The value of '{column.name}' on record of type '{column.table}' "
            f"is outside the valid range."
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


def _store_base64(column: Column, value: object) -> object:
    """The bytes themselves are kept: they take less room than their text."""
    if not isinstance(value, str):
        raise column.cannot_convert(value)
    if column.max is not None and len(value) > column.max:
        raise _too_long(column)
    try:
        return a2b_base64(value, strict_mode=True) if value else b""
    except ValueError:  # letters outside of Base64, or outside of ASCII
        raise bad_input(f"Cannot convert the value of '{column.name}': it is not Base64.") from None


def _too_long(column: Column) -> ODataError:
    return ODataError(
        400,
        "0x80044331",
        f"A validation error occurred.  The length of the '{column.name}' attribute of the "
        f"'{column.table}' entity exceeded the maximum allowed length of '{column.max}'.",
    )


def _store_datetime(column: Column, value: object) -> object:
    if not isinstance(value, str):
        raise column.cannot_convert(value)
    try:
        kept = instant(value)
    except ValueError:
        raise column.cannot_convert(value) from None
    if not _EARLIEST <= kept <= _LATEST:
        limit = ("less", "minimum", _EARLIEST) if kept < _EARLIEST else ("greater", "maximum", _LATEST)
        raise invalid(
            f"DateTime is {limit[0]} than {limit[1]} value supported by CrmDateTime. Actual value: {kept}, "
            f"{limit[1].capitalize()} value supported: {limit[2]}"
        )
    return midnight(kept) if column.format == "date" else kept


_EDM = {
    "text": "Edm.String",
    "integer": "Edm.Int32",
    "choice": "Edm.Int32",
    "decimal": "Edm.Decimal",
    "boolean": "Edm.Boolean",
    "datetime": "Edm.DateTimeOffset",
    "guid": "Edm.Guid",
    "base64": "Edm.String",
}
_STORE: Mapping[str, Callable[[Column, object], object]] = {
    "text": _store_text,
    "integer": _store_integer,
    "choice": _store_choice,
    "decimal": _store_decimal,
    "boolean": _store_boolean,
    "datetime": _store_datetime,
    "guid": _store_guid,
    "base64": _store_base64,
}
