"""Whether Dataverse knows us, lets us do what we must and no more, and what else happens to the same mail there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mailsync.dataverse.access import Access, MailOwner
from mailsync.dataverse.definitions import USUAL, Definitions
from mailsync.dataverse.privileges import BYPASS, DEPTH, TABLES, Named, needed, tables_asked
from mailsync.doctor.findings import Findings, bad, clock_finding, good, looked, named, unknown, warning
from mailsync.settings import Settings
from mailsync.storage.mailboxes import VALID, Mailbox
from mapping.addresses import normalise
from mapping.email_activity import LONGEST_NYLAS_ID
from mapping.policy import Policy

TOPIC = "dataverse"
LEAST_UPLOAD = 1_048_576
"""Bytes of Base64 below which the organisation's limit keeps ordinary files out."""
SETUP = "`python -m mailsync dataverse setup`"


@dataclass(frozen=True, slots=True)
class DataverseSide:
    """What is asked; each raises where it can't be."""

    access: Callable[[], Access]
    definitions: Callable[[], Definitions]
    settings: Callable[[], Settings]
    policy: Callable[[], Policy]
    mailboxes: Callable[[], Iterable[Mailbox]]


def examine_dataverse(side: DataverseSide, *, now: float) -> Findings:
    """Token, identity, privileges, tables, limits, column, and who else tracks the mail."""
    user: list[str] = []

    def who() -> Findings:
        me, answer = side.access().who_am_i()
        user.append(str(me.user_id))
        yield good("entra", "token", "Entra gives one")
        yield good(TOPIC, "identity", f"the environment knows us as user {me.user_id}")
        yield from clock_finding(TOPIC, answer.headers.get("Date", ""), now)

    yield from looked(TOPIC, "identity", who)
    if not user:
        for checked in ("privileges", "tables", "limits", "mailboxes"):
            yield unknown(TOPIC, checked, "Dataverse is not reached with an identity of its own")
        return
    yield from looked(TOPIC, "privileges", lambda: _rights(side, user[0]))
    yield from looked(TOPIC, "limits", lambda: _limits(side.access()))
    yield from looked(TOPIC, "column", lambda: _column(side))
    yield from looked(TOPIC, "mailboxes", lambda: _mailboxes(side))


def _rights(side: DataverseSide, user: str) -> Findings:
    policy = side.policy()
    own = [table.table for table in policy.regarding.tables]
    there = side.access().named(tables_asked(own))
    held = side.access().of_user(user)
    needs = needed(there, own_tables=own)
    missing = [need for need in needs if need.name not in held]
    shallow = [need.name for need in needs if held.get(need.name, DEPTH) != DEPTH]
    excess = sorted(set(held) - {need.name for need in needs} - {BYPASS})
    for need in missing:
        yield bad(TOPIC, "privileges", f"{need.name} is missing ({need.why})", f"{SETUP} gives it")
    if shallow:
        yield bad(
            TOPIC,
            "privileges",
            f"these reach a part of the rows only: {named(shallow)}",
            f"give them for the organisation; {SETUP} does",
        )
    if not missing and not shallow:
        yield good(TOPIC, "privileges", f"all {len(needs)} that are needed are there")
    if excess:
        yield warning(
            TOPIC,
            "privileges",
            f"{len(excess)} are there that the app does not need: {named(excess)}",
            f"run the app with a role of its own and no other: {SETUP}",
        )
    has = "is there" if BYPASS in held else f"is not there; {SETUP} --with-bypass gives it"
    yield good(TOPIC, "import of old mail", f"{BYPASS}, with which an import may spare flows and plug-ins, {has}")
    yield from _tables(there, side, policy)


def _tables(there: Named, side: DataverseSide, policy: Policy) -> Findings:
    optional = [need.table for need in TABLES if need.optional]
    installed = [table for table in optional if table in there]
    yield good(TOPIC, "tables", f"of optional ones there are: {named(installed) or 'none'}")
    for rule in policy.regarding.rules:
        related = policy.regarding.related(rule)
        if related is not None and related.table not in there:
            yield bad(
                TOPIC,
                "tables",
                f"the policy's rule {rule} asks for the table {related.table}, which is not there",
                "install the application that brings it, or take the rule out of the policy",
            )
        elif related is not None and related.table not in USUAL:
            if side.definitions().can_be_regarded(related.table):
                yield good(TOPIC, "tables", f"emails can be about {related.table}")
            else:
                yield bad(
                    TOPIC,
                    "tables",
                    f"emails can't be about {related.table}, for which the policy's rule {rule} asks",
                    "turn on activities for the table, or take the rule out of the policy",
                )


