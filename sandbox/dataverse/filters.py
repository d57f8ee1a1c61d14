"""$filter turned into a SQL condition over one table: comparisons, and, or, not, In, contains and its kind.

Pure. Names and types are checked as the service checks them: a number where a text is declared is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from sandbox.dataverse.model import NAMESPACE, Table
from sandbox.dataverse.refusals import ODataError, invalid, syntax
from sandbox.dataverse.values import GUID, instant, midnight

# learn.microsoft.com, Web API filter rows: TooManyConditionsInQuery.
_CONDITION_CAP = 500
_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<string>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"\\]|\\.)*")
    | (?P<guid>{GUID.pattern}(?![\w.]))
    | (?P<when>\d{{4}}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?)
    | (?P<number>-?\d+(?:\.\d+)?(?![\w.]))
    | (?P<word>[@A-Za-z_][\w.]*(?:/\w+)*)
    | (?P<mark>[(),=\[\]])
    )""",
    re.VERBOSE,
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_COMPARE = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_KIND = {"eq": "Equal", "ne": "NotEqual", "gt": "GreaterThan", "ge": "GreaterThanOrEqual", "lt": "LessThan"}
_KIND["le"] = "LessThanOrEqual"
_LIKE = {"contains": "%{}%", "startswith": "{}%", "endswith": "%{}"}
_LITERALS = {"string": "Edm.String", "guid": "Edm.Guid", "number": "Edm.Int32", "when": "Edm.DateTimeOffset"}


class Filter:
    """One $filter expression over one table, turned into a SQL condition."""

    def __init__(self, table: Table, text: str, aliases: Mapping[str, str]) -> None:
        self._table, self._text, self._aliases = table, text, aliases
        self._tokens = list(_tokens(text))
        self._at = 0
        self._conditions = 0
        self._values: list[object] = []

    def sql(self) -> tuple[str, list[object]]:
        """The condition and the values its question marks stand for."""
        condition = self._either()
        if self._at != len(self._tokens):
            raise self._syntax()
        return condition, self._values

    # tokens

    def _syntax(self) -> ODataError:
        place = self._tokens[self._at][1] if self._at < len(self._tokens) else "end"
        return syntax(f"Syntax error at '{place}' in '{self._text}'.")

    def _unexpected(self) -> ODataError:
        """The token just read does not belong there."""
        self._at -= 1
        return self._syntax()

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
            raise self._unexpected()

    # conditions

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
            raise self._unexpected()
        if text == "not":
            return f"NOT ({self._one()})"
        self._conditions += 1
        if self._conditions > _CONDITION_CAP:
            raise ODataError(400, "0x8004430c", "Number of conditions in query exceeded maximum limit.")
        if self._peek() == ("mark", "("):
            return self._function(text)
        return self._comparison(text)

    def _comparison(self, name: str) -> str:
        column = self._property(name)
        kind, operator = self._next()
        if kind != "word" or operator not in _COMPARE:
            raise self._unexpected()
        value = self._literal(column, operator)
        named = self._table.sql(column)
        if value is None:
            if operator not in ("eq", "ne"):
                raise self._incompatible(column, "null", operator)
            return f"{named} IS {'NOT ' if operator == 'ne' else ''}NULL"
        self._values.append(value)
        condition = f"{named} {_COMPARE[operator]} ?"
        return f"({condition} OR {named} IS NULL)" if operator == "ne" else condition

    # names and literals

    def _property(self, name: str) -> str:
        column = self._table.columns.get(name)
        if name not in self._table.readable:
            raise self._table.no_property(name)
        if column is not None and not column.filter:
            # developer/data-platform/email-activity-entities: unsupported since the column moved to blob storage.
            raise invalid(f"Filtering on the column '{name}' of the table '{self._table.logical}' is not supported.")
        return name

    def _edm(self, name: str) -> str:
        column = self._table.columns.get(name)
        return column.edm if column else "Edm.Guid"

    def _incompatible(self, name: str, found: str, operator: str) -> ODataError:
        return syntax(
            "A binary operator with incompatible types was detected. Found operand types "
            f"'{self._edm(name)}' and '{found}' for operator kind '{_KIND[operator]}'."
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
            raise self._unexpected()
        if found != wanted and (found, wanted) != ("Edm.Int32", "Edm.Decimal"):
            raise self._incompatible(name, found, operator)
        return _value(kind, text)

    def _alias(self, name: str) -> tuple[str, str]:
        tokens = list(_tokens(self._aliases.get(name, "null")))
        if len(tokens) != 1:
            raise self._syntax()
        return tokens[0]

    # functions

    def _function(self, name: str) -> str:
        self._expect("(")
        if name in _LIKE:
            return self._like(name)
        if name in (f"{NAMESPACE}.In", f"{NAMESPACE}.NotIn"):
            return self._in(negated=name.endswith("NotIn"))
        raise syntax(f"An unknown function with name '{name}' was found.")

    def _like(self, name: str) -> str:
        _, text = self._next()
        column = self._property(text)
        if self._edm(column) != "Edm.String":
            raise syntax(f"No function signature for the function with name '{name}' matches.")
        self._expect(",")
        value = str(self._literal(column, "eq") or "")
        self._expect(")")
        escaped = re.sub(r"([\\%_])", r"\\\1", value)
        self._values.append(_LIKE[name].format(escaped))
        return f"{self._table.sql(column)} LIKE ? ESCAPE '\\'"

    def _in(self, *, negated: bool) -> str:
        given = self._arguments()
        if set(given) != {"PropertyName", "PropertyValues"}:
            raise syntax(f"Parameters of {NAMESPACE}.In are PropertyName and PropertyValues.")
        (kind, text), *_ = given["PropertyName"]
        column = self._property(_unquoted(kind, text))
        values = [self._typed(column, _unquoted(kind, text)) for kind, text in given["PropertyValues"]]
        if not values:
            raise invalid("The collection PropertyValues must not be empty.")
        self._values.extend(values)
        return f"{self._table.sql(column)} {'NOT ' if negated else ''}IN ({','.join('?' * len(values))})"

    def _arguments(self) -> dict[str, list[tuple[str, str]]]:
        given: dict[str, list[tuple[str, str]]] = {}
        while True:
            _, name = self._next()
            self._expect("=")
            given[name] = self._argument()
            token = self._next()
            if token == ("mark", ")"):
                return given
            if token != ("mark", ","):
                raise self._unexpected()

    def _argument(self) -> list[tuple[str, str]]:
        kind, text = self._next()
        if kind == "word" and text.startswith("@"):
            return self._listed(list(_tokens(self._aliases.get(text, ""))))
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
                return {"true": 1, "false": 0, "1": 1, "0": 0}[text]
            return instant(text) if column.type == "datetime" else text
        except (ValueError, KeyError):
            raise invalid(f"The value '{text}' does not fit '{name}'.") from None


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    end, at = len(text.rstrip()), 0
    while at < end:
        found = _TOKEN.match(text, at)
        if not found:
            raise syntax(f"Syntax error at position {at} in '{text}'.")
        at = found.end()
        yield str(found.lastgroup), found[str(found.lastgroup)]


def _value(kind: str, text: str) -> object:
    if kind == "string":
        return _unquoted(kind, text)
    if kind == "guid":
        return text.lower()
    if kind == "number":
        return float(text) if "." in text or len(text) > 18 else int(text)
    if _DAY.fullmatch(text):
        return midnight(text)
    try:
        return instant(text)
    except ValueError:
        raise syntax(f"Unrecognized 'Edm.DateTimeOffset' literal '{text}'.") from None


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
