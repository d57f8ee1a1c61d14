"""What each reason means to somebody who never reads code: what is the matter, how far it reaches, who acts, what next.

The same reasons as in docs/failures.md, in fewer words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mailsync.errors import Scope


class Who(StrEnum):
    """Who acts."""

    NOBODY = "nobody, it passes by itself"
    OWNER = "the mailbox's owner"
    ADMINISTRATOR = "an administrator"
    OPERATOR = "whoever looks after the app"
    DEVELOPER = "whoever develops the app"


@dataclass(frozen=True, slots=True)
class Meaning:
    """One reason, told to a person."""

    scope: Scope
    who: Who
    title: str
    do: str


WAIT = "Nothing: mail waits its turn and none is lost."
REPLAY = "Read the evidence, mend what it names, then replay the message."
MESSAGE, MAILBOX, ORGANISATION = Scope.MESSAGE, Scope.MAILBOX, Scope.ORGANISATION


def _passing(scope: Scope, title: str, do: str = WAIT) -> Meaning:
    return Meaning(scope, Who.NOBODY, title, do)


def _setting(title: str, do: str) -> Meaning:
    return Meaning(ORGANISATION, Who.ADMINISTRATOR, title, do)


def _message(title: str, do: str = REPLAY) -> Meaning:
    return Meaning(MESSAGE, Who.OPERATOR, title, do)


SIGN_IN = "Ask the owner to sign in again through the Nylas link; what was missed is fetched then."

REASONS: Mapping[str, Meaning] = {
    # settings, keys and roles
    "settings": _setting(
        "Settings are missing or malformed", "Mend the settings that are named; mail waits meanwhile."
    ),
    "tracking_policy": _setting("The tracking policy can't be read", "Mend the line of tracking.toml that is named."),
    "storage_refused": _setting(
        "The storage account refuses the app",
        "Check AzureWebJobsStorage, or the identity's roles for queues and tables.",
    ),
    "nylas_redirects": _setting("Nylas' address is not that of its API", "Check NYLAS_API_URI and its region."),
    "nylas_key": _setting("Nylas refuses the API key", "Check NYLAS_API_KEY, and the region in NYLAS_API_URI."),
    "webhook_unwell": _setting(
        "No webhook to the app is active at Nylas",
        "`python -m mailsync webhook list` shows its state and `doctor` why: mend that, then `webhook resume`. "
        "The sweep finds the mail meanwhile.",
    ),
    "entra_refused": _setting(
        "Entra refuses to sign the app in",
        "Check the app's identity; the AADSTS code in the evidence says what is wrong.",
    ),
    "dataverse_refused_identity": _setting(
        "Dataverse refuses the app", "Check that the app's identity is an application user with its security role."
    ),
    "dataverse_lacks_privilege": _setting(
        "A privilege is missing in Dataverse", "Run `python -m mailsync dataverse setup`; it gives what the app needs."
    ),
    "owner_refused": _setting(
        "Dataverse gives no email to the fallback owner", "Check owner.fallback in tracking.toml, and its roles."
    ),
    "dataverse_url": _setting("There is no Dataverse at the address given", "Check DATAVERSE_URL."),
    "bypass_refused": _setting(
        "An import may not go past the organisation's automation",
        "Run `python -m mailsync dataverse setup --with-bypass`; the import goes on by itself.",
    ),
    "erasure_key": _setting(
        "The key of what was erased is missing or another",
        "Give ERASURE_KEY the value it had: until then what was erased can come back, for mail flows on.",
    ),
    "nylas_id_column": _setting(
        "The column for Nylas' message id can't be used",
        "Check DATAVERSE_NYLAS_ID_COLUMN: is it there, and long enough?",
    ),
    "owner_unknown": _setting("An owner named in the policy is not in Dataverse", "Check the owners in tracking.toml."),
    # a mailbox
    "grant": Meaning(MAILBOX, Who.OWNER, "The mailbox's owner must sign in again", SIGN_IN),
    "grant_refused": Meaning(MAILBOX, Who.OWNER, "The mailbox's owner must sign in again", SIGN_IN),
    "grant_lacks_scope": Meaning(
        MAILBOX, Who.OWNER, "The app was not allowed to read this mailbox", "Ask the owner to sign in and allow it."
    ),
    "grant_refused_once": _passing(MAILBOX, "Nylas refused a mailbox for a moment"),
    "mailbox_disconnected": Meaning(
        MAILBOX, Who.OWNER, "The mailbox was disconnected", "Connect the mailbox again, then replay what was put aside."
    ),
    "mailbox_contended": _passing(MAILBOX, "Several workers were at one mailbox"),
    "backfill_contended": _passing(MAILBOX, "Several workers were at one import"),
    "mailbox_swept": _passing(MAILBOX, "A mailbox is being looked through already"),
    "mailbox_closed": _passing(MAILBOX, "A mailbox is left alone for a while"),
    "mailbox_busy": _passing(MAILBOX, "A mailbox has as many requests as it may have"),
    "mailbox_paced": _passing(MAILBOX, "A mailbox is read at its provider's pace"),
    "folder_unknown": _passing(MAILBOX, "A folder was made just now"),
    # the organisation, in passing
    "storage_unavailable": _passing(ORGANISATION, "The storage account does not answer"),
    "nylas_timed_out": _passing(ORGANISATION, "Nylas takes too long to answer"),
    "nylas_unreachable": _passing(ORGANISATION, "Nylas can't be reached"),
    "nylas_unavailable": _passing(ORGANISATION, "Nylas, or a mail provider behind it, fails"),
    "nylas_throttled": _passing(MAILBOX, "Nylas or a provider asks to be asked less"),
    "nylas_closed": _passing(ORGANISATION, "Nylas is left alone for a while"),
    "nylas_busy": _passing(ORGANISATION, "Nylas has as many requests as it may have"),
    "entra_unreachable": _passing(ORGANISATION, "Entra can't be reached"),
    "entra_closed": _passing(ORGANISATION, "Entra is left alone for a while"),
    "dataverse_timed_out": _passing(ORGANISATION, "Dataverse takes too long to answer"),
    "dataverse_unreachable": _passing(ORGANISATION, "Dataverse can't be reached"),
    "dataverse_unavailable": _passing(ORGANISATION, "Dataverse fails"),
    "dataverse_throttled": _passing(ORGANISATION, "Dataverse asks to be asked less"),
    "dataverse_closed": _passing(ORGANISATION, "Dataverse is left alone for a while"),
    "dataverse_busy": _passing(ORGANISATION, "Dataverse has as many requests as it may have"),
    "dataverse_not_odata": _passing(ORGANISATION, "Dataverse answered with something unreadable"),
    "dataverse_batch_unreadable": _passing(ORGANISATION, "Dataverse answered with something unreadable"),
    "writing_stopped": Meaning(
        ORGANISATION,
        Who.ADMINISTRATOR,
        "Writing is stopped, for too many messages were put aside",
        "Look at the reason below: a setting or a deployment is wrong. Writing goes on by itself after five minutes.",
    ),
    # one message, in passing
    "journal_contended": _passing(MESSAGE, "Several workers were at one message"),
    "nylas_shape": _passing(MESSAGE, "Nylas answered with something unreadable"),
    "nylas_without_headers": _passing(MESSAGE, "Nylas showed a message without its header"),
    "nylas_cursor": _passing(MESSAGE, "A listing has to begin anew"),
    "bound_record_gone": _passing(MESSAGE, "A record went from Dataverse while mail was written"),
    "duplicate_not_found": _passing(MESSAGE, "Dataverse changed while mail was written"),
    "email_removed_meanwhile": _passing(MESSAGE, "Dataverse changed while mail was written"),
    "awaits_senders_copy": _passing(MESSAGE, "The sender's own copy goes first"),
    "header_not_found": _passing(MESSAGE, "Nylas showed a message without its header"),
    "folders_not_found": _passing(MAILBOX, "Nylas does not find the folders of a mailbox"),
    "out_of_time": _passing(MESSAGE, "A large message is written in portions"),
    "files_closed": _passing(MESSAGE, "Other large messages go first"),
    "files_busy": _passing(MESSAGE, "Other large messages go first"),
    "unexpected": Meaning(
        MESSAGE,
        Who.DEVELOPER,
        "A fault of the app",
        "Report the log line event=unexpected_failure; mail waits meanwhile.",
    ),
    # one message, for a person
    "not_found": _message("Nylas does not find the message", "Nothing: it was deleted before it could be read."),
    "deleted": _message("The message was deleted before it could be read", "Nothing."),
    "nylas_empty": _message("Nylas shows nothing of the message", "Replay it; if it fails again, ask Nylas."),
    "nylas_refused": _message("Nylas refuses to show the message", "Give the request id to Nylas, then replay."),
    "message_shape": _message(
        "The message is not in the documented shape", "Give the request id to Nylas, then replay."
    ),
    "dataverse_refused_row": _message(
        "Dataverse refuses the email", "The code in the evidence says why; mend it in Dataverse, then replay."
    ),
    "mapping_failed": Meaning(MESSAGE, Who.DEVELOPER, "A fault of the app", "Report it; replay after an upgrade."),
    "poison": Meaning(
        MESSAGE, Who.OPERATOR, "The message crashed the app", "Read the exceptions of that time, then replay it."
    ),
    "not_an_envelope": _message(
        "A queue held what is not the app's", "Find out who put it there; it can't be replayed."
    ),
    "unknown_envelope_version": _message(
        "A queue held an item of another version", "Deploy the version that wrote it, then replay."
    ),
    "wrong_queue": _message("An item was on the wrong queue", "Find out who put it there."),
    "file_missing": _message("A file could not be had", "Nothing: the email names it."),
}
"""By the reason's own word."""


def meaning_of(reason: str) -> Meaning:
    """What a reason means; of one that isn't known here, its own word."""
    return REASONS.get(reason) or Meaning(
        MESSAGE, Who.OPERATOR, reason.replace("_", " ").capitalize() or "No reason was given", "See docs/failures.md."
    )
