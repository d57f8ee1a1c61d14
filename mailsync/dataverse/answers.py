"""What an answer of the Dataverse Web API means: one pure function from status, headers and body to our errors."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from mailsync.dataverse.privileges import BYPASS
from mailsync.errors import (
    ConfigurationError,
    Evidence,
    MailSyncError,
    MessageError,
    Scope,
    ThrottledError,
    TransientError,
)
from mailsync.transport import Answer
from mapping.attachments import Why

ROW_MISSING = "0x80040217"
"""Object does not exist: a record named in a bind, or the row itself, is gone."""
COLUMN_AT_FAULT = frozenset({"0x80044331", "0x80048d19"})
"""A text too long for its column; a property the table doesn't have. The message names the column in single quotes."""
FILE_AT_FAULT = {
    "0x80044a02": Why.TOO_LARGE,
    "0x80043e09": Why.BLOCKED_NAME,
    "0x80072522": Why.BLOCKED_TYPE,
    "0x80072521": Why.BLOCKED_TYPE,
}
"""What Dataverse says against a file: its size, its name, its type (Microsoft's page on attachments, read 2026-11)."""
OWNER_AT_FAULT = frozenset({"0x80042f09", "0x80040225", "0x80040299"})
"""What Dataverse says against an owner: no role, disabled, not allowed to read (public reports, read 2026-11)."""
SERVICE_PROTECTION = frozenset({"0x80072321", "0x80072322", "0x80072326"})
"""Execution time, number of requests, concurrent requests (Microsoft's page on API limits, read 2026-11)."""
SQL_TROUBLE = frozenset({"0x80044151", "0x80044150"})
"""SQL time-out; generic SQL error, which deadlocks hide in. Both pass."""

LACKS_PRIVILEGE = "0x80040220"
"""Whoever asks lacks a privilege; the message names it."""

_PRIVILEGE = re.compile(r"(?:is missing |PrivilegeName: )(prv\w{1,120})")
"""How messages name the privilege that is missing (public reports of 2019 to 2026)."""
_SAFE = re.compile(r"[A-Za-z0-9_.:-]{1,80}")


@dataclass(frozen=True, slots=True)
class Complaint:
    """The code and message of an OData error; both empty when the body is something else.

    The message can quote values of the row, so it is for telling cases apart and never for a log.
    """

    code: str = ""
    message: str = ""


class _Error(msgspec.Struct, frozen=True):
    code: str | None = None
    message: str | None = None


class _Body(msgspec.Struct, frozen=True):
    error: _Error | None = None


_bodies = msgspec.json.Decoder(_Body)


def complaint_of(answer: Answer) -> Complaint:
    """The OData error in an answer's body, whatever the body is."""
    try:
        error = _bodies.decode(answer.body).error
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        error = None
    if error is None:
        return Complaint()
    code = error.code or ""
    return Complaint(code=code.lower() if _SAFE.fullmatch(code) else "", message=error.message or "")


def evidence_of(answer: Answer) -> Evidence:
    """Status, service code and request id, for a log line and for Microsoft's support."""
    request = answer.headers.get("x-ms-service-request-id") or answer.headers.get("REQ_ID") or ""
    return Evidence(
        vendor="dataverse",
        status=answer.status,
        code=complaint_of(answer).code,
        request_id=request if _SAFE.fullmatch(request) else "",
    )


def lacking_in(complaint: Complaint) -> str:
    """The privilege that whoever asked lacks, by name; empty where the complaint is another one."""
    named = _PRIVILEGE.search(complaint.message) if complaint.code == LACKS_PRIVILEGE else None
    return named[1] if named is not None else ""


def is_done(answer: Answer) -> bool:
    """Whether Dataverse did what it was asked to write; 200 is what a proxy or a sign-in page in its place says."""
    return answer.status in {201, 204}


def is_bypass_refused(answer: Answer) -> bool:
    """Whether a write was refused for going past the organisation's automation, and for nothing in its row."""
    return answer.status == 403 and BYPASS.lower() in complaint_of(answer).message.lower()


def failure_of(answer: Answer) -> MailSyncError:
    """The error an unsuccessful answer stands for; 404 and 412 are often no failure and are asked about before."""
    evidence = evidence_of(answer)
    status, code = answer.status, evidence.code
    if status == 429 or code in SERVICE_PROTECTION:
        return ThrottledError(
            "Dataverse throttles this application user",
            reason="dataverse_throttled",
            scope=Scope.ORGANISATION,
            evidence=evidence,
            retry_after=answer.retry_after,
        )
    if status < 300:
        return TransientError(
            "something else than Dataverse answers at DATAVERSE_URL",
            reason="dataverse_not_odata",
            scope=Scope.ORGANISATION,
            evidence=evidence,
        )
    if status >= 500 or status == 408 or code in SQL_TROUBLE:
        return TransientError(
            f"Dataverse is in trouble ({status})",
            reason="dataverse_unavailable",
            scope=Scope.ORGANISATION,
            evidence=evidence,
            retry_after=answer.retry_after,
        )
    if is_bypass_refused(answer):
        return ConfigurationError(
            "this mail is to go past the organisation's automation, and the role of this identity lacks "
            f"{BYPASS}; `dataverse setup --with-bypass` gives it",
            reason="bypass_refused",
            scope=Scope.ORGANISATION,
            evidence=evidence,
        )
    lacking = lacking_in(complaint_of(answer)) if status == 403 else ""
    if lacking:
        return ConfigurationError(
            f"the roles of this application user lack the privilege {lacking}; `dataverse setup` gives it all it needs",
            reason="dataverse_lacks_privilege",
            scope=Scope.ORGANISATION,
            evidence=evidence,
        )
    if status in {401, 403}:
        return ConfigurationError(
            "Dataverse refuses this identity; check that it is an application user of the environment in "
            "DATAVERSE_URL and that its role may read and write activities and read the people's tables",
            reason="dataverse_refused_identity",
            scope=Scope.ORGANISATION,
            evidence=evidence,
        )
    if 300 <= status < 400 or (status == 404 and not code):
        return ConfigurationError(
            "there is no Dataverse Web API at DATAVERSE_URL",
            reason="dataverse_url",
            scope=Scope.ORGANISATION,
            evidence=evidence,
        )
    return MessageError(
        f"Dataverse refuses the row ({status} {code})", reason="dataverse_refused_row", evidence=evidence
    )
