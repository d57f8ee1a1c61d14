"""The product's own functions in a time that runs faster, so that an outage of a day is over in seconds.

`SANDBOX_HURRY` says how many times faster; delays and gates are shortened by it. With `SANDBOX_HURRY_SINCE`, a unix
time, the product's clock runs so much faster from that moment on, alike in every instance; the stand-in for Nylas in
the same world must then live by `sandbox.chaos.clock` too.
"""
# ruff: noqa: INP001  # the host wants a folder with a function_app.py, no package

from __future__ import annotations

import importlib.util
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))
_spec = importlib.util.spec_from_file_location("product", ROOT / "function_app.py")
if _spec is None or _spec.loader is None:
    raise ImportError("there is no function_app.py in the root of the repository")
product = importlib.util.module_from_spec(_spec)
sys.modules["product"] = product
_spec.loader.exec_module(product)

app = product.app
hurry = float(os.environ.get("SANDBOX_HURRY", "1"))
product.wiring.hurry = hurry
if since := float(os.environ.get("SANDBOX_HURRY_SINCE", "0")):
    product.wiring.clock = lambda: since + (time.time() - since) * hurry
