"""What published Bicep modules take and give, as kept in published_modules.json beside this file.

Each module's compiled main.json lies in its repository under a tag of its own (the JSON file says where).
`python tests/house/published_modules.py main.json` prints the entry of one, to be put there when a version changes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_suffix(".json")


def published() -> dict[str, dict[str, Any]]:
    """By path and version, such as avm/res/web/site:0.24.0: the parameters, what they allow, and the outputs."""
    return json.loads(LIST.read_text(encoding="utf-8"))["modules"]


def role_ids() -> dict[str, str]:
    """The ids of built-in roles by their names."""
    return json.loads(LIST.read_text(encoding="utf-8"))["roles"]


def entry_of(template: dict[str, Any]) -> dict[str, Any]:
    """The entry of one module: a parameter's type ends with an exclamation mark where it must be passed."""
    parameters, allowed = {}, {}
    for name, declared in sorted(template["parameters"].items()):
        kind = _resolved(declared, template.get("definitions", {}))
        is_required = "defaultValue" not in kind and not kind.get("nullable", False)
        parameters[name] = kind["type"].removeprefix("secure").lower() + ("!" if is_required else "")
        if "allowedValues" in kind:
            allowed[name] = kind["allowedValues"]
    return {"parameters": parameters, "allowed": allowed, "outputs": sorted(template["outputs"])}


def _resolved(declared: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in declared:
        target = definitions[declared["$ref"].removeprefix("#/definitions/")]
        declared = {**target, **{name: value for name, value in declared.items() if name != "$ref"}}
    return declared


if __name__ == "__main__":
    print(json.dumps(entry_of(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), indent=2))
