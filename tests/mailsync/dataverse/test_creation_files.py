"""The files of an email: together with it in one round trip, or one by one, the large ones in blocks; or told of.

What a file is called, and which are withheld before anybody asks Dataverse, is `mapping`'s business.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from mailsync.dataverse.attachments import BLOCK, SEEN_LIFE, SEEN_SIZE, SeenFiles
from mailsync.dataverse.creation import TOGETHER, Put, Written
from mailsync.errors import (
    ConfigurationError,
    FileMissingError,
    FileTroubleError,
    MessageError,
    ThrottledError,
    TransientError,
)
from mailsync.transport import Answer as Got
from mapping.attachments import File, Limits, Why
from mapping.body import Body
from mapping.email_activity import EmailActivity
from sandbox.faults import Answer, Fault
from tests.mailsync.dataverse.room import (
    COMPLETED,
    LARGEST,
    PIECE,
    Mailbox,
    Room,
    activity,
    allow,
    attached,
    put_there,
    row,
    trips,
)
from tests.mailsync.parts import Clock, DataverseServed, in_threads, new_message_id

WIDE = Limits(largest=LARGEST)
"""What the organisation allows at most."""


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def wide(dataverse: DataverseServed) -> DataverseServed:
    """An organisation that takes the largest files there are."""
    allow(dataverse, maxuploadfilesize=LARGEST)
    return dataverse


def paths(dataverse: DataverseServed) -> list[str]:
    """What each round trip asked for, without ids and options; of a batch, all of it."""
    return [
        " ".join(line.replace("/api/data/v9.2/", "").partition("?")[0].partition("(")[0] for line in asked)
        for asked in dataverse.operations()
    ]


# together


@pytest.mark.parametrize("number", [1, 3, 20])
def test_an_email_with_its_files_is_one_round_trip(dataverse: DataverseServed, mailbox: Mailbox, number: int) -> None:
    bodies = {f"offer {one}.pdf": content(1000, one) for one in range(number)}
    email = activity(files=[mailbox.file(name, body) for name, body in bodies.items()])
    got: list[Written] = []
    assert trips(dataverse, lambda: got.append(Room(dataverse).put(email, content=mailbox))) == 1
    assert got == [Written(Put.CREATED, str(email.activityid))]
    assert paths(dataverse) == [" ".join(["POST emails", *["POST activitymimeattachments"] * number, "PATCH emails"])]
    assert attached(dataverse, email) == sorted(bodies.items())
    stands = row(dataverse, email.activityid)
    assert (stands["statecode"], stands["statuscode"], stands["attachmentcount"]) == (1, 4, number)
    assert (stands["description"], stands["notifications"]) == ("<p>Hello</p>", 0)
    assert mailbox.opened == list(bodies)


def test_a_file_is_told_as_it_is_called(dataverse: DataverseServed, mailbox: Mailbox) -> None:
    picture = mailbox.file("logo.png", b"\x89PNG", type="image/png", content_id="logo@mail", called="logo@mail")
    email = activity(files=[picture], body=Body('<p><img src="cid:logo@mail"></p>', True, ("logo@mail",)))
    Room(dataverse).put(email, content=mailbox)
    (stands,) = dataverse.stand_in.rows("activitymimeattachment")
    told = {name: stands[name] for name in ("filename", "subject", "mimetype", "attachmentcontentid", "objecttypecode")}
    assert told == {
        "filename": "logo.png",
        "subject": "logo.png",
        "mimetype": "image/png",
        "attachmentcontentid": "logo@mail",
        "objecttypecode": "email",
    }
    assert stands["activitymimeattachmentid"] == str(picture.id_in(email.activityid))
    assert 'src="cid:logo@mail"' in row(dataverse, email.activityid)["description"]


def test_files_of_one_name_are_several(both_ways: DataverseServed, mailbox: Mailbox) -> None:
    files = [mailbox.file("image001.png", body, number=number) for number, body in enumerate([b"one", b"two", b"one"])]
    email = activity(files=files)
    Room(both_ways).put(email, content=mailbox)
    assert attached(both_ways, email) == [("image001.png", b"one"), ("image001.png", b"one"), ("image001.png", b"two")]


@pytest.mark.parametrize(
    ("sizes", "at_once"),
    [
        pytest.param([TOGETHER], True, id="as much as goes together, in one file"),
        pytest.param([TOGETHER - 1000, 1000], True, id="in two"),
        pytest.param([TOGETHER - 1000, 1001], False, id="one byte more"),
        pytest.param([TOGETHER + 1], False, id="in one"),
    ],
)
@pytest.mark.parametrize("told", ["exactly", "not at all", "as less than it is"])
def test_what_is_more_goes_step_by_step(
    wide: DataverseServed, mailbox: Mailbox, sizes: Sequence[int], at_once: bool, told: str
) -> None:
    """By the bytes that there are: what a mailbox tells of a size is an estimate."""
    bodies = {f"{number}.pdf": content(size) for number, size in enumerate(sizes)}
    says = {"exactly": len, "not at all": lambda _: None, "as less than it is": lambda body: len(body) // 2}[told]
    email = activity(files=[mailbox.file(name, body, size=says(body)) for name, body in bodies.items()])
    assert Room(wide).put(email, content=mailbox, limits=WIDE).put is Put.CREATED
    assert attached(wide, email) == sorted(bodies.items())
    step_by_step = ["POST emails", *["POST activitymimeattachments"] * len(sizes), "PATCH emails"]
    assert paths(wide) == ([" ".join(step_by_step)] if at_once else step_by_step)
    assert row(wide, email.activityid)["statuscode"] == 4


def test_an_estimate_that_is_twice_too_large_keeps_no_file_out(dataverse: DataverseServed, mailbox: Mailbox) -> None:
    """Microsoft's is, and the largest file allowed then looks as if it were twice that."""
    body = content(Limits().most_bytes)
    email = activity(files=[mailbox.file("plan.pdf", body, size=2 * len(body))])
    assert Room(dataverse).put(email, content=mailbox).notes == ()
    assert attached(dataverse, email) == [("plan.pdf", body)]
    assert paths(dataverse) == ["POST emails", "POST activitymimeattachments", "PATCH emails"]


