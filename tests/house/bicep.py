"""Bicep as far as it can be checked without its compiler: a real grammar, and what names, modules and settings say.

The types of plain resources are not known here; continuous integration compiles the same files with the real thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from tests.house.published_modules import published

REGISTRY = "br/public:"
FUNCTIONS = {
    "empty",
    "environment",
    "guid",
    "loadJsonContent",
    "loadTextContent",
    "map",
    "newGuid",
    "replace",
    "string",
    "subscription",
    "subscriptionResourceId",
    "toLower",
    "union",
    "uniqueString",
}
"""The language's own functions that we use."""
LITERALS = {"string": "string", "number": "int", "boolean": "bool", "array": "array", "object": "object"}
DECLARATIONS = {
    "parameter_declaration",
    "variable_declaration",
    "resource_declaration",
    "module_declaration",
    "output_declaration",
}
BINDING = {"for_statement", "lambda_expression"}

_parser = Parser(Language(tree_sitter_bicep.language()))


@dataclass(frozen=True, slots=True)
class Declared:
    """A parameter, variable, resource, module or output."""

    kind: str
    name: str
    type: str
    """Of a parameter or output, such as `string`; of a resource or module, what stands in quotes."""
    value: Node | None
    """A default, a body or an expression."""

    @property
    def body(self) -> Node:
        """The object of a resource or module, whether it is made once, on a condition or many times."""
        node = self.value
        while node is not None and node.type != "object":
            node = node.named_children[-1]
        assert node is not None, f"{self.name} has no body"
        return node


class Bicep:
    """One file."""

    def __init__(self, text: str, path: Path) -> None:
        self.path = path
        self.root = _parser.parse(text.encode()).root_node
        self.errors = [_place(node) for node in walk(self.root) if node.type == "ERROR" or node.is_missing]
        self.declared = [_declared(node) for node in self.root.named_children if node.type in DECLARATIONS]

    @classmethod
    def read(cls, path: Path) -> Bicep:
        return cls(path.read_text(encoding="utf-8"), path)

    def all(self, kind: str) -> dict[str, Declared]:
        """Everything of one kind (`parameter`, `module`, ...) by its name."""
        return {declared.name: declared for declared in self.declared if declared.kind == kind}

    @property
    def module_problems(self) -> list[str]:
        """What is passed to a module that it does not take, not passed though it must be, or of another type."""
        return [problem for module in self.all("module").values() for problem in self._problems_of(module)]

    @property
    def name_problems(self) -> list[str]:
        """Names that nothing declares, and parameters and variables that nothing uses."""
        names = {one.name for one in self.declared if one.kind != "output"}
        used = list(_names(self.root, frozenset()))
        unknown = sorted({name for name, bound in used if name not in names | bound})
        idle = sorted(
            {one.name for one in self.declared if one.kind in {"parameter", "variable"}} - {name for name, _ in used}
        )
        strange = sorted({_text(call.named_children[0]) for call in _calls(self.root)} - FUNCTIONS)
        return [
            *(f"{name} is declared nowhere" for name in unknown),
            *(f"{name} is used nowhere" for name in idle),
            *(f"{name} is no function we know" for name in strange),
        ]

    @property
    def output_problems(self) -> list[str]:
        """Outputs of modules that the module does not have."""
        modules = self.all("module")
        found = []
        for node in walk(self.root):
            if node.type != "member_expression" or not _text(node.named_children[0]).endswith(".outputs"):
                continue
            module = _text(node.named_children[0]).split(".")[0].split("[")[0].rstrip("!?")
            name = _text(node.named_children[1])
            if module in modules and name not in self._interface(modules[module])["outputs"]:
                found.append(f"{module} has no output {name}")
        return found

    def _problems_of(self, module: Declared) -> Iterator[str]:
        try:
            interface = self._interface(module)
        except (KeyError, FileNotFoundError):
            yield f"{module.name}: {module.type} is no module whose parameters are known"
            return
        takes = interface["parameters"]
        passed = properties(module.body).get("params")
        given = properties(passed) if passed else {}
        for name, value in given.items():
            if name not in takes:
                yield f"{module.name}: {module.type} takes no {name}"
                continue
            if value.type in LITERALS and LITERALS[value.type] != takes[name].rstrip("!"):
                yield f"{module.name}: {name} is {takes[name].rstrip('!')}, not {LITERALS[value.type]}"
            if name in interface["allowed"] and literal(value) not in (None, *interface["allowed"][name]):
                yield f"{module.name}: {name} may not be {literal(value)}"
        yield from (
            f"{module.name}: {name} is not passed"
            for name, kind in takes.items()
            if kind.endswith("!") and name not in given
        )

    def _interface(self, module: Declared) -> dict[str, Any]:
        if module.type.startswith(REGISTRY):
            return published()[module.type.removeprefix(REGISTRY)]
        other = Bicep.read(self.path.parent / module.type)
        return {
            "parameters": {name: one.type + ("" if one.value else "!") for name, one in other.all("parameter").items()},
            "allowed": {},
            "outputs": list(other.all("output")),
        }


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    for child in node.children:
        yield from walk(child)


def properties(node: Node) -> dict[str, Node]:
    """The values of an object by their keys."""
    return {
        _text(one.named_children[0]).strip("'"): one.named_children[1]
        for one in node.named_children
        if one.type == "object_property"
    }


def items(node: Node) -> list[Node]:
    """The values of an array."""
    return [child for child in node.named_children if child.type != "comment"]


def literal(node: Node | None) -> str | int | bool | None:
    """A string, number or boolean that stands there as such; None for any other expression."""
    if node is None or any(child.type == "interpolation" for child in node.named_children):
        return None
    text = _text(node)
    values = {"string": lambda: text.strip("'"), "number": lambda: int(text), "boolean": lambda: text == "true"}
    return values[node.type]() if node.type in values else None


def _declared(node: Node) -> Declared:
    kind = node.type.removesuffix("_declaration")
    name, *rest = [child for child in node.named_children if child.type != "comment"]
    if kind == "variable":
        return Declared(kind, _text(name), "", rest[0])
    return Declared(kind, _text(name), _text(rest[0]).strip("'"), rest[1] if len(rest) > 1 else None)


def _names(node: Node, bound: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Each name an expression uses, with the names that loops and lambdas around it bind."""
    if node.type == "identifier":
        yield _text(node), bound
    if node.type in {"decorators", "type", "for_loop_parameters", "target_scope_assignment", "metadata_declaration"}:
        return
    below = node.named_children
    if node.type in BINDING:
        bound |= {
            _text(one) for one in walk(below[0]) if one.type in {"identifier", "loop_variable", "loop_enumerator"}
        }
    is_named = node.type in DECLARATIONS | BINDING | {"call_expression"}
    is_keyed = node.type == "object_property" and below[0].type == "identifier"
    for child in below[1:] if is_named or is_keyed else below:
        yield from _names(child, bound)


def _calls(node: Node) -> Iterator[Node]:
    for one in walk(node):
        if one.type == "decorators":
            continue
        if one.type == "call_expression" and not (one.parent and one.parent.type == "decorator"):
            yield one


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _place(node: Node) -> str:
    return f"line {node.start_point.row + 1}: {'missing ' + node.type if node.is_missing else _text(node)[:60]}"