def _limits(access: Access) -> Findings:
    told = access.organisation()
    most, blocked = told.maxuploadfilesize, [one for one in (told.blockedattachments or "").split(";") if one.strip()]
    if most is None:
        yield unknown(TOPIC, "limits", "the organisation tells no limit for files")
        return
    says = f"files up to {most * 3 // 4:,} bytes pass, {len(blocked)} extensions are blocked"
    if most < LEAST_UPLOAD:
        yield warning(TOPIC, "limits", says, "raise the limit for files (Settings, Email): larger ones are left out")
    else:
        yield good(TOPIC, "limits", says)


def _column(side: DataverseSide) -> Findings:
    name = side.settings().nylas_id_column
    if name is None:
        return
    column = side.access().column("email", name)
    if column is None:
        yield bad(TOPIC, "column", f"emails have no column {name}", f"{SETUP} makes it")
    elif column.length is None or column.length < LONGEST_NYLAS_ID:
        yield bad(
            TOPIC,
            "column",
            f"{name} holds {'no text' if column.length is None else f'{column.length} characters'}",
            f"make it a text of {LONGEST_NYLAS_ID} characters, or name another in DATAVERSE_NYLAS_ID_COLUMN",
        )
    else:
        yield good(TOPIC, "column", f"{name} holds {column.length} characters")


def _mailboxes(side: DataverseSide) -> Findings:
    """Whose the mailboxes are, by the ids of their grants; no address is told."""
    grants = {
        address: one.grant
        for one in side.mailboxes()
        if one.status == VALID and (address := normalise(one.email)) is not None
    }
    owners = side.access().owners(grants)
    by_address = {address: one for one in owners if (address := normalise(one.address)) is not None}
    nobodys = [grant for address, grant in grants.items() if address not in by_address]
    if nobodys:
        yield warning(
            TOPIC,
            "owners",
            f"{len(nobodys)} mailboxes are no user's and no queue's: {named(nobodys)}",
            "give the user or queue the address, or name an owner in the policy; else owner.fallback owns their mail",
        )
    elif grants:
        yield good(TOPIC, "owners", f"each of {len(grants)} mailboxes is a user's or a queue's")
    inactive = [grants[address] for address, one in by_address.items() if one.state]
    if inactive:
        yield warning(
            TOPIC,
            "owners",
            f"the users or queues of {len(inactive)} mailboxes are disabled: {named(inactive)}",
            "disconnect them, or name an owner for their mail in the policy",
        )
    yield from _approvals(side, grants, by_address)
    yield from _other_trackers(side, grants, by_address)


def _other_trackers(side: DataverseSide, grants: dict[str, str], owners: dict[str, MailOwner]) -> Findings:
    """Server-side synchronisation of the same mailboxes, and whether it does anything there."""
    rows = side.access().synchronised(grants)
    tracked = {address for address, one in owners.items() if one.is_synchronised} | (rows or frozenset())
    found = sorted(tracked & grants.keys())
    seen = "of users and queues" if rows is None else "of users, queues and mailboxes"
    if not found:
        yield good(TOPIC, "server-side synchronisation", f"takes no mail of the connected ones, by the settings {seen}")
        return
    ids = named(grants[address] for address in found)
    if side.settings().adopt_existing:
        yield good(
            TOPIC,
            "server-side synchronisation",
            f"tracks {len(found)} of the same mailboxes ({ids}); what it put there first is adopted, and what two made "
            "`verify` counts as doubled",
        )
    else:
        yield bad(
            TOPIC,
            "server-side synchronisation",
            f"tracks {len(found)} of the same mailboxes ({ids}), and ADOPT_EXISTING is false: their mail is doubled",
            "set ADOPT_EXISTING to true, or set these users' incoming email to None",
        )


def _approvals(side: DataverseSide, grants: dict[str, str], owners: dict[str, MailOwner]) -> Findings:
    """Only what Dataverse itself does with mail waits for an approval; what the app writes does not."""
    asked = side.access().organisation()
    required = {
        "systemuser": asked.requireapprovalforuseremail is not False,
        "queue": asked.requireapprovalforqueueemail is not False,
    }
    waiting = [grants[address] for address, one in owners.items() if required[one.table] and not one.is_approved]
    if waiting:
        yield warning(
            TOPIC,
            "approval",
            f"the users or queues of {len(waiting)} mailboxes are not approved for email: {named(waiting)}",
            "approve them if Dataverse itself is to synchronise their mail or to send for them; until then it does "
            "neither, and this app writes their mail in any case",
        )
    elif owners:
        yield good(TOPIC, "approval", f"each of {len(owners)} users and queues is approved for email, or need not be")