# in blocks


@pytest.mark.parametrize(
    ("size", "blocks"),
    [
        pytest.param(BLOCK - 1, 0, id="less than a block is sent whole"),
        pytest.param(BLOCK, 1, id="one block"),
        pytest.param(BLOCK + 1, 2, id="one byte more"),
        pytest.param(3 * BLOCK, 3, id="three full blocks"),
        pytest.param(3 * BLOCK + 17, 4, id="three and a rest"),
    ],
)
def test_a_large_file_goes_up_in_blocks(wide: DataverseServed, mailbox: Mailbox, size: int, blocks: int) -> None:
    body = content(size)
    email = activity(files=[mailbox.file("film.mp4", body, type="video/mp4")])
    assert Room(wide).put(email, content=mailbox, limits=WIDE) == Written(Put.CREATED, str(email.activityid))
    in_blocks = [
        "POST InitializeAttachmentBlocksUpload",
        *["POST UploadBlock"] * blocks,
        "POST CommitAttachmentBlocksUpload",
    ]
    steps = in_blocks if blocks else ["POST activitymimeattachments"]
    assert paths(wide) == ["POST emails", *steps, "PATCH emails"]
    assert attached(wide, email) == [("film.mp4", body)]
    (stands,) = wide.stand_in.rows("activitymimeattachment")
    assert (stands["mimetype"], stands["filesize"]) == ("video/mp4", size)
    assert row(wide, email.activityid)["statuscode"] == 4


def test_small_and_large_files_of_one_mail_all_come_along(wide: DataverseServed, mailbox: Mailbox) -> None:
    bodies = {"a.txt": b"a", "b.mp4": content(BLOCK + 5), "c.txt": b"c"}
    email = activity(files=[mailbox.file(name, body) for name, body in bodies.items()])
    Room(wide).put(email, content=mailbox, limits=WIDE)
    assert attached(wide, email) == sorted(bodies.items())
    assert row(wide, email.activityid)["attachmentcount"] == 3


