"""Attachments of emails: what the organisation lets pass, and the count that stands in the email."""

from __future__ import annotations

import base64
import binascii

from sandbox.dataverse.emails import Emails
from sandbox.dataverse.parties import Target
from sandbox.dataverse.refusals import ODataError, bad_input, invalid
from sandbox.dataverse.rows import Rows
from sandbox.dataverse.rules import Change

TABLE = "activitymimeattachment"


class Attachments:
    """The rules and the followings of writing an attachment."""

    def __init__(self, rows: Rows, emails: Emails) -> None:
        self._rows = rows
        self._emails = emails
        self._table = rows.model.tables[TABLE]

    def check_new(self, change: Change) -> None:
        """An attachment belongs to something open, and keeps the organisation's limits; its size is filled."""
        values, target = change.values, change.lookups.get("objectid")
        if target is None or values.get("objecttypecode") != target[0]:
            raise invalid("An attachment needs objectid and the objecttypecode of what it is attached to.")
        self._check_open(target)
        sql = "SELECT maxuploadfilesize, blockedattachments, blockedmimetypes, allowedmimetypes FROM organization"
        size, extensions, blocked, allowed = self._rows.db.execute(sql).fetchone()
        body = str(values.get("body") or "")
        if len(body) > size:  # measured on the Base64 text (developer/data-platform/attachment-annotation-files)
            raise ODataError(400, "0x80044a02", "Attachment file size is too big.")
        try:
            values["filesize"] = len(base64.b64decode(body, validate=True))
        except binascii.Error:
            raise bad_input("Cannot convert the value of 'body': it is not Base64.") from None
        _check_extension(str(values.get("filename") or ""), _listed(extensions))
        _check_mime_type(str(values.get("mimetype") or "").lower(), _listed(blocked), _listed(allowed))

    def check_change(self, row_id: str) -> None:
        """An attachment of a completed email stays as it is."""
        self._check_open(self.target_of(row_id))

    def target_of(self, row_id: str) -> Target | None:
        """What an attachment is attached to."""
        logical, target = self._rows.value(self._table, row_id, "_objectid_type", "_objectid_value") or (None, None)
        return (str(logical), str(target)) if target else None

    def recount(self, target: Target | None) -> None:
        """Write into an email how many attachments it has."""
        if target and target[0] == "email":
            sql = "SELECT count(*) FROM activitymimeattachment WHERE _objectid_value = ? AND _objectid_type = 'email'"
            (total,) = self._rows.db.execute(sql, (target[1],)).fetchone()
            self._rows.change(self._rows.model.tables["email"], target[1], {"attachmentcount": total})

    def _check_open(self, target: Target | None) -> None:
        if target and target[0] == "email":
            self._emails.check_open(target[1])


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
