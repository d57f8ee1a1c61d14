"""HTTP functions of every kind the host has a rule for."""

from __future__ import annotations

import asyncio
import json
import threading
import typing

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
together = threading.Barrier(8)
loops: list[asyncio.AbstractEventLoop] = []


@app.route(route="echo/{name?}", methods=["GET", "POST"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    seen = {
        "method": req.method,
        "url": req.url,
        "params": dict(req.params),
        "route": dict(req.route_params),
        "body": req.get_body().decode(),
        "header": req.headers.get("X-Twice"),
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")


@app.route(route="things/{id}")
def b_any_thing(req: func.HttpRequest) -> str:
    return f"any {req.route_params['id']}"


@app.route(route="things/best")
def c_best_thing(req: func.HttpRequest) -> str:
    return "best"


@app.route(route="pages/first")
def d_first_page(req: func.HttpRequest) -> str:
    return "first"


@app.route(route="pages/{number:int}")
def e_page(req: func.HttpRequest) -> str:
    return f"page {req.route_params['number']}"


@app.route(route="files/{*path}")
def files(req: func.HttpRequest) -> str:
    return f"file {req.route_params.get('path')}"


@app.route(methods=["GET"])
def unrouted(req: func.HttpRequest) -> str:
    return '{"json": true}'


@app.route()
def boom(req: func.HttpRequest) -> str:
    raise RuntimeError("a fault of the function's own")


@app.route()
def nothing(req: func.HttpRequest) -> None:
    return None


@app.route()
def mapping(req: func.HttpRequest) -> typing.Any:
    return {"a": 1}


@app.route(methods=["GET", "HEAD"])
def created(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(b"made", status_code=201, headers={"X-Made": "yes", "Content-Type": "a/b"})


@app.route()
def empty(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=204)


@app.route(auth_level=func.AuthLevel.FUNCTION)
def guarded(req: func.HttpRequest) -> str:
    return "in"


@app.route(auth_level=func.AuthLevel.ADMIN)
def owned(req: func.HttpRequest) -> str:
    return "in"


@app.route()
def meet(req: func.HttpRequest) -> str:
    together.wait(10)
    return threading.current_thread().name


@app.route()
async def awaited(req: func.HttpRequest) -> str:
    loops.append(asyncio.get_running_loop())
    await asyncio.sleep(0)
    return threading.current_thread().name


@app.route()
def told(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    seen = {
        "invocation": context.invocation_id,
        "local": context.thread_local_storage.invocation_id,
        "function": context.function_name,
        "trace": context.trace_context.Traceparent,
    }
    return func.HttpResponse(json.dumps(seen))


@app.route()
@app.queue_output(arg_name="out", queue_name="%OUT_QUEUE%", connection="AzureWebJobsStorage")
def sends(req: func.HttpRequest, out: func.Out[bytes]) -> func.HttpResponse:
    out.set(req.get_body())
    if req.params.get("then") == "raise":
        raise RuntimeError("after the output was set")
    return func.HttpResponse("sent")
