"""The files of an email on their way into Dataverse: whole where they are small, in blocks where they are large.

The same file in several mails is stored once, as long as a process remembers it. Never more than one whole file is held
in memory, of a large one a block.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from uuid import UUID

import msgspec

from mailsync.dataverse import batch, odata
from mailsync.dataverse.answers import FILE_AT_FAULT, complaint_of, failure_of, is_done
from mailsync.dataverse.rows import row_of, rows_of
from mailsync.dataverse.web_api import WebApi, request
from mailsync.errors import FileMissingError, MessageError
from mailsync.transport import Answer
from mapping.attachments import File, Why
from mapping.email_activity import EmailActivity

BLOCK = 4 * 1024 * 1024
"""Bytes of one block; the largest that Dataverse takes (Microsoft's page on attachments, read 2026-11)."""
SEEN_LIFE = 24 * 3600.0
SEEN_SIZE = 5_000
"""Files remembered, so that the same file in several mails is stored once."""

Content = Callable[[File], AbstractContextManager[Iterator[bytes]]]
"""Opens the bytes of a file; raises FileMissingError where there are none to be had."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file with its bytes, and the stored attachment that holds the same, if one was seen lately."""

    file: File
    body: bytes
    key: str
    reused: str | None = None


class SeenFiles:
    """The stored attachments of files seen lately, by what they hold; for one process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._lock = threading.Lock()

    def loaded(self, file: File, body: bytes) -> Loaded:
        """The file with its bytes, to be stored once."""
        key = f"{hashlib.sha256(body).hexdigest()} {file.type} {file.name}"
        with self._lock:
            known = self._known.get(key)
            reused = known[0] if known is not None and known[1] > self._clock() else None
        return Loaded(file, body, key, reused)

    def learn(self, loaded: Sequence[Loaded], answers: Sequence[Answer]) -> None:
        """Remember the stored attachments that Dataverse told of."""
        for one, answer in zip(loaded, answers, strict=False):
            stored = _stored(answer)
            if stored is None or one.reused is not None:
                continue
            with self._lock:
                self._known[one.key] = (stored, self._clock() + SEEN_LIFE)
                self._known.move_to_end(one.key)
                while len(self._known) > SEEN_SIZE:
                    self._known.popitem(last=False)

    def forget(self, loaded: Sequence[Loaded]) -> bool:
        """Forget the attachments that these were to reuse; False where there were none."""
        reused = [one for one in loaded if one.reused is not None]
        with self._lock:
            for one in reused:
                self._known.pop(one.key, None)
        return bool(reused)


class Attachments:
    """Writes the files of one environment's emails."""

    def __init__(self, api: WebApi, *, seen: SeenFiles, forget_limits: Callable[[], None]) -> None:
        self._api = api
        self._seen = seen
        self._forget_limits = forget_limits

    def attach(self, email: EmailActivity, file: File, content: Content, *, most: int, notes: list[str]) -> Why | None:
        """Store one file of `most` bytes at most, or say why it stays out; raises what is no fault of the file."""
        try:
            with content(file) as pieces:
                portions = Portions(pieces)
                first = portions.take(BLOCK)
                if not first:
                    return Why.EMPTY
                if len(first) > most:
                    return Why.TOO_LARGE
                if len(first) < BLOCK:
                    return self._whole(email, self._seen.loaded(file, first), notes)
                return self._in_blocks(email, file, first, portions, most=most, notes=notes)
        except FileMissingError as error:
            return error.why

    def _whole(self, email: EmailActivity, loaded: Loaded, notes: list[str]) -> Why | None:
        asked = attachment_request(email, loaded)
        answer = self._api.send("POST", _relative(asked.path), body=asked.body, headers=asked.headers)
        if loaded.reused is not None and answer.status in {400, 404}:
            self._seen.forget([loaded])
            return self._whole(email, replace(loaded, reused=None), notes)
        if is_done(answer):
            self._seen.learn([loaded], [answer])
        return self._why_refused(email, answer, notes)

    def _in_blocks(
        self, email: EmailActivity, file: File, block: bytes, portions: Portions, *, most: int, notes: list[str]
    ) -> Why | None:
        """A file larger than a block, which is never held whole (Microsoft's page on attachments, read 2026-11)."""
        target = {"@odata.type": "Microsoft.Dynamics.CRM.activitymimeattachment", **email.attachment(file)}
        answer = self._post("InitializeAttachmentBlocksUpload", {"Target": target})
        if answer.status >= 300:
            return self._why_refused(email, answer, notes)
        token = row_of(answer, _Token).token
        ids: list[str] = []
        size = 0
        while block:
            size += len(block)
            if size > most:
                return Why.TOO_LARGE
            ids.append(base64.b64encode(f"{len(ids):08d}".encode()).decode())
            upload = {"BlockId": ids[-1], "BlockData": base64.b64encode(block).decode(), "FileContinuationToken": token}
            answer = self._post("UploadBlock", upload)
            if not is_done(answer):
                return self._why_refused(email, answer, notes)
            block = portions.take(BLOCK)
        commit = {"Target": target, "BlockList": ids, "FileContinuationToken": token}
        answer = self._post("CommitAttachmentBlocksUpload", commit)
        if answer.status == 200:
            row_of(answer, _Committed)  # a page in its place is no file
            return None
        if answer.status in {400, 404} and str(file.id_in(email.activityid)) in self.attached(email):
            return None  # sent again when its answer was lost: its token is spent, and the file is there
        return self._why_refused(email, answer, notes)

    def attached(self, email: EmailActivity) -> frozenset[str]:
        """The files that an open email has already."""
        if not email.files.carried:
            return frozenset()
        path = odata.query(
            "activitymimeattachments",
            select="activitymimeattachmentid",
            filter=f"_objectid_value eq {email.activityid}",
        )
        return frozenset(str(row.activitymimeattachmentid) for row in rows_of(self._api.send("GET", path), _Attached))

    def _post(self, path: str, body: Mapping[str, object]) -> Answer:
        return self._api.send("POST", path, body=msgspec.json.encode(body))

    def _why_refused(self, email: EmailActivity, answer: Answer, notes: list[str]) -> Why | None:
        """Why a file stays out; None where it is there. Raises what is no fault of the file."""
        if is_done(answer) or answer.status == 412 or is_completed_meanwhile(self._api, email, answer):
            return None
        code = complaint_of(answer).code
        if code in FILE_AT_FAULT:
            self._forget_limits()
            return FILE_AT_FAULT[code]
        if answer.status == 413:
            return Why.TOO_LARGE
        failure = failure_of(answer)
        if not isinstance(failure, MessageError):
            raise failure
        notes.append(f"file refused: {failure.evidence}")
        return Why.REFUSED


class Portions:
    """The bytes of a file, taken in portions of a chosen size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._over = b""

    def take(self, most: int) -> bytes:
        """So many bytes, or fewer where the file ends."""
        taken = bytearray(self._over)
        while len(taken) < most and (piece := next(self._pieces, None)) is not None:
            taken += piece
        self._over = bytes(taken[most:])
        return bytes(taken[:most])


def attachment_request(email: EmailActivity, loaded: Loaded) -> batch.Request:
    row = email.attachment(loaded.file)
    if loaded.reused is not None:
        row = {name: value for name, value in row.items() if name not in {"filename", "mimetype"}}
        row["attachmentid@odata.bind"] = f"/attachments({loaded.reused})"
    else:
        row["body"] = base64.b64encode(loaded.body).decode()
    return request(
        "POST",
        "activitymimeattachments?$select=activitymimeattachmentid,_attachmentid_value",
        body=msgspec.json.encode(row),
        headers={"Prefer": "return=representation"},
    )


def state_of(api: WebApi, email: EmailActivity) -> int | None:
    """The state of the email under our id; None where there is none."""
    state = _state_of(api, email)
    return state.statecode if state is not None else None


def open_version_of(api: WebApi, email: EmailActivity) -> str | None:
    """The version of the email under our id while it is open; None where it is completed or not there."""
    state = _state_of(api, email)
    return state.etag if state is not None and state.statecode == 0 else None


def _state_of(api: WebApi, email: EmailActivity) -> _State | None:
    answer = api.send("GET", f"emails({email.activityid})?$select=statecode")
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise failure_of(answer)
    return row_of(answer, _State)


def is_completed_meanwhile(api: WebApi, email: EmailActivity, answer: Answer) -> bool:
    """Whether a refusal only means that another worker completed the same email meanwhile."""
    return answer.status == 400 and state_of(api, email) not in {None, 0}


class _State(msgspec.Struct, frozen=True, rename={"etag": "@odata.etag"}):
    statecode: int
    etag: str = ""


class _Token(msgspec.Struct, frozen=True, rename={"token": "FileContinuationToken"}):
    token: str


class _Committed(msgspec.Struct, frozen=True, rename={"id": "ActivityMimeAttachmentId"}):
    id: UUID


class _Attached(msgspec.Struct, frozen=True):
    activitymimeattachmentid: UUID


class _Stored(msgspec.Struct, frozen=True, rename={"stored": "_attachmentid_value"}):
    stored: UUID | None = None


def _stored(answer: Answer) -> str | None:
    """The id of the attachment that a new row made, where Dataverse told it."""
    try:
        found = msgspec.json.decode(answer.body, type=_Stored).stored if answer.status == 201 else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return str(found) if found is not None else None


def _relative(path: str) -> str:
    return path.rpartition("/")[2]