def test_of_a_large_file_no_more_than_a_block_is_held(wide: DataverseServed) -> None:
    """What was read is uploaded before more of it is asked for."""
    ahead: list[int] = []

    @contextmanager
    def opened(_: File) -> Iterator[Iterator[bytes]]:
        def pieces() -> Iterator[bytes]:
            for number in range(5 * BLOCK // PIECE):
                uploaded = paths(wide).count("POST UploadBlock") * BLOCK
                ahead.append(number * PIECE - uploaded)
                yield bytes(PIECE)

        yield pieces()

    email = activity(files=[File(source="f", name="film.mp4", type="video/mp4", size=5 * BLOCK)])
    Room(wide).creation.put(email, people=(), content=opened, limits=WIDE, fallback=email.owner)
    assert max(ahead) < BLOCK
    assert row(wide, email.activityid)["attachmentcount"] == 1


# files that stay out


def told(email: EmailActivity, *missing: tuple[File, Why]) -> tuple[str, int]:
    """The description that tells of these files, and what Dataverse's own form says of them."""
    return email.without(dict(missing)).description.html, 1


def says(dataverse: DataverseServed, email: EmailActivity) -> tuple[str, int]:
    stands = row(dataverse, email.activityid)
    assert (stands["statecode"], stands["statuscode"]) == (1, 4)
    return stands["description"], stands["notifications"]


OUT: dict[str, tuple[dict[str, Any], bytes | Exception, Why, str]] = {
    "too large": ({"name": "plan.pdf"}, content(2000), Why.TOO_LARGE, "larger than this organisation allows"),
    "empty": ({"name": "plan.pdf"}, b"", Why.EMPTY, "empty"),
    "no longer in the mailbox": (
        {"name": "plan.pdf"}, FileMissingError(Why.NOT_THERE), Why.NOT_THERE, "no longer in the mailbox",
    ),
    "not to be read": (
        {"name": "plan.pdf"}, FileMissingError(Why.UNREADABLE), Why.UNREADABLE, "could not be read from the mailbox",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OUT)
@pytest.mark.parametrize("way", ["at once", "step by step", "gone on with"])
def test_a_file_that_cannot_be_had_stays_out_and_is_told_of(
    dataverse: DataverseServed, mailbox: Mailbox, case: str, way: str
) -> None:
    changes, held, why, words = OUT[case]
    dataverse.stand_in.behaviour.refuse_changesets = way == "step by step"
    out, rest = mailbox.file(held=held, size=None, **changes), mailbox.file("rest.txt", b"rest")
    email = activity(files=[out, rest])
    limits, room = Limits(largest=1000), Room(dataverse)
    allow(dataverse, maxuploadfilesize=1000)
    if way == "gone on with":
        dataverse.stand_in.add("email", activityid=str(email.activityid), subject="Quote")
        written = room.resume(email, content=mailbox, limits=limits)
    else:
        written = room.put(email, content=mailbox, limits=limits)
    assert written.notes == (f"file left out: {why.name.lower()}",)
    assert attached(dataverse, email) == [("rest.txt", b"rest")]
    description, notifications = told(email, (out, why))
    assert says(dataverse, email) == (description, notifications)
    assert f"plan.pdf ({words})" in description
    # and nothing of it is sent
    sent = [asked for asked in paths(dataverse) if "activitymimeattachments" in asked]
    together = "POST emails POST activitymimeattachments PATCH emails"
    wanted = {"at once": [together], "step by step": [together, "POST activitymimeattachments"]}
    assert sent[-2:] == wanted.get(way, ["POST activitymimeattachments", "GET activitymimeattachments"])


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], Why]] = {
    "too large": ({"maxuploadfilesize": 2000}, {"name": "plan.pdf"}, Why.TOO_LARGE),
    "blocked by its name": ({"blockedattachments": "exe;pdf"}, {"name": "plan.PDF"}, Why.BLOCKED_NAME),
    "blocked by its type": (
        {"blockedmimetypes": "text/html"}, {"name": "plan.htm", "type": "text/html"}, Why.BLOCKED_TYPE,
    ),
    "not among the types that are allowed": (
        {"allowedmimetypes": "text/plain"}, {"name": "plan.pdf"}, Why.BLOCKED_TYPE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_dataverse_refuses_stays_out_and_is_told_of(
    both_ways: DataverseServed, mailbox: Mailbox, case: str
) -> None:
    """The limits remembered were others: the organisation has narrowed them since."""
    settings, changes, why = REFUSED[case]
    room = Room(both_ways)
    known = room.resolve(with_limits=True).limits
    allow(both_ways, **settings)
    out = mailbox.file(held=content(2000), **changes)
    rest = [mailbox.file(f"{number}.txt", b"rest", type="text/plain") for number in range(2)]
    email = activity(files=[rest[0], out, rest[1]])
    written = room.put(email, content=mailbox, limits=known)
    assert written == Written(Put.CREATED, str(email.activityid), (f"file left out: {why.name.lower()}",))
    assert attached(both_ways, email) == [("0.txt", b"rest"), ("1.txt", b"rest")]
    assert says(both_ways, email) == told(email, (out, why))


@pytest.mark.parametrize("case", REFUSED)
def test_so_does_one_in_blocks(wide: DataverseServed, mailbox: Mailbox, case: str) -> None:
    settings, changes, why = REFUSED[case]
    allow(wide, **settings)
    out = mailbox.file(held=content(BLOCK + 1), **changes)
    rest = mailbox.file("rest.txt", b"rest", type="text/plain")
    email = activity(files=[out, rest])
    written = Room(wide).put(email, content=mailbox, limits=WIDE)
    assert written.notes == (f"file left out: {why.name.lower()}",)
    assert attached(wide, email) == [("rest.txt", b"rest")]
    assert says(wide, email) == told(email, (out, why))


def test_a_file_in_blocks_that_turns_out_larger_than_allowed_is_not_uploaded_to_its_end(
    wide: DataverseServed, mailbox: Mailbox
) -> None:
    limits = Limits(largest=3 * BLOCK)
    out = mailbox.file("film.mp4", content(6 * BLOCK), size=None)
    email = activity(files=[out])
    Room(wide).put(email, content=mailbox, limits=limits)
    assert says(wide, email) == told(email, (out, Why.TOO_LARGE))
    assert paths(wide).count("POST UploadBlock") == 2
    assert attached(wide, email) == []


@pytest.mark.parametrize("size", [2000, BLOCK + 1], ids=["small", "in blocks"])
@pytest.mark.parametrize("case", REFUSED)
def test_limits_that_let_a_refused_file_pass_are_asked_for_anew(
    wide: DataverseServed, mailbox: Mailbox, case: str, size: int
) -> None:
    settings, changes, _ = REFUSED[case]
    room = Room(wide, adopt_existing=False)
    known = room.resolve(with_limits=True).limits
    allow(wide, **settings)
    assert trips(wide, lambda: room.resolve(with_limits=True)) == 0
    room.put(activity(files=[mailbox.file(held=content(size), **changes)]), content=mailbox, limits=known)
    anew = room.resolve(with_limits=True).limits
    assert known.refusal(changes["name"], changes.get("type", "application/pdf")) is None
    assert anew.refusal(changes["name"], changes.get("type", "application/pdf")) or anew.largest == 2000


def test_files_that_all_stay_out_keep_no_mail_out(both_ways: DataverseServed, mailbox: Mailbox) -> None:
    allow(both_ways, blockedattachments="pdf")
    out = [mailbox.file("a.pdf"), mailbox.file("b.pdf", b""), mailbox.file("c.pdf", FileMissingError(Why.NOT_THERE))]
    email = activity(files=out)
    Room(both_ways).put(email, content=mailbox)
    whys = {out[0]: Why.BLOCKED_NAME, out[1]: Why.EMPTY, out[2]: Why.NOT_THERE}
    stands = row(both_ways, email.activityid)
    assert (stands["attachmentcount"], stands["notifications"], stands["statuscode"]) == (0, 1, 4)
    for file, why in whys.items():
        assert file.name in stands["description"]
        assert str(why) in stands["description"]


def test_a_body_that_is_cut_says_so_in_the_form_and_the_files_are_told_of_in_the_text(
    both_ways: DataverseServed, mailbox: Mailbox
) -> None:
    out = mailbox.file("plan.pdf", b"")
    email = activity(files=[out], body=Body("<p>Hello</p>", is_whole=False))
    Room(both_ways).put(email, content=mailbox)
    description, notifications = says(both_ways, email)
    assert (description, notifications) == (told(email, (out, Why.EMPTY))[0], 2)
    assert "plan.pdf (empty)" in description


def test_a_picture_that_stays_out_leaves_a_note_in_its_place(both_ways: DataverseServed, mailbox: Mailbox) -> None:
    picture = mailbox.file("logo.png", FileMissingError(Why.NOT_THERE), type="image/png", content_id="logo@mail")
    body = Body('<p>See <img src="cid:logo@mail" alt="Our roof"></p>', True, ("logo@mail",))
    email = activity(files=[picture], body=body)
    Room(both_ways).put(email, content=mailbox)
    description, _ = says(both_ways, email)
    assert "[Picture that is not here: Our roof]" in description
    assert "cid:" not in description


def test_a_file_that_the_organisations_own_code_refuses_stays_out(both_ways: DataverseServed, mailbox: Mailbox) -> None:
    both_ways.stand_in.behaviour.plug_in = lambda table, values: (
        "Not this one" if table == "activitymimeattachment" and values.get("filename") == "plan.pdf" else None
    )
    out, rest = mailbox.file("plan.pdf"), mailbox.file("rest.txt", b"rest")
    email = activity(files=[out, rest])
    written = Room(both_ways).put(email, content=mailbox)
    assert attached(both_ways, email) == [("rest.txt", b"rest")]
    assert says(both_ways, email) == told(email, (out, Why.REFUSED))
    (refused, left_out) = written.notes
    assert refused.startswith("file refused: vendor=dataverse status=400 code=0x80040265")
    assert left_out == "file left out: refused"


def test_a_file_too_large_for_a_request_stays_out(wide: DataverseServed, mailbox: Mailbox) -> None:
    wide.faults.add(Fault(Answer(413), path="activitymimeattachments"))
    out, rest = mailbox.file("plan.pdf", content(TOGETHER)), mailbox.file("film.mp4", content(BLOCK))
    email = activity(files=[out, rest])
    Room(wide).put(email, content=mailbox, limits=WIDE)
    assert says(wide, email) == told(email, (out, Why.TOO_LARGE))
    assert [name for name, _ in attached(wide, email)] == ["film.mp4"]


def test_a_round_trip_that_is_too_large_for_whatever_stands_between_goes_step_by_step(
    dataverse: DataverseServed, mailbox: Mailbox
) -> None:
    dataverse.faults.add(Fault(Answer(413, {"content-type": "text/html"}, b"<html>"), path=r"\$batch"))
    email = activity(files=[mailbox.file("plan.pdf", content(5000))])
    assert Room(dataverse).put(email, content=mailbox).notes == ()
    assert attached(dataverse, email) == [("plan.pdf", content(5000))]
    assert row(dataverse, email.activityid)["statuscode"] == 4


def test_an_email_without_files_that_is_too_large_is_put_aside(dataverse: DataverseServed) -> None:
    dataverse.faults.add(Fault(Answer(413)))
    with pytest.raises(MessageError):
        Room(dataverse).put(activity())


# where changesets don't work


def test_where_changesets_do_not_work_files_go_one_by_one_for_the_life_of_the_process(
    refusing: DataverseServed, mailbox: Mailbox
) -> None:
    room = Room(refusing)
    files = [mailbox.file("a.txt", b"a"), mailbox.file("b.txt", b"b")]
    first, second = activity(files=files), activity(files=files[:1])
    for email in (first, second):
        assert room.put(email, content=mailbox) == Written(Put.CREATED, str(email.activityid))
    steps = ["POST emails", "POST activitymimeattachments", "POST activitymimeattachments", "PATCH emails"]
    assert paths(refusing) == [" ".join(steps), *steps, steps[0], steps[1], steps[3]]
    assert attached(refusing, first) == [("a.txt", b"a"), ("b.txt", b"b")]
    assert attached(refusing, second) == [("a.txt", b"a")]


def test_a_file_that_was_refused_says_nothing_of_changesets(either: DataverseServed, mailbox: Mailbox) -> None:
    either.stand_in.behaviour.plug_in = lambda table, _: "No" if table == "activitymimeattachment" else None
    room = Room(either)
    room.put(activity(files=[mailbox.file()]), content=mailbox)
    either.stand_in.clear_log()
    room.put(activity())
    assert paths(either) == ["POST emails PATCH emails"]


# trouble with a file


TROUBLE = [
    pytest.param(Answer(503), TransientError, "dataverse_unavailable", id="in trouble"),
    pytest.param(Answer(429, {"retry-after": "5"}), ThrottledError, "dataverse_throttled", id="throttled"),
    pytest.param(
        Answer(403, {}, b'{"error":{"code":"0x80040220","message":"m"}}'), ConfigurationError,
        "dataverse_refused_identity", id="a privilege is missing",
    ),
    pytest.param(
        Answer(200, {"content-type": "text/html"}, b"<html>"), TransientError, "dataverse_not_odata", id="a sign-in page"
    ),
]  # fmt: skip
STEPS = [
    pytest.param("activitymimeattachments", 0, id="a file"),
    pytest.param("activitymimeattachments", 1, id="the second file"),
    pytest.param("InitializeAttachmentBlocksUpload", 0, id="a file in blocks"),
    pytest.param("UploadBlock", 0, id="its first block"),
    pytest.param("UploadBlock", 1, id="its second block"),
    pytest.param("CommitAttachmentBlocksUpload", 0, id="its end"),
]


@pytest.mark.parametrize(("answer", "kind", "reason"), TROUBLE)
@pytest.mark.parametrize(("path", "skip"), STEPS)
def test_trouble_with_a_file_is_trouble_and_made_up_for_by_the_next_attempt(
    wide: DataverseServed,
    mailbox: Mailbox,
    path: str,
    skip: int,
    answer: Answer,
    kind: type[Exception],
    reason: str,
) -> None:
    wide.faults.add(Fault(answer, path=path, skip=skip, times=1))
    bodies = {"a.txt": b"a", "b.txt": b"b", "c.mp4": content(BLOCK + 5)}
    email = activity(files=[mailbox.file(name, body) for name, body in bodies.items()])
    with pytest.raises(kind) as error:
        Room(wide).put(email, content=mailbox, limits=WIDE)
    assert getattr(error.value, "reason", None) == reason
    assert row(wide, email.activityid)["statecode"] == 0
    written = Room(wide).put(email, content=mailbox, limits=WIDE)
    assert written == Written(Put.ALREADY_THERE, str(email.activityid))
    assert attached(wide, email) == sorted(bodies.items())
    assert says(wide, email) == ("<p>Hello</p>", 0)


def test_a_no_content_to_the_beginning_of_an_upload_is_no_file(wide: DataverseServed, mailbox: Mailbox) -> None:
    """Whatever answered, there is no token to go on with."""
    wide.faults.add(Fault(Answer(204), path="InitializeAttachmentBlocksUpload"))
    email = activity(files=[mailbox.file("c.mp4", content(BLOCK + 5))])
    with pytest.raises(TransientError):
        Room(wide).put(email, content=mailbox, limits=WIDE)
    assert row(wide, email.activityid)["statecode"] == 0


@pytest.mark.parametrize("way", ["at once", "step by step"])
def test_a_file_to_be_tried_later_holds_its_mail_back(dataverse: DataverseServed, mailbox: Mailbox, way: str) -> None:
    dataverse.stand_in.behaviour.refuse_changesets = way == "step by step"
    first, second = mailbox.file("a.txt", b"a"), mailbox.file("b.txt", b"b")
    mailbox.hold(second, FileTroubleError("later", reason="nylas_unavailable"))
    email = activity(files=[first, second])
    room = Room(dataverse)
    room.put(activity())
    with pytest.raises(FileTroubleError):
        room.put(email, content=mailbox)
    assert dataverse.stand_in.count("email", statecode=0) == (way == "step by step")
    mailbox.hold(second, b"b")
    room.put(email, content=mailbox)
    assert attached(dataverse, email) == [("a.txt", b"a"), ("b.txt", b"b")]
    assert says(dataverse, email) == ("<p>Hello</p>", 0)


@pytest.mark.parametrize("at", [0, 1])
def test_a_file_that_breaks_off_while_it_is_read_is_trouble(wide: DataverseServed, mailbox: Mailbox, at: int) -> None:
    """Half a file is none: what was uploaded of it is not committed."""
    body = content(2 * BLOCK)

    @contextmanager
    def opened(_: File) -> Iterator[Iterator[bytes]]:
        def pieces() -> Iterator[bytes]:
            yield body[: at * BLOCK + 1000]
            raise TransientError("it broke off", reason="nylas_unreachable")

        yield pieces()

    email = activity(files=[mailbox.file("film.mp4", body)])
    room = Room(wide)
    with pytest.raises(TransientError) as error:
        room.creation.put(email, people=(), content=opened, limits=WIDE, fallback=email.owner)
    assert error.value.reason == "nylas_unreachable"
    assert attached(wide, email) == []
    room.put(email, content=mailbox, limits=WIDE)
    assert attached(wide, email) == [("film.mp4", body)]


# the same file in several mails


def stored(dataverse: DataverseServed) -> int:
    """How many files there are, however many attachments share them."""
    return dataverse.stand_in.count("attachment")


def test_the_same_file_in_several_mails_is_stored_once(both_ways: DataverseServed, mailbox: Mailbox) -> None:
    room, terms = Room(both_ways), content(5000)
    emails = [
        activity(files=[mailbox.file("terms.pdf", terms), mailbox.file(f"{number}.txt", b"%d" % number)])
        for number in range(3)
    ]
    for number, email in enumerate(emails):
        assert room.put(email, content=mailbox) == Written(Put.CREATED, str(email.activityid))
        assert attached(both_ways, email) == [(f"{number}.txt", b"%d" % number), ("terms.pdf", terms)]
    assert (both_ways.stand_in.count("activitymimeattachment"), stored(both_ways)) == (6, 4)


def test_a_mail_with_a_file_that_is_stored_is_one_round_trip_too(dataverse: DataverseServed, mailbox: Mailbox) -> None:
    room = Room(dataverse)
    room.put(activity(files=[mailbox.file()]), content=mailbox)
    email = activity(files=[mailbox.file()])
    assert trips(dataverse, lambda: room.put(email, content=mailbox)) == 1
    assert (attached(dataverse, email), stored(dataverse)) == ([("offer.pdf", b"An offer")], 1)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"name": "offer (1).pdf"}, id="another name"),
        pytest.param({"type": "image/png"}, id="another type"),
        pytest.param({"held": b"Another"}, id="other bytes"),
    ],
)
def test_a_file_that_differs_is_another(dataverse: DataverseServed, mailbox: Mailbox, changes: dict[str, Any]) -> None:
    """Name and type are the stored file's: whoever shares it shares them."""
    room = Room(dataverse)
    room.put(activity(files=[mailbox.file()]), content=mailbox)
    room.put(activity(files=[mailbox.file(**changes)]), content=mailbox)
    assert stored(dataverse) == 2


