"""The plain recipe as a function app: what it is in our host, with our host.json."""

from __future__ import annotations

import json

import azure.functions as func
import recipe

app = func.FunctionApp()


@app.function_name("write_plain")
@app.queue_trigger(arg_name="msg", queue_name="recipe-plain", connection="AzureWebJobsStorage")
def write_plain(msg: func.QueueMessage) -> None:
    """Read, create."""
    item = json.loads(msg.get_body())
    recipe.write_plain(item["grant"], item["message"])


@app.function_name("write_checked")
@app.queue_trigger(arg_name="msg", queue_name="recipe-checked", connection="AzureWebJobsStorage")
def write_checked(msg: func.QueueMessage) -> None:
    """Read, look for the Message-ID and the contact, create, complete."""
    item = json.loads(msg.get_body())
    recipe.write_checked(item["grant"], item["message"])
