"""Runs $batch: requests one after the other, change sets as one step.

What a batch looks like on the wire is `multipart`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sandbox.dataverse.answers import VERSION, Answer, failure
from sandbox.dataverse.model import Table
from sandbox.dataverse.multipart import ChangeSet, Operation, parse, render
from sandbox.dataverse.refusals import ODataError, no_http_method
from sandbox.dataverse.requests import Request, relative, row_at
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.rules import Behaviour


class Batches:
    """Answers to $batch."""

    def __init__(self, rows: Rows, run: Callable[[Request], Answer], behaviour: Behaviour) -> None:
        self._rows = rows
        self._run = run
        self._behaviour = behaviour

    def run(self, request: Request, operations: list[str]) -> Answer:
        """Run a batch, up to the first failure unless told to go on; notes the requests in it."""
        if request.method != "POST":
            raise no_http_method(request.method)
        entries = parse(request.body, request.headers.get("content-type", ""))
        for entry in entries:
            inner = entry.operations if isinstance(entry, ChangeSet) else (entry,)
            operations.extend(f"{operation.method} {operation.url}" for operation in inner)
        answers: list[Answer | tuple[Answer, ...]] = []
        status = 200
        for entry in entries:
            answer = self._change_set(request, entry) if isinstance(entry, ChangeSet) else self._single(request, entry)
            answers.append(answer)
            last = answer if isinstance(answer, Answer) else answer[-1]
            if last.status >= 400 and not request.prefer.continue_on_error:
                status = last.status
                break
        content_type, body = render(answers)
        return Answer(status, (("Content-Type", content_type), VERSION), body)

    def _single(self, outer: Request, operation: Operation) -> Answer:
        try:
            return self._run(_inner(outer, operation))
        except ODataError as error:
            return failure(error)

    def _change_set(self, outer: Request, change_set: ChangeSet) -> Answer | tuple[Answer, ...]:
        """All of it or nothing; a failure is one answer for the whole change set.

        It stands inside the change set's own boundary with the Content-ID of what failed, as an answer of the live
        service quoted in a public Entity Framework provider shows; OData 4.0 (part 1, 11.7.4) puts it outside."""
        refs: dict[str, tuple[Table, str]] = {}
        made: set[str] = set()
        answers: list[Answer] = []
        try:
            with self._rows.step():
                for operation in change_set.operations:
                    request = _inner(outer, operation)
                    request.refs, request.made = refs, made
                    answers.append(self._run_in_set(request, operation.content_id, refs))
        except ODataError as error:
            if self._behaviour.nested_changeset_errors:
                return (failure(error, operation.content_id),)
            return failure(error)
        return tuple(answers)

    def _run_in_set(self, request: Request, content_id: str | None, refs: dict[str, tuple[Table, str]]) -> Answer:
        answer = self._run(request)
        where = next((value for name, value in answer.headers if name == "OData-EntityId"), None)
        if content_id is not None and where is not None:
            refs[content_id] = row_at(self._rows.model, relative(where))
        return replace(answer, content_id=content_id)


def _inner(outer: Request, operation: Operation) -> Request:
    path, _, query = operation.url.partition("?")
    if path.startswith(("/", "http")):
        path = relative(path)
    return Request(operation.method, path, query, operation.headers, operation.body, outer.root, outer.caller)
