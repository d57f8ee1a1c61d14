"""Each message is counted in one bucket, by what the journal, the mailbox and Dataverse say of it."""

from __future__ import annotations

from typing import Any

import pytest

from mailsync.outcome import Kind
from mailsync.proof import Bucket, Seen, bucket_of
from mailsync.storage.journal import WAITS_FOR_GRANT, Entry
from tests.mailsync.parts import NOW

GRACE = 900
LONG_AGO = NOW - GRACE - 1
JUST_IN_TIME = NOW - GRACE


def seen(kind: Kind | None = None, *, noted: int = LONG_AGO, **more: Any) -> Seen:
    """What is seen of a message: `reason` and `until` are the journal's, everything else is told beside it."""
    noted_so = {name: more.pop(name) for name in ("reason", "until") if name in more}
    entry = None
    if kind is not None:
        entry = Entry(grant="g", message="m", kind=kind, noted=noted, first_seen=LONG_AGO, **noted_so)
    return Seen(**{"entry": entry, "date": LONG_AGO, "is_listed": True, "stands": False, **more})


@pytest.mark.parametrize(
    ("message", "bucket", "reason"),
    [
        (seen(date=JUST_IN_TIME), "on_the_way", "young"),
        (seen(date=LONG_AGO), "unexplained", "never_seen"),
        (seen(date=NOW + GRACE), "on_the_way", "young"),
        (seen(date=NOW + GRACE + 1), "unexplained", "never_seen"),
        (seen(date=None), "unexplained", "never_seen"),
        (seen(Kind.WRITTEN, reason="parent", stands=True), "written", "parent"),
        (seen(Kind.ADOPTED, reason="same_message_id", stands=True), "adopted", "same_message_id"),
        (seen(Kind.ALREADY_THERE, reason="parent", stands=True), "already_there", "parent"),
        (seen(Kind.WRITTEN, reason="parent"), "removed", "removed_in_dataverse"),
        (seen(Kind.ADOPTED), "removed", "removed_in_dataverse"),
        (seen(Kind.ALREADY_THERE), "removed", "removed_in_dataverse"),
        (seen(Kind.REMOVED, reason="removed_meanwhile"), "removed", "removed_meanwhile"),
        (seen(Kind.ERASED, reason="erased"), "removed", "erased"),
        (seen(Kind.REMOVED, stands=True), "already_there", "stands_again"),
        (seen(Kind.ERASED, stands=True), "already_there", "stands_again"),
        (seen(Kind.SKIPPED, reason="internal_only"), "skipped", "internal_only"),
        (seen(Kind.SKIPPED, reason="junk", has_moved=True), "unexplained", "moved_since_skipped"),
        (seen(Kind.GONE, reason="deleted", is_listed=False), "gone", "deleted"),
        (seen(Kind.GONE, reason="deleted"), "unexplained", "gone_but_listed"),
        (seen(Kind.GONE, reason="deleted", noted=JUST_IN_TIME), "gone", "deleted"),
        (seen(Kind.PUT_ASIDE, reason="poison"), "put_aside", "poison"),
        (seen(Kind.QUEUED, noted=JUST_IN_TIME), "on_the_way", "queued"),
        (seen(Kind.QUEUED), "unexplained", "overdue"),
        (seen(Kind.WRITING, noted=JUST_IN_TIME), "on_the_way", "writing"),
        (seen(Kind.WRITING), "unexplained", "overdue"),
        (seen(Kind.DEFERRED, reason="throttled", noted=JUST_IN_TIME), "on_the_way", "throttled"),
        (seen(Kind.DEFERRED, reason="throttled"), "unexplained", "overdue"),
        (seen(Kind.DEFERRED, reason="throttled", until=JUST_IN_TIME), "on_the_way", "throttled"),
        (seen(Kind.DEFERRED, reason="throttled", until=LONG_AGO), "unexplained", "overdue"),
        (seen(Kind.DEFERRED, reason=WAITS_FOR_GRANT, awaits_sign_in=True), "on_the_way", "waits_for_sign_in"),
        (seen(Kind.DEFERRED, reason=WAITS_FOR_GRANT), "unexplained", "overdue"),
        (seen(Kind.DEFERRED, reason="throttled", awaits_sign_in=True), "unexplained", "overdue"),
    ],
    ids=lambda given: str(given.entry.kind if given.entry else "unknown") if isinstance(given, Seen) else None,
)
def test_a_message_is_counted_where_what_is_known_of_it_puts_it(message: Seen, bucket: str, reason: str) -> None:
    assert bucket_of(message, now=NOW, grace=GRACE) == (bucket, reason)


def test_every_outcome_and_none_has_its_bucket() -> None:
    """And every bucket has an outcome that leads there."""
    everything = [
        seen(kind, stands=stands, is_listed=is_listed, noted=noted)
        for kind in (None, *Kind)
        for stands in (True, False)
        for is_listed in (True, False)
        for noted in (NOW, LONG_AGO)
    ]
    assert {bucket_of(one, now=NOW, grace=GRACE)[0] for one in everything} == set(Bucket)
