"""The files of a message, piece by piece; one that can't be had is tried for about an hour and then done without."""

from __future__ import annotations

import pytest

from mailsync.connected import Connected
from mailsync.errors import FileMissingError, FileTroubleError, MessageError, TransientError
from mailsync.files import GIVEN_UP_AFTER, content_of
from mailsync.storage.envelope import MessageItem
from mailsync.storage.mailboxes import Mailboxes
from mapping.attachments import File as Carried
from mapping.attachments import Why
from sandbox.faults import Act, Answer, DropAfter, DropMidway, Fault
from sandbox.mail import File
from sandbox.nylas import download_of
from tests.mailsync.parts import NOW, OWN_DOMAIN, Clock, NylasServed, mail, new_address

LONG = bytes(range(256)) * 2000


@pytest.fixture
def ours(nylas: NylasServed, mailboxes: Mailboxes, clock: Clock) -> Connected:
    return Connected(mailboxes=mailboxes, reader=nylas.reader(), own_domains=frozenset({OWN_DOMAIN}), clock=clock)


def laid(nylas: NylasServed, provider: str = "google", **item: int) -> tuple[MessageItem, Carried]:
    """A message with one file, and the file as it goes along."""
    grant = nylas.stand_in.connect(new_address(), provider, created_at=NOW)
    letter = mail("dora@fabrikam.example", files=(File("long & wide/1.pdf", "application/pdf", LONG),))
    message = nylas.stand_in.deliver(grant, letter, notify=False)
    shown = next(one for one in nylas.stand_in.messages(grant) if one["id"] == message)["attachments"][0]
    work = MessageItem(grant=grant, message=message, source="test", first_seen=NOW, **item)
    return work, Carried(shown["id"], "1.pdf", "application/pdf", shown["size"])


@pytest.mark.parametrize("provider", ["google", "microsoft", "imap", "ews"])
def test_a_file_comes_in_pieces(nylas: NylasServed, ours: Connected, provider: str) -> None:
    item, file = laid(nylas, provider)
    with content_of(item, ours)(file) as pieces:
        found = list(pieces)
    assert b"".join(found) == LONG
    assert len(found) > 1


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        pytest.param(Answer(404), Why.NOT_THERE, id="gone"),
        pytest.param(Answer(400), Why.UNREADABLE, id="refused"),
    ],
)
def test_a_file_that_will_never_be_had_is_done_without(
    nylas: NylasServed, ours: Connected, fault: Act, why: Why
) -> None:
    item, file = laid(nylas)
    nylas.faults.add(Fault(fault, path=download_of(file.source)))
    with pytest.raises(FileMissingError) as error, content_of(item, ours)(file):
        pass
    assert error.value.why is why


@pytest.mark.parametrize("fault", [Answer(500), Answer(429), DropAfter(), DropMidway(200_000)], ids=repr)
def test_a_file_in_trouble_is_tried_later_and_given_up_after_about_an_hour(
    nylas: NylasServed, ours: Connected, fault: Act
) -> None:
    item, file = laid(nylas)
    nylas.faults.add(Fault(fault, path=download_of(file.source)))
    with pytest.raises(FileTroubleError), content_of(item, ours)(file) as pieces:
        list(pieces)
    last = MessageItem(
        grant=item.grant, message=item.message, source="test", first_seen=NOW, file_misses=GIVEN_UP_AFTER - 1
    )
    fresh = Connected(mailboxes=ours._mailboxes, reader=nylas.reader(), own_domains=None, clock=Clock())
    with pytest.raises(FileMissingError) as error, content_of(last, fresh)(file) as pieces:
        list(pieces)
    assert error.value.why is Why.UNREADABLE


@pytest.mark.parametrize(
    "error",
    [TransientError("Dataverse is out", reason="dataverse_unavailable"), MessageError("refused", reason="refused")],
    ids=["trouble", "refusal"],
)
def test_what_goes_wrong_elsewhere_while_a_file_is_read_is_no_fault_of_the_file(
    nylas: NylasServed, ours: Connected, error: Exception
) -> None:
    item, file = laid(nylas)
    with pytest.raises(type(error)) as raised:
        _read_and_fail(ours, item, file, error)
    assert raised.value is error
    with content_of(item, ours)(file) as pieces:  # and no gate was closed by it
        assert b"".join(pieces) == LONG


def _read_and_fail(ours: Connected, item: MessageItem, file: Carried, error: Exception) -> None:
    with content_of(item, ours)(file) as pieces:
        next(iter(pieces))
        raise error
