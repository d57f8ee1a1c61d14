"""The product's own functions under OpenTelemetry's SDK: each span that ends becomes a line of JSON in a file.

`SANDBOX_TRACES` names the file. In Azure the Functions worker configures the SDK in the same place, before it loads the
app.
"""
# ruff: noqa: INP001  # the host wants a folder with a function_app.py, no package

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))
provider = TracerProvider()
lines = Path(os.environ["SANDBOX_TRACES"]).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115  # for the process's life
provider.add_span_processor(
    SimpleSpanProcessor(ConsoleSpanExporter(out=lines, formatter=lambda span: f"{span.to_json(indent=None)}\n"))
)
trace.set_tracer_provider(provider)

_spec = importlib.util.spec_from_file_location("product", ROOT / "function_app.py")
if _spec is None or _spec.loader is None:
    raise ImportError("there is no function_app.py in the root of the repository")
product = importlib.util.module_from_spec(_spec)
sys.modules["product"] = product
_spec.loader.exec_module(product)

app = product.app
