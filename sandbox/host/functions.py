"""The functions of an app: imported, indexed, and told apart into those this host can run and those it cannot.

Responsible for function_app.py and the bindings it declares. That a binding's names resolve is found out by `host`.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func

from sandbox.host.errors import HostError
from sandbox.host.queues import Queue
from sandbox.host.settings import Settings

_OUTPUTS = {"httptrigger": {"http", "queue"}, "queuetrigger": {"queue"}, "timertrigger": {"queue"}}
"""The triggers this host knows, and what their functions may write to."""


@dataclass(slots=True, eq=False)
class Function:
    """One function of the app: what it is bound to, and how often it ran."""

    name: str
    call: Callable[..., Any]
    trigger: Mapping[str, Any]
    outputs: tuple[Mapping[str, Any], ...]
    is_async: bool
    wants_text: bool
    context: str | None
    problem: str | None = None
    queues: dict[str, Queue] = field(default_factory=dict)
    """Where its queue outputs go, by the binding's name."""
    running: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def kind(self) -> str:
        """The trigger's type in lower case, such as queuetrigger."""
        return str(self.trigger["type"]).lower()

    @property
    def returns(self) -> bool:
        """Whether a binding takes the function's return value."""
        return any(binding["name"] == "$return" for binding in self.outputs)


def load_functions(app_dir: Path, settings: Settings) -> tuple[Function, ...]:
    """The functions of the app in this folder, in order of name; they can be asked for once in a process."""
    module = _import_app(app_dir)
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionApp)]
    if len(apps) != 1:
        raise HostError(f"function_app.py must hold exactly one FunctionApp, not {len(apps)}")
    functions = [_function_of(built, settings) for built in apps[0].get_functions()]
    return tuple(sorted(functions, key=lambda function: function.name.lower()))


def _import_app(app_dir: Path) -> ModuleType:
    script = app_dir / "function_app.py"
    spec = importlib.util.spec_from_file_location("function_app", script)
    if not script.is_file() or spec is None or spec.loader is None:
        raise HostError(f"there is no function_app.py in {app_dir}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["function_app"] = module
    spec.loader.exec_module(module)
    return module


def _function_of(built: Any, settings: Settings) -> Function:
    call = built.get_user_function()
    trigger = str(built.get_trigger().get_dict_repr()["name"])
    # The JSON form has names and values as a function.json would, whatever Python's objects are.
    bindings = [json.loads(raw) for raw in built.get_raw_bindings()]
    parameters = inspect.signature(call).parameters
    function = Function(
        name=built.get_function_name(),
        call=call,
        trigger=next(binding for binding in bindings if binding["name"] == trigger),
        outputs=tuple(binding for binding in bindings if binding["direction"] == "OUT"),
        is_async=inspect.iscoroutinefunction(call),
        wants_text=typing.get_type_hints(call).get(trigger) is str,
        context="context" if "context" in parameters and trigger != "context" else None,
    )
    bound = {binding["name"] for binding in bindings} - {"$return"}
    if set(parameters) - {function.context} != bound:
        raise HostError(f"'{function.name}' has the parameters {list(parameters)}, and {sorted(bound)} are bound")
    inputs = len(bindings) - len(function.outputs)
    function.problem = _problem(function, inputs, disabled=settings.disabled(function.name))
    return function


def _problem(function: Function, inputs: int, *, disabled: bool) -> str | None:
    """Why this host does not run the function, as far as its bindings tell."""
    if function.kind not in _OUTPUTS:
        return f"this host does not run a {function.trigger['type']}"
    if inputs != 1:
        return "this host does not fill input bindings"
    if wrong := [b["type"] for b in function.outputs if b["type"].lower() not in _OUTPUTS[function.kind]]:
        return f"this host does not write to {', '.join(wrong)}"
    return "disabled by a setting" if disabled else None