def test_a_picture_is_called_in_each_mail_as_that_mail_calls_it(dataverse: DataverseServed, mailbox: Mailbox) -> None:
    room = Room(dataverse)
    for content_id in ("one@mail", "two@mail"):
        room.put(activity(files=[mailbox.file("logo.png", b"PNG", content_id=content_id)]), content=mailbox)
    rows = dataverse.stand_in.rows("activitymimeattachment")
    assert ([one["attachmentcontentid"] for one in rows], stored(dataverse)) == (["one@mail", "two@mail"], 1)


def test_a_stored_file_that_went_with_its_last_mail_is_stored_anew(
    both_ways: DataverseServed, mailbox: Mailbox
) -> None:
    room = Room(both_ways)
    first, second, third = (activity(files=[mailbox.file(), mailbox.file("b.txt", b"b")]) for _ in range(3))
    room.put(first, content=mailbox)
    both_ways.stand_in.delete("email", first.activityid)
    assert stored(both_ways) == 0
    for email in (second, third):
        assert room.put(email, content=mailbox) == Written(Put.CREATED, str(email.activityid))
        assert attached(both_ways, email) == [("b.txt", b"b"), ("offer.pdf", b"An offer")]
    assert stored(both_ways) == 2


def test_a_record_that_is_gone_is_told_from_a_stored_file_that_is(dataverse: DataverseServed, mailbox: Mailbox) -> None:
    room = Room(dataverse)
    room.put(activity(files=[mailbox.file()]), content=mailbox)
    parent = put_there(dataverse, new_message_id(), **COMPLETED)
    dataverse.stand_in.delete("email", parent)
    with pytest.raises(TransientError) as error:
        room.put(activity(files=[mailbox.file()], parent=parent), content=mailbox)
    assert getattr(error.value, "reason", None) == "bound_record_gone"
    assert dataverse.stand_in.count("email") == 1


