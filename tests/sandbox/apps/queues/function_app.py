"""Queue functions that do what their messages say, and note what they were given."""

from __future__ import annotations

import os
import threading
import time
import typing

import azure.functions as func

app = func.FunctionApp()
notes: list[tuple[str, typing.Any]] = []
together = threading.Barrier(6)
running: set[object] = set()
most: list[int] = []


@app.queue_trigger(arg_name="msg", queue_name="work", connection="AzureWebJobsStorage")
def work(msg: func.QueueMessage) -> None:
    text = msg.get_body().decode()
    notes.append((text, (time.monotonic(), msg)))
    if text.startswith("fail"):
        raise RuntimeError("a fault of the function's own")
    if text.startswith("slow"):
        time.sleep(2.3)
    if text.startswith("hang"):
        time.sleep(30)


@app.queue_trigger(arg_name="text", queue_name="texts", connection="AzureWebJobsStorage")
async def texts(text: str) -> None:
    notes.append(("text", text))


@app.queue_trigger(arg_name="msg", queue_name="bins", connection="AzureWebJobsStorage", data_type=func.DataType.BINARY)
def bins(msg: func.QueueMessage) -> None:
    notes.append(("binary", msg.get_body()))


@app.queue_trigger(arg_name="msg", queue_name="crowd", connection="AzureWebJobsStorage")
def crowd(msg: func.QueueMessage) -> None:
    running.add(msg)
    most.append(len(running))
    if msg.get_body() == b"wait":
        together.wait(10)
    notes.append(("crowd", threading.get_ident()))
    running.discard(msg)


@app.queue_trigger(arg_name="msg", queue_name="left-poison", connection="AzureWebJobsStorage")
def collect(msg: func.QueueMessage) -> None:
    notes.append(("collect", msg.dequeue_count))
    raise RuntimeError("a fault of the function's own")


@app.queue_trigger(arg_name="msg", queue_name="%LATE_QUEUE%", connection="Elsewhere")
@app.queue_output(arg_name="$return", queue_name="answers", connection="Elsewhere")
def relay(msg: func.QueueMessage) -> str:
    return msg.get_body().decode()


@app.queue_trigger(arg_name="msg", queue_name="chatty", connection="AzureWebJobsStorage")
def chatty(msg: func.QueueMessage) -> str:
    notes.append(("chatty", msg.dequeue_count))
    return "to nobody"


@app.queue_trigger(arg_name="msg", queue_name="off", connection="AzureWebJobsStorage")
def switched_off(msg: func.QueueMessage) -> None:
    notes.append(("off", os.getpid()))


@app.queue_trigger(arg_name="msg", queue_name="unknown", connection="NoSuchAccount")
def unconnected(msg: func.QueueMessage) -> None:
    notes.append(("unconnected", None))
