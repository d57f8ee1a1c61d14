"""The door Azure opens: triggers and bindings, one call each.

Importing this needs no setting; each function reads what it needs when it first runs.
"""

from __future__ import annotations

import time

import azure.functions as func

from mailsync.telemetry import invoked, mark, span
from mailsync.wiring import Wiring

app = func.FunctionApp()
wiring = Wiring()


@app.function_name("ingest_webhook")
@app.route(route="webhooks/nylas", methods=["GET", "POST"], auth_level=func.AuthLevel.ANONYMOUS)
def ingest_webhook(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Nylas' webhook: answers its challenge, and puts each signed notification on a queue."""
    from mailsync import ingest

    with invoked(context), span("ingest_webhook"):
        if req.method == "GET":
            reply = ingest.answer_challenge(req.params.get("challenge"))
        else:
            try:
                reply = ingest.accept(
                    req.get_body(),
                    {name.lower(): value for name, value in req.headers.items()},
                    secrets=wiring.ingest_settings.webhook_secrets,
                    send=wiring.ingest_queues.send,
                    now=time.time(),
                )
            except Exception as error:  # noqa: BLE001  # a 500 would lose it: Nylas tries again only after a 503
                reply = ingest.unavailable(error)
        mark(status=reply.status)
    body = reply.text.encode()
    return func.HttpResponse(
        body, status_code=reply.status, mimetype="text/plain", headers={"Content-Length": str(len(body))}
    )


@app.function_name("write_email")
@app.queue_trigger(arg_name="msg", queue_name="nylas-messages", connection="AzureWebJobsStorage")
def write_email(msg: func.QueueMessage, context: func.Context) -> None:
    """One message of one mailbox becomes one completed email in Dataverse."""
    with invoked(context):
        wiring.handle_message(msg.get_body())


@app.function_name("sweep_missed")
@app.timer_trigger(arg_name="timer", schedule=wiring.sweep_schedule(), run_on_startup=False)
def sweep_missed(
    timer: func.TimerRequest,  # noqa: ARG001  # a binding is found by its name
    context: func.Context,
) -> None:
    """Every few minutes: one sweep for each valid mailbox."""
    with invoked(context), span("sweep_missed"):
        wiring.sweep_missed()


@app.function_name("sweep_mailbox")
@app.queue_trigger(arg_name="msg", queue_name="mailbox-sweeps", connection="AzureWebJobsStorage")
def sweep_mailbox(msg: func.QueueMessage, context: func.Context) -> None:
    """One window of one mailbox: what the journal doesn't know is put on the queue of messages."""
    with invoked(context):
        wiring.handle_sweep(msg.get_body())


@app.function_name("verify_nightly")
@app.timer_trigger(arg_name="timer", schedule=wiring.verify_schedule(), run_on_startup=False)
def verify_nightly(
    timer: func.TimerRequest,  # noqa: ARG001  # a binding is found by its name
    context: func.Context,
) -> None:
    """Each night: the proof that every message of the last days is accounted for."""
    with invoked(context), span("verify_nightly"):
        wiring.verify_nightly()


@app.function_name("collect_poison")
@app.queue_trigger(arg_name="msg", queue_name="nylas-messages-poison", connection="AzureWebJobsStorage")
def collect_poison(msg: func.QueueMessage, context: func.Context) -> None:
    """What crashed write_email too often is kept in the table `aside`."""
    with invoked(context), span("collect_poison"):
        wiring.collect(msg.get_body())


@app.function_name("collect_sweep_poison")
@app.queue_trigger(arg_name="msg", queue_name="mailbox-sweeps-poison", connection="AzureWebJobsStorage")
def collect_sweep_poison(msg: func.QueueMessage, context: func.Context) -> None:
    """What crashed sweep_mailbox too often is kept in the table `aside`."""
    with invoked(context), span("collect_sweep_poison"):
        wiring.collect(msg.get_body())


@app.function_name("shorten_journal")
@app.timer_trigger(arg_name="timer", schedule="30 4/10 * * * *", run_on_startup=False)
def shorten_journal(
    timer: func.TimerRequest,  # noqa: ARG001  # a binding is found by its name
    context: func.Context,
) -> None:
    """Every ten minutes: some of the records that are older than they are to be kept become tombstones."""
    with invoked(context), span("shorten_journal"):
        wiring.shorten_journal()


@app.function_name("status")
@app.route(route="status", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def status(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """The status page, or the same as JSON."""
    from mailsync.dashboard import answers

    with invoked(context), span("status"):
        shown = answers.shown(wiring.status.read(), params=req.params, headers=req.headers)
    return func.HttpResponse(**shown.parts)


@app.function_name("health")
@app.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  # a binding is found by its name
    """Whether the app could take mail in, for probes."""
    from mailsync.dashboard import answers

    return func.HttpResponse(**answers.probed(is_well=wiring.answers()).parts)


@app.function_name("manage")
@app.route(route="manage/{what}", methods=["GET", "POST"], auth_level=func.AuthLevel.ADMIN)
def manage(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """What a person with the admin key asks for."""
    from mailsync.dashboard.manage import Asked

    what, body = req.route_params.get("what", ""), req.get_body()
    asked = Asked(method=req.method, what=what, params=req.params, headers=req.headers, body=body)
    with invoked(context), span("manage"):
        answer = wiring.manage.answer(asked)
    return func.HttpResponse(**answer.parts)