def test_where_stored_files_cannot_be_shared_each_mail_has_its_own(
    both_ways: DataverseServed, mailbox: Mailbox
) -> None:
    """Refused for whatever reason, the bytes are there to be sent."""
    both_ways.stand_in.behaviour.plug_in = lambda table, values: (
        "No sharing" if table == "activitymimeattachment" and "body" not in values else None
    )
    room = Room(both_ways)
    for _ in range(2):
        email = activity(files=[mailbox.file()])
        assert room.put(email, content=mailbox).notes == ()
        assert attached(both_ways, email) == [("offer.pdf", b"An offer")]
    assert stored(both_ways) == 2
    assert room.creation._changesets_work is not both_ways.stand_in.behaviour.refuse_changesets


def test_a_file_is_remembered_for_a_day(dataverse: DataverseServed, mailbox: Mailbox, clock: Clock) -> None:
    room = Room(dataverse, clock=clock)
    counts = []
    for wait in (0, SEEN_LIFE - 1, 1):
        clock.now += wait
        room.put(activity(files=[mailbox.file()]), content=mailbox)
        counts.append(stored(dataverse))
    assert counts == [1, 1, 2]


def test_a_file_of_a_mail_that_was_not_written_is_not_remembered(dataverse: DataverseServed, mailbox: Mailbox) -> None:
    room = Room(dataverse)
    with pytest.raises(MessageError):
        room.put(activity(files=[mailbox.file()], subject="x" * 801), content=mailbox)
    email = activity(files=[mailbox.file()])
    assert trips(dataverse, lambda: room.put(email, content=mailbox)) == 1
    assert attached(dataverse, email) == [("offer.pdf", b"An offer")]


