"""Attachments of emails: what the organisation lets pass, the file each leads to, and the count in the email.

The file itself (table `attachment`) is a row of its own, which several attachments may share. How a large one arrives
in blocks is `uploads`' business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from uuid import uuid4

from sandbox.dataverse.emails import Emails
from sandbox.dataverse.followings import Followings
from sandbox.dataverse.parties import Target
from sandbox.dataverse.refusals import ODataError, invalid
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.rules import Change

TABLE, FILE = "activitymimeattachment", "attachment"
_OF_THE_FILE = ("body", "filename", "mimetype")


@dataclass(frozen=True, slots=True)
class Blocks:
    """The content of a file in pieces, of which one at a time is read."""

    size: int
    pieces: Iterator[bytes]


class Attachments(Followings):
    """The rules and the followings of writing an attachment."""

    def __init__(self, rows: Rows, emails: Emails) -> None:
        self._rows = rows
        self._emails = emails
        self._table, self._files = rows.model.tables[TABLE], rows.model.tables[FILE]

    def check_new(self, change: Change) -> None:
        """An attachment belongs to something open, and brings its own file or shares another's."""
        values, target = change.values, change.lookups.get("objectid")
        if target is None or values.get("objecttypecode") != target[0]:
            raise invalid("An attachment needs objectid and the objecttypecode of what it is attached to.")
        self._check_open(target)
        if change.lookups.get("attachmentid") is None:
            change.lookups.pop("attachmentid", None)
            self._check_file(change)
        elif given := [name for name in _OF_THE_FILE if values.get(name) is not None]:
            # developer/data-platform/attachment-annotation-files: "rather than by setting" these. [unproven]
            raise invalid(f"An attachment that reuses another by attachmentid cannot have a {given[0]} of its own.")

    def complete(self, row: dict[str, object], lookups: dict[str, Target | None]) -> None:
        """A file of its own, unless another's was named; a subject is taken over from that."""
        of_the_file = {name: row.pop(name, None) for name in (*_OF_THE_FILE, "filesize")}
        shared = lookups.get("attachmentid")
        if shared is None:
            lookups["attachmentid"] = (FILE, self._add_file({**of_the_file, "subject": row.get("subject")}))
        elif row.get("subject") is None:
            (row["subject"],) = self._rows.value(self._files, shared[1], "subject") or (None,)

    def created(self, row_id: str, change: Change, lookups: Mapping[str, Target | None]) -> None:  # noqa: ARG002
        """The email has one attachment more."""
        self._recount(lookups.get("objectid"))

    def prepare(self, row_id: str, change: Change) -> None:
        """An attachment of a completed email stays as it is; a changed file keeps the limits."""
        self._check_open(self._target_of(row_id))
        if "body" in change.values:
            self._check_file(change)

    def deleting(self, row_id: str) -> Callable[[], None]:
        """Once it is gone, the email has one attachment less, and a file that nobody shares goes with it."""
        target = self._target_of(row_id)
        (file,) = self._rows.value(self._table, row_id, "_attachmentid_value") or (None,)

        def follow() -> None:
            self._recount(target)
            # Nobody has said when a file goes; one that no attachment leads to could not be read any more. [unproven]
            sql = (
                "DELETE FROM attachment WHERE attachmentid = ? AND NOT EXISTS "
                "(SELECT 1 FROM activitymimeattachment WHERE _attachmentid_value = attachmentid)"
            )
            self._rows.db.execute(sql, (file,))

        return follow

    def _target_of(self, row_id: str) -> Target | None:
        logical, target = self._rows.value(self._table, row_id, "_objectid_type", "_objectid_value") or (None, None)
        return (str(logical), str(target)) if target else None

    def _check_open(self, target: Target | None) -> None:
        if target and target[0] == "email":
            self._emails.check_open(target[1])

    def _check_file(self, change: Change) -> None:
        """A file keeps the organisation's limits; its size is filled."""
        sql = "SELECT maxuploadfilesize, blockedattachments, blockedmimetypes, allowedmimetypes FROM organization"
        most, extensions, blocked, allowed = self._rows.db.execute(sql).fetchone()
        values = change.values
        values["filesize"] = size = _size_of(values.get("body"))
        # Measured on the Base64 text (developer/data-platform/attachment-annotation-files).
        if (size + 2) // 3 * 4 > most:
            raise ODataError(400, "0x80044a02", "Attachment file size is too big.")
        _check_extension(str(values.get("filename") or ""), _listed(extensions))
        _check_mime_type(str(values.get("mimetype") or "").lower(), _listed(blocked), _listed(allowed))

    def _add_file(self, values: dict[str, object]) -> str:
        file_id, body = str(uuid4()), values["body"]
        row = {**values, "attachmentid": file_id, "versionnumber": self._rows.next_version()}
        if isinstance(body, Blocks):
            self._rows.insert(FILE, {**row, "body": None})
            self._rows.fill(self._files, file_id, "body", body.size, body.pieces)
        else:
            self._rows.insert(FILE, row)
        return file_id

    def _recount(self, target: Target | None) -> None:
        """Write into an email how many attachments it has."""
        if target and target[0] == "email":
            sql = "SELECT count(*) FROM activitymimeattachment WHERE _objectid_value = ? AND _objectid_type = 'email'"
            (total,) = self._rows.db.execute(sql, (target[1],)).fetchone()
            self._rows.change(self._rows.model.tables["email"], target[1], {"attachmentcount": total})


def _size_of(body: object) -> int:
    if isinstance(body, Blocks):
        return body.size
    return len(body) if isinstance(body, bytes) else 0


def _check_extension(filename: str, blocked: set[str]) -> None:
    extension = filename.rpartition(".")[2].lower() if "." in filename else ""
    if extension in blocked:
        raise ODataError(
            400,
            "0x80043e09",
            "The attachment is either not a valid type or is too large. It cannot be uploaded or downloaded.",
        )


def _check_mime_type(kind: str, blocked: set[str], allowed: set[str]) -> None:
    if allowed and kind not in allowed:
        raise ODataError(400, "0x80072521", f"Operation not allowed as mime type {kind} is not in allowed list.")
    if not allowed and kind in blocked:
        raise ODataError(400, "0x80072522", f"Operation not allowed as mime type {kind} is blocked.")


def _listed(setting: object) -> set[str]:
    return {entry.strip().lower() for entry in str(setting or "").split(";")} - {""}
