"""Attachments that are too large for one request: a token, blocks in any order, and the commit that makes the row.

Responsible for the actions InitializeAttachmentBlocksUpload, UploadBlock and CommitAttachmentBlocksUpload, and for the
blocks in between; those rest in the organisation's database, so that a change set that fails gives them back. What the
row must be like is `attachments`' business.

learn.microsoft.com, developer/data-platform/attachment-annotation-files, read 2026-11, says what is sent and answered.
The codes of the refusals are [unproven] unless they are those of any attachment.
"""

from __future__ import annotations

import secrets
from binascii import a2b_base64
from collections.abc import Iterator

import msgspec

from sandbox.dataverse.answers import VERSION, Answer, json_answer
from sandbox.dataverse.attachments import TABLE, Blocks
from sandbox.dataverse.bodies import change_of
from sandbox.dataverse.model import NAMESPACE
from sandbox.dataverse.refusals import bad_input, duplicate, invalid, no_path
from sandbox.dataverse.requests import Request
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.rules import Change
from sandbox.dataverse.writing import Writing

MOST_IN_A_BLOCK = 4 * 1024 * 1024
"""Bytes of a block, before they are Base64."""
LONGEST_ID = 64
"""Bytes of a block's id, before they are Base64."""

_TABLES = """
CREATE TABLE "upload" ("token" TEXT PRIMARY KEY, "id_length" INTEGER);
CREATE TABLE "upload block" ("token" TEXT, "id" TEXT, "data" BLOB, UNIQUE ("token", "id"));
"""


class _Initialize(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    target: dict[str, object]


class _Block(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    block_id: str
    block_data: bytes
    file_continuation_token: str


class _Commit(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    target: dict[str, object]
    block_list: list[str]
    file_continuation_token: str


class Uploads:
    """Answers to the three actions."""

    def __init__(self, rows: Rows, writing: Writing) -> None:
        self._rows = rows
        self._writing = writing
        self._table = rows.model.tables[TABLE]
        self.actions = {
            "InitializeAttachmentBlocksUpload": self._initialize,
            "UploadBlock": self._upload,
            "CommitAttachmentBlocksUpload": self._commit,
        }
        rows.db.executescript(_TABLES)

    def run(self, request: Request, action: str) -> Answer:
        """Do one of the actions."""
        if request.method != "POST":
            raise no_path(f"{request.root}{request.path}")
        return self.actions[action](request)

    def _initialize(self, request: Request) -> Answer:
        change = self._change(request, request.parameters(_Initialize).target)
        self._writing.check_create(request, self._table, change)
        token = secrets.token_urlsafe(96)
        self._rows.db.execute('INSERT INTO "upload" ("token") VALUES (?)', (token,))
        return _answer(request, "InitializeAttachmentBlocksUpload", {"FileContinuationToken": token})

    def _upload(self, request: Request) -> Answer:
        block = request.parameters(_Block)
        token, block_id = block.file_continuation_token, block.block_id
        length = self._id_length(token)
        _check_id(block_id)
        if length not in (None, len(block_id)):
            raise invalid(f"The BlockId '{block_id}' is not as long as the BlockId of the other blocks of this file.")
        if not 0 < len(block.block_data) <= MOST_IN_A_BLOCK:
            raise invalid(f"The BlockData of a block has 1 to {MOST_IN_A_BLOCK} bytes, not {len(block.block_data)}.")
        self._rows.db.execute('UPDATE "upload" SET "id_length" = ? WHERE "token" = ?', (len(block_id), token))
        sql = 'INSERT OR REPLACE INTO "upload block" ("token", "id", "data") VALUES (?, ?, ?)'
        self._rows.db.execute(sql, (token, block_id, block.block_data))
        return Answer(204, (VERSION,))

    def _commit(self, request: Request) -> Answer:
        asked = request.parameters(_Commit)
        token = asked.file_continuation_token
        self._id_length(token)
        change = self._change(request, asked.target)
        change.values["body"] = blocks = self._blocks(token, asked.block_list)
        with self._rows.step():
            row_id = self._writing.create_asked(request, self._table, change)
            self._rows.db.execute('DELETE FROM "upload block" WHERE "token" = ?', (token,))
            self._rows.db.execute('DELETE FROM "upload" WHERE "token" = ?', (token,))
        content = {"FileSizeInBytes": blocks.size, "ActivityMimeAttachmentId": row_id}
        return _answer(request, "CommitAttachmentBlocksUpload", content)

    def _id_length(self, token: str) -> int | None:
        """How long the ids of an upload's blocks are, once there are any; a token that leads to none is refused."""
        found = self._rows.db.execute('SELECT "id_length" FROM "upload" WHERE "token" = ?', (token,)).fetchone()
        if found is None:
            raise invalid("The FileContinuationToken is unknown, or its upload was committed already.")
        length: int | None = found[0]
        return length

    def _change(self, request: Request, target: dict[str, object]) -> Change:
        """What a Target asks to write: a row that is not there yet, without the file itself."""
        if "@odata.type" not in target:
            raise bad_input(f"The Target needs the annotation '@odata.type': '{self._table.type}'.")
        change = change_of(self._rows, self._table, target, request)
        if {"body", "attachmentid"} & {*change.values, *change.lookups}:
            raise invalid("The Target of an upload in blocks has neither body nor attachmentid.")
        row_id = change.values.get(self._table.key)
        if row_id is not None and self._rows.version(self._table, str(row_id)) is not None:
            raise duplicate("A record with matching key values already exists.")
        return change

    def _blocks(self, token: str, ids: list[str]) -> Blocks:
        if not ids:
            raise invalid("The BlockList is empty.")
        sql = 'SELECT "id", length("data") FROM "upload block" WHERE "token" = ?'
        sizes = dict(self._rows.db.execute(sql, (token,)).fetchall())
        if unknown := next((block_id for block_id in ids if block_id not in sizes), None):
            raise invalid(f"The BlockList has a block that was not uploaded: '{unknown}'.")
        return Blocks(sum(sizes[block_id] for block_id in ids), self._pieces(token, ids))

    def _pieces(self, token: str, ids: list[str]) -> Iterator[bytes]:
        for block_id in ids:
            sql = 'SELECT "data" FROM "upload block" WHERE "token" = ? AND "id" = ?'
            yield self._rows.db.execute(sql, (token, block_id)).fetchone()[0]


def _check_id(block_id: str) -> None:
    try:
        raw = a2b_base64(block_id, strict_mode=True)
    except ValueError:
        raise invalid(f"The BlockId '{block_id[:100]}' is not Base64.") from None
    if not 0 < len(raw) <= LONGEST_ID:
        raise invalid(f"A BlockId has 1 to {LONGEST_ID} bytes before it is Base64, not {len(raw)}.")


def _answer(request: Request, action: str, content: dict[str, object]) -> Answer:
    return json_answer({"@odata.context": f"{request.root}$metadata#{NAMESPACE}.{action}Response", **content})