def test_as_many_files_are_remembered_as_fit(clock: Clock) -> None:
    seen = SeenFiles(clock)
    file = File(source="f", name="a.txt", type="text/plain", size=1)
    body = b'{"_attachmentid_value":"aaaaaaaa-0000-4000-8000-%012d"}'
    for number in range(SEEN_SIZE + 1):
        seen.learn([seen.loaded(file, b"%d" % number)], [Got(201, {}, body % number)])
    assert seen.loaded(file, b"0").reused is None
    assert seen.loaded(file, b"1").reused == f"aaaaaaaa-0000-4000-8000-{1:012}"


@pytest.mark.parametrize(
    "answer",
    [Answer(204), Answer(201, {}, b"<html>"), Answer(201, {}, b"{}"), Answer(201, {}, b'{"_attachmentid_value":7}')],
    ids=["nothing told", "HTML", "no id", "a number"],
)
def test_a_stored_file_that_is_not_told_is_not_shared(
    refusing: DataverseServed, mailbox: Mailbox, answer: Answer
) -> None:
    room = Room(refusing)
    room.put(activity(), content=mailbox)
    refusing.faults.add(Fault(answer, path="activitymimeattachments", times=1))
    room.put(activity(files=[mailbox.file()]), content=mailbox)
    email = activity(files=[mailbox.file()])
    room.put(email, content=mailbox)
    assert attached(refusing, email) == [("offer.pdf", b"An offer")]


