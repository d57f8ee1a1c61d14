"""One trace leads from a webhook over the queue to the row in Dataverse, and names nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.azurite import Azurite
from sandbox.faults import Answer, Fault
from sandbox.world import APP
from tests.journeys.office import Copy, Office, opened

Span = dict[str, Any]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces") / "spans"


@pytest.fixture(scope="module")
def traced(azurite: Azurite, file: Path) -> Iterator[Office]:
    """An organisation whose app is traced."""
    settings = {"SANDBOX_TRACES": str(file), "PYTHON_ENABLE_OPENTELEMETRY": "true"}
    with opened(azurite, 14, app=APP / "sandbox" / "traced", settings=settings) as office:
        yield office


@pytest.fixture
def spans(traced: Office, file: Path) -> Callable[..., list[Span]]:
    """The spans of one trace, oldest first, once one of this name has ended in it."""

    def trace_of(name: str, **told: object) -> list[Span]:
        found: list[Span] = []

        def has_ended() -> bool:
            nonlocal found
            whole = file.read_text(encoding="utf-8").splitlines()
            ended = [json.loads(line) for line in whole]
            traces = {one["context"]["trace_id"] for one in ended if one["name"] == name and fits(one, told)}
            found = [one for one in ended if one["context"]["trace_id"] in traces]
            return bool(traces)

        traced.world.wait(f"a span {name} {told}", has_ended)
        return sorted(found, key=lambda one: str(one["start_time"]))

    return trace_of


def fits(span: Span, told: dict[str, object]) -> bool:
    return told.items() <= span["attributes"].items()


def under(spans: list[Span], parent: Span) -> list[Span]:
    return [one for one in spans if one["parent_id"] == parent["context"]["span_id"]]


def received(office: Office) -> tuple[Copy, str]:
    """A mail that a webhook told of, and its row."""
    copy = office.lay(office.mail(office.contact(), office.ida.owner))
    return copy, office.outcome(copy)["activityid"]


def test_one_trace_leads_from_the_webhook_to_the_row(traced: Office, spans: Callable[..., list[Span]]) -> None:
    copy, activity = received(traced)
    trace = spans("write_email", message=copy.id)
    ingest, write, *below = trace
    assert [ingest["name"], write["name"]] == ["ingest_webhook", "write_email"]
    assert write["parent_id"] == ingest["context"]["span_id"]
    told = {"grant": copy.grant, "message": copy.id, "outcome": "written", "reason": "contact", "activity": activity}
    assert fits(write, told)
    assert len(write["links"]) == 1, "the invocation that the host itself tells of"
    assert write["links"][0]["context"]["trace_id"] != write["context"]["trace_id"]
    assert under(trace, write) == below
    assert {(one["name"], one["kind"], one["attributes"]["status"]) for one in below} == {
        ("GET nylas", "SpanKind.CLIENT", "200"),
        ("POST dataverse", "SpanKind.CLIENT", "200"),
    }


def test_an_attempt_that_was_deferred_is_in_the_trace_beside_the_one_that_wrote(
    traced: Office, spans: Callable[..., list[Span]]
) -> None:
    traced.world.faults["dataverse"].add(Fault(Answer(503), path=r"batch", times=1))
    copy, activity = received(traced)
    ingest, *rest = spans("write_email", message=copy.id, activity=activity)
    attempts = [one for one in rest if one["name"] == "write_email"]
    assert [one["attributes"]["outcome"] for one in attempts] == ["deferred", "written"]
    assert {one["parent_id"] for one in attempts} == {ingest["context"]["span_id"]}


def test_the_trace_of_a_sweep_leads_to_what_it_found(traced: Office, spans: Callable[..., list[Span]]) -> None:
    copy = traced.lay(traced.mail(traced.contact(), traced.ida.owner), notify=False)
    traced.sweep(traced.ida)
    traced.outcome(copy)
    trace = spans("write_email", message=copy.id)
    (write,) = (one for one in trace if one["name"] == "write_email")
    (sweep,) = (one for one in trace if one["context"]["span_id"] == write["parent_id"])
    assert (sweep["name"], sweep["attributes"]["grant"]) == ("sweep_mailbox", copy.grant)


def test_a_proof_is_one_trace(traced: Office, spans: Callable[..., list[Span]]) -> None:
    traced.world.host.run("verify_nightly")
    trace = spans("verify_nightly")
    assert {one["name"] for one in trace} >= {"verify_nightly", "GET nylas"}


def test_no_span_holds_an_address_a_subject_a_body_or_where_a_request_went(
    traced: Office, spans: Callable[..., list[Span]], file: Path
) -> None:
    sender = traced.contact()
    mail = traced.mail(sender, traced.ida.owner)
    copy = traced.lay(mail)
    traced.outcome(copy)
    spans("write_email", message=copy.id)
    told = file.read_text(encoding="utf-8")
    for secret in (sender.address, traced.ida.owner.address, mail.subject, mail.body, mail.message_id, "://", "filter"):
        assert secret is not None
        assert secret.strip("<>") not in told, secret