# several workers


def test_several_workers_at_once_make_one_email_with_each_file_once(
    both_ways: DataverseServed, mailbox: Mailbox
) -> None:
    bodies = {f"{number}.txt": content(1000, number) for number in range(5)}
    email = activity(files=[mailbox.file(name, body) for name, body in bodies.items()])
    rooms = [Room(both_ways) for _ in range(5)]
    got = in_threads(5, lambda: rooms.pop().put(email, content=mailbox))
    assert sorted(one.put.value for one in got) == ["already_there"] * 4 + ["created"]
    assert both_ways.stand_in.count("email") == 1
    assert attached(both_ways, email) == sorted(bodies.items())
    assert says(both_ways, email) == ("<p>Hello</p>", 0)


def test_several_workers_on_one_open_email_finish_it_once(wide: DataverseServed, mailbox: Mailbox) -> None:
    bodies = {"a.txt": b"a", "b.mp4": content(BLOCK + 5), "c.txt": b"c"}
    email = activity(files=[mailbox.file(name, body) for name, body in bodies.items()])
    wide.stand_in.add("email", activityid=str(email.activityid), subject="Quote", messageid=email.messageid)
    rooms = [Room(wide) for _ in range(4)]
    got = in_threads(4, lambda: rooms.pop().resume(email, content=mailbox, limits=WIDE))
    assert got == [Written(Put.ALREADY_THERE, str(email.activityid))] * 4
    assert attached(wide, email) == sorted(bodies.items())
    assert says(wide, email) == ("<p>Hello</p>", 0)


@pytest.mark.parametrize("sealed", [False, True], ids=["open to changes with its state", "sealed"])
@pytest.mark.parametrize("large", [False, True], ids=["small", "in blocks"])
def test_an_email_that_another_worker_completes_meanwhile_is_completed(
    wide: DataverseServed, mailbox: Mailbox, sealed: bool, large: bool
) -> None:
    """Its files are that worker's business, who had them all."""
    wide.stand_in.behaviour.sealed_completed = sealed
    size = BLOCK + 5 if large else 5
    email = activity(files=[mailbox.file("a.txt", b"a"), mailbox.file("b.mp4", content(size))])
    wide.stand_in.add("email", activityid=str(email.activityid), subject="Quote", messageid=email.messageid)

    @contextmanager
    def opened(file: File) -> Iterator[Iterator[bytes]]:
        if file.name == "b.mp4":
            Room(wide).resume(email, content=mailbox, limits=WIDE)
        with mailbox(file) as pieces:
            yield pieces

    written = Room(wide).creation.resume(email, content=opened, limits=WIDE)
    assert written == Written(Put.ALREADY_THERE, str(email.activityid))
    assert attached(wide, email) == [("a.txt", b"a"), ("b.mp4", content(size))]
    assert says(wide, email) == ("<p>Hello</p>", 0)
