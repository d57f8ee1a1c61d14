"""Files of emails in the Dataverse stand-in, over real sockets: uploaded in blocks, and shared by several emails."""

from __future__ import annotations

import base64
import random
import tracemalloc
from collections.abc import Iterator, Sequence
from uuid import uuid4

import pytest
import requests

from sandbox.dataverse.uploads import MOST_IN_A_BLOCK
from tests.sandbox.test_dataverse import NOWHERE, Organisation, attachment, refused
from tests.sandbox.test_dataverse_batch import answers, batch, change_set, email, part, post

INITIALIZE, UPLOAD, COMMIT = "InitializeAttachmentBlocksUpload", "UploadBlock", "CommitAttachmentBlocksUpload"
MIB = 1024 * 1024


@pytest.fixture
def org() -> Iterator[Organisation]:
    with Organisation() as organisation:
        organisation.dataverse.update(
            "organization", organisation.dataverse.organization_id, maxuploadfilesize=131072000
        )
        yield organisation


def target(activity: str, **columns: object) -> dict[str, object]:
    """The attachment of an email as the actions take it: everything but the file."""
    content = attachment(activity, **{"@odata.type": "Microsoft.Dynamics.CRM.activitymimeattachment", **columns})
    if columns.get("body") is None:
        del content["body"]
    return content


def block_id(number: int) -> str:
    return base64.b64encode(f"{number:06}".encode()).decode()


def begin(org: Organisation, activity: str) -> str:
    answer = org.post({"Target": target(activity)}, INITIALIZE)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["FileContinuationToken"])


def upload(org: Organisation, token: str, name: str, data: bytes) -> requests.Response:
    body = {"BlockId": name, "BlockData": base64.b64encode(data).decode(), "FileContinuationToken": token}
    return org.post(body, UPLOAD)


def commit(org: Organisation, token: str, activity: str, ids: Sequence[str], **columns: object) -> requests.Response:
    body = {"Target": target(activity, **columns), "BlockList": list(ids), "FileContinuationToken": token}
    return org.post(body, COMMIT)


def text_of(org: Organisation, row: object) -> str:
    return org.get(f"activitymimeattachments({row})/body/$value").text


# --- blocks -----------------------------------------------------------------------------------------------------------


def test_a_file_of_25_mib_goes_up_in_seven_blocks_and_reads_like_one_that_was_posted(org: Organisation) -> None:
    content = random.Random(7).randbytes(25 * MIB + 1)
    blocks = [content[at : at + MOST_IN_A_BLOCK] for at in range(0, len(content), MOST_IN_A_BLOCK)]
    activity = org.mail()
    token = begin(org, activity)
    for number, data in enumerate(blocks):
        assert upload(org, token, block_id(number), data).status_code == 204
    answer = commit(org, token, activity, [block_id(number) for number in range(len(blocks))])
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["@odata.context"] == f"{org.root}$metadata#Microsoft.Dynamics.CRM.{COMMIT}Response"
    assert (len(blocks), body["FileSizeInBytes"]) == (7, len(content))
    assert base64.b64decode(text_of(org, body["ActivityMimeAttachmentId"])) == content
    row = org.get(f"activitymimeattachments({body['ActivityMimeAttachmentId']})?$select=filename,filesize").json()
    assert (row["filename"], row["filesize"]) == ("a.pdf", len(content))
    assert org.dataverse.rows("email", activityid=activity)[0]["attachmentcount"] == 1


def test_a_row_made_of_blocks_differs_from_a_posted_one_in_its_ids_only(org: Organisation) -> None:
    activity = org.mail()
    org.post(attachment(activity), "activitymimeattachments")
    token = begin(org, activity)
    upload(org, token, block_id(1), b"he")
    upload(org, token, block_id(2), b"llo")
    commit(org, token, activity, [block_id(1), block_id(2)])
    posted, made = org.dataverse.rows("activitymimeattachment")
    ids = {"activitymimeattachmentid", "_attachmentid_value", "versionnumber"}
    assert {name for name in posted if posted[name] != made[name]} == ids
    assert made["body"] == "aGVsbG8="


def test_blocks_come_in_any_order_and_a_repeated_one_replaces_the_first(org: Organisation) -> None:
    activity = org.mail()
    token = begin(org, activity)
    for name, data in ((2, b"!"), (1, b"wrong"), (1, b"right")):
        assert upload(org, token, block_id(name), data).status_code == 204
    row = commit(org, token, activity, [block_id(1), block_id(2)]).json()["ActivityMimeAttachmentId"]
    assert base64.b64decode(text_of(org, row)) == b"right!"


def test_a_block_that_is_not_listed_is_no_part_of_the_file(org: Organisation) -> None:
    activity = org.mail()
    token = begin(org, activity)
    upload(org, token, block_id(1), b"kept")
    upload(org, token, block_id(2), b"dropped")
    assert commit(org, token, activity, [block_id(1)]).json()["FileSizeInBytes"] == 4


def test_the_id_of_the_row_may_be_the_clients(org: Organisation) -> None:
    activity, row = org.mail(), str(uuid4())
    token = begin(org, activity)
    upload(org, token, block_id(1), b"x")
    answer = commit(org, token, activity, [block_id(1)], activitymimeattachmentid=row)
    assert answer.json()["ActivityMimeAttachmentId"] == row


def test_a_row_that_is_there_is_412_before_and_after_the_blocks_and_the_blocks_stay(org: Organisation) -> None:
    activity, row = org.mail(), str(uuid4())
    token = begin(org, activity)
    upload(org, token, block_id(1), b"x")
    org.post(attachment(activity, activitymimeattachmentid=row), "activitymimeattachments")
    again = {"Target": target(activity, activitymimeattachmentid=row)}
    refused(org.post(again, INITIALIZE), 412, "0x80040237", "already exists")
    refused(
        commit(org, token, activity, [block_id(1)], activitymimeattachmentid=row), 412, "0x80040237", "already exists"
    )
    assert commit(org, token, activity, [block_id(1)]).status_code == 200


@pytest.mark.parametrize(
    ("columns", "status", "code", "says"),
    [
        pytest.param({"@odata.type": None}, 400, "0x80048d19", "'@odata.type'", id="no type"),
        pytest.param({"@odata.type": "Microsoft.Dynamics.CRM.email"}, 400, "0x80048d19", "is not", id="another type"),
        pytest.param({"filename": "run.exe"}, 400, "0x80043e09", "not a valid type", id="a blocked extension"),
        pytest.param({"mimetype": "text/html"}, 400, "0x80072522", "is blocked", id="a blocked type"),
        pytest.param({"filename": "f" * 256}, 400, "0x80044331", "'255'", id="a name of 256"),
        pytest.param({"body": "aGVsbG8="}, 400, "0x80040203", "body", id="the file itself"),
        pytest.param({"colour": 1}, 400, "0x80048d19", "'colour'", id="an unknown column"),
        pytest.param({"objecttypecode": None}, 400, "0x80040203", "objecttypecode", id="no object type"),
        pytest.param(
            {"objectid_email@odata.bind": f"/emails({NOWHERE})"}, 404, "0x80040217", "email With Id", id="no such email"
        ),
    ],
)  # fmt: skip
def test_a_target_is_refused_before_the_blocks_and_after_them(
    org: Organisation, columns: dict[str, object], status: int, code: str, says: str
) -> None:
    activity = org.mail()
    token = begin(org, activity)
    upload(org, token, block_id(1), b"x")
    org.dataverse.update("organization", org.dataverse.organization_id, blockedmimetypes="text/html")
    asked = {
        name: value for name, value in target(activity, **columns).items() if (name, value) != ("@odata.type", None)
    }
    refused(org.post({"Target": asked}, INITIALIZE), status, code, says)
    last = {"Target": asked, "BlockList": [block_id(1)], "FileContinuationToken": token}
    refused(org.post(last, COMMIT), status, code, says)
    assert org.dataverse.count("activitymimeattachment") == org.dataverse.count("attachment") == 0


def test_a_completed_mail_takes_no_upload_and_no_commit(org: Organisation) -> None:
    activity = org.mail()
    token = begin(org, activity)
    upload(org, token, block_id(1), b"x")
    org.patch(f"emails({activity})", {"statecode": 1, "statuscode": 4})
    refused(org.post({"Target": target(activity)}, INITIALIZE), 400, "0x80040203", "Closed or Cancelled")
    refused(commit(org, token, activity, [block_id(1)]), 400, "0x80040203", "Closed or Cancelled")


def test_the_limit_is_measured_on_the_base64_of_the_whole_file(org: Organisation) -> None:
    org.dataverse.update("organization", org.dataverse.organization_id, maxuploadfilesize=1000)
    activity = org.mail()
    token = begin(org, activity)
    for number, size in enumerate((400, 350, 1)):
        upload(org, token, block_id(number), b"x" * size)
    ids = [block_id(number) for number in range(3)]
    refused(commit(org, token, activity, ids), 400, "0x80044a02", "too big")
    assert commit(org, token, activity, ids[:2]).json()["FileSizeInBytes"] == 750


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        pytest.param(block_id(1), b"x" * (MOST_IN_A_BLOCK + 1), "BlockData", id="a byte over 4 MiB"),
        pytest.param(block_id(1), b"", "BlockData", id="no data"),
        pytest.param("", b"x", "BlockId", id="an empty id"),
        pytest.param("not base64!", b"x", "not Base64", id="an id that is not base64"),
        pytest.param(base64.b64encode(b"i" * 65).decode(), b"x", "64 bytes", id="an id of 65 bytes"),
        pytest.param(
            base64.b64encode(b"longer than it").decode(), b"x", "not as long", id="an id longer than the first"
        ),
    ],
)
def test_a_block_is_refused(org: Organisation, name: str, data: bytes, says: str) -> None:
    token = begin(org, org.mail())
    assert upload(org, token, block_id(0), b"first").status_code == 204
    refused(upload(org, token, name, data), 400, "0x80040203", says)


def test_a_block_of_4_mib_under_an_id_of_64_bytes_passes(org: Organisation) -> None:
    token = begin(org, org.mail())
    assert upload(org, token, base64.b64encode(b"i" * 64).decode(), bytes(MOST_IN_A_BLOCK)).status_code == 204


def test_a_block_that_was_not_uploaded_and_an_empty_list_are_refused(org: Organisation) -> None:
    activity = org.mail()
    token = begin(org, activity)
    upload(org, token, block_id(1), b"x")
    refused(commit(org, token, activity, [block_id(1), block_id(2)]), 400, "0x80040203", block_id(2))
    refused(commit(org, token, activity, []), 400, "0x80040203", "empty")
    assert org.dataverse.count("activitymimeattachment") == 0


def test_a_token_leads_to_one_upload_and_is_spent_by_its_commit(org: Organisation) -> None:
    activity = org.mail()
    token, other = begin(org, activity), begin(org, activity)
    upload(org, token, block_id(1), b"x")
    refused(commit(org, other, activity, [block_id(1)]), 400, "0x80040203", "not uploaded")
    assert commit(org, token, activity, [block_id(1)]).status_code == 200
    refused(commit(org, token, activity, [block_id(1)]), 400, "0x80040203", "FileContinuationToken")
    refused(upload(org, token, block_id(2), b"x"), 400, "0x80040203", "FileContinuationToken")
    refused(upload(org, "made up", block_id(2), b"x"), 400, "0x80040203", "FileContinuationToken")


@pytest.mark.parametrize(
    ("action", "body"),
    [
        pytest.param(INITIALIZE, {}, id="no target"),
        pytest.param(INITIALIZE, {"Target": "x"}, id="a target that is no object"),
        pytest.param(INITIALIZE, {"target": {}}, id="a parameter in another case"),
        pytest.param(UPLOAD, {"BlockId": "AAAA", "FileContinuationToken": "t"}, id="no data"),
        pytest.param(UPLOAD, {"BlockId": "AAAA", "BlockData": "not base64!", "FileContinuationToken": "t"}, id="bad data"),
        pytest.param(UPLOAD, {"BlockId": "AA", "BlockData": "", "FileContinuationToken": "t", "X": 1}, id="one too many"),
        pytest.param(COMMIT, {"Target": {}, "BlockList": "AAAA", "FileContinuationToken": "t"}, id="a list that is none"),
    ],
)  # fmt: skip
def test_parameters_that_an_action_does_not_have_are_refused(
    org: Organisation, action: str, body: dict[str, object]
) -> None:
    refused(org.post(body, action), 400, "0x80048d19")


@pytest.mark.parametrize("action", [INITIALIZE, UPLOAD, COMMIT])
def test_an_action_is_posted_at_the_root_and_nowhere_else(org: Organisation, action: str) -> None:
    refused(org.get(action), 404, "", "No HTTP resource was found")
    assert org.post({}, f"activitymimeattachments/{action}").status_code == 404


def test_a_commit_in_a_change_set_that_fails_gives_its_blocks_back(org: Organisation) -> None:
    activity = org.mail()
    token = begin(org, activity)
    upload(org, token, block_id(1), b"hello")
    body = {"Target": target(activity), "BlockList": [block_id(1)], "FileContinuationToken": token}
    wrong = part("PATCH", f"emails({activity})", {"statecode": 1, "statuscode": 1}, 2)
    failed = post(org, batch(change_set(part("POST", COMMIT, body, 1), wrong)))
    assert [answer.status for answer in answers(failed)] == [400]
    assert org.dataverse.count("activitymimeattachment") == org.dataverse.count("attachment") == 0
    right = part("PATCH", f"emails({activity})", {"statecode": 1, "statuscode": 4}, 2)
    done = post(org, batch(change_set(part("POST", COMMIT, body, 1), right)))
    assert [answer.status for answer in answers(done)] == [200, 204]
    assert org.dataverse.rows("activitymimeattachment")[0]["body"] == "aGVsbG8="


def test_an_upload_makes_few_copies_of_a_block_in_python() -> None:
    """SQLite holds the blocks and then the file; its memory is not Python's, and what Python holds is one block's."""
    with Organisation() as org:
        org.dataverse.update("organization", org.dataverse.organization_id, maxuploadfilesize=131072000)
        activity, data = org.mail(), bytes(MOST_IN_A_BLOCK)
        token = begin(org, activity)
        body = b'{"BlockId":"%s","BlockData":"%s","FileContinuationToken":"%s"}'
        tracemalloc.start()
        try:
            for number in range(4):
                raw = body % (block_id(number).encode(), base64.b64encode(data), token.encode())
                headers = {"Content-Type": "application/json"}
                assert org.session.post(org.root + UPLOAD, data=raw, headers=headers).status_code == 204
            raw = b""
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            assert commit(org, token, activity, [block_id(number) for number in range(4)]).status_code == 200
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak - before < 3 * MOST_IN_A_BLOCK, "a commit of 16 MiB holds two blocks at a time"


# --- files that are shared --------------------------------------------------------------------------------------------


def stored(org: Organisation, activity: str, **columns: object) -> dict[str, object]:
    """An attachment that was posted, as it was answered."""
    path = "activitymimeattachments?$select=_attachmentid_value,filename,filesize,subject"
    answer = org.post(attachment(activity, **columns), path, Prefer="return=representation")
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def reused(activity: str, file: object, **columns: object) -> dict[str, object]:
    """An attachment that shares a file."""
    return {
        "objectid_email@odata.bind": f"/emails({activity})",
        "objecttypecode": "email",
        "attachmentid@odata.bind": f"/attachments({file})",
        **columns,
    }


def test_each_file_is_a_row_of_its_own(org: Organisation) -> None:
    activity = org.mail()
    first, second = stored(org, activity, subject="One"), stored(org, activity)
    assert first["_attachmentid_value"] != second["_attachmentid_value"]
    query = f"$filter=attachmentid eq {first['_attachmentid_value']}&$select=filename,mimetype,filesize,body,subject"
    (row,) = org.get(f"attachments?{query}").json()["value"]
    assert (row["filename"], row["mimetype"], row["filesize"]) == ("a.pdf", "application/pdf", 5)
    assert (row["body"], row["subject"]) == ("aGVsbG8=", "One")


def test_a_file_is_shared_by_naming_it(org: Organisation) -> None:
    first, other = org.mail(), org.mail()
    file = stored(org, first, subject="Ours")["_attachmentid_value"]
    path = "activitymimeattachments?$select=_attachmentid_value,filename,mimetype,filesize,subject,body"
    answer = org.post(reused(other, file), path, Prefer="return=representation").json()
    assert (answer["filename"], answer["mimetype"], answer["filesize"]) == ("a.pdf", "application/pdf", 5)
    assert (answer["body"], answer["subject"], answer["_attachmentid_value"]) == ("aGVsbG8=", "Ours", file)
    assert text_of(org, answer["activitymimeattachmentid"]) == "aGVsbG8="
    assert org.dataverse.count("attachment") == 1
    assert org.dataverse.rows("email", activityid=other)[0]["attachmentcount"] == 1
    expanded = org.get(
        f"emails({other})?$select=subject&$expand=email_activity_mime_attachment($select=filename)"
    ).json()
    assert [row["filename"] for row in expanded["email_activity_mime_attachment"]] == ["a.pdf"]


def test_a_shared_file_may_have_a_subject_and_a_content_id_of_its_own_there(org: Organisation) -> None:
    first, other = org.mail(), org.mail()
    file = stored(org, first, subject="Ours")["_attachmentid_value"]
    assert (
        org.post(reused(other, file, subject="Theirs", attachmentcontentid="c1"), "activitymimeattachments").status_code
        == 204
    )
    assert [row["subject"] for row in org.dataverse.rows("activitymimeattachment")] == ["Ours", "Theirs"]


@pytest.mark.parametrize("name", ["body", "filename", "mimetype"])
def test_a_shared_file_and_one_of_its_own_at_once_are_refused(org: Organisation, name: str) -> None:
    first, other = org.mail(), org.mail()
    file = stored(org, first)["_attachmentid_value"]
    given = {name: attachment(other)[name]}
    refused(org.post(reused(other, file, **given), "activitymimeattachments"), 400, "0x80040203", name)
    assert org.dataverse.count("activitymimeattachment") == 1


def test_a_file_that_is_not_there_cannot_be_shared(org: Organisation) -> None:
    answer = org.post(reused(org.mail(), NOWHERE), "activitymimeattachments")
    refused(answer, 404, "0x80040217", f"attachment With Id = {NOWHERE} Does Not Exist")


def test_a_completed_mail_takes_no_shared_file_either(org: Organisation) -> None:
    file = stored(org, org.mail())["_attachmentid_value"]
    refused(org.post(reused(org.closed(), file), "activitymimeattachments"), 400, "0x80040203", "Closed or Cancelled")


def test_files_are_queried_and_nothing_else(org: Organisation) -> None:
    file = stored(org, org.mail())["_attachmentid_value"]
    assert org.get("attachments?$filter=filename eq 'A.PDF'&$select=filesize").json()["value"][0]["filesize"] == 5
    assert org.get("attachments/$count").text == "1"
    refused(org.get(f"attachments({file})"), 400, "0x80040800", "'Retrieve'")
    refused(org.get(f"attachments({file})/body/$value"), 400, "0x80040800", "'Retrieve'")
    refused(org.post({"filename": "x"}, "attachments"), 400, "0x80040800", "'Create'")
    refused(org.patch(f"attachments({file})", {"filename": "x"}), 400, "0x80040800", "'Update'")
    refused(org.send("DELETE", f"attachments({file})"), 400, "0x80040800", "'Delete'")


def test_attachments_are_found_by_what_is_read_through_their_file(org: Organisation) -> None:
    activity = org.mail()
    stored(org, activity, filename="b.pdf")
    stored(org, activity, filename="a.pdf", body=base64.b64encode(b"longer").decode())
    query = "activitymimeattachments?$select=filename&$orderby=filename&$filter={}"
    found = {text: [row["filename"] for row in org.get(query.format(text)).json()["value"]] for text in (
        "filesize gt 1", "filename eq 'B.pdf'", "endswith(filename,'.PDF') and filesize ne 5",
        "Microsoft.Dynamics.CRM.In(PropertyName='filename',PropertyValues=['a.pdf'])",
    )}  # fmt: skip
    assert list(found.values()) == [["a.pdf", "b.pdf"], ["b.pdf"], ["a.pdf"], ["a.pdf"]]
    refused(org.get("activitymimeattachments?$filter=body eq 'x'"), 400, "0x80040203", "not supported")


def test_a_file_goes_with_the_last_attachment_that_shares_it(org: Organisation) -> None:
    first, other = org.mail(), org.mail()
    row = stored(org, first)
    org.post(reused(other, row["_attachmentid_value"]), "activitymimeattachments")
    org.send("DELETE", f"activitymimeattachments({row['activitymimeattachmentid']})")
    assert org.dataverse.rows("activitymimeattachment")[0]["body"] == "aGVsbG8="
    org.send("DELETE", f"emails({other})")
    assert org.dataverse.count("activitymimeattachment") == org.dataverse.count("attachment") == 0


def test_a_changed_file_keeps_the_limits_and_is_measured_anew(org: Organisation) -> None:
    row = stored(org, org.mail())
    path = f"activitymimeattachments({row['activitymimeattachmentid']})"
    assert org.patch(path, {"body": base64.b64encode(b"changed").decode(), "filename": "c.pdf"}).status_code == 204
    after = org.get(f"{path}?$select=filename,filesize,_attachmentid_value").json()
    assert (after["filename"], after["filesize"]) == ("c.pdf", 7)
    assert after["_attachmentid_value"] == row["_attachmentid_value"]
    refused(org.patch(path, {"body": "aGVsbG8=", "filename": "run.exe"}), 400, "0x80043e09")


def test_an_attachment_has_no_date_of_its_own(org: Organisation) -> None:
    for table in ("activitymimeattachments", "attachments"):
        refused(org.get(f"{table}?$select=createdon"), 400, "0x80060888", "'createdon'")


def test_files_are_made_shared_and_named_in_one_change_set(org: Organisation) -> None:
    mail = email()
    made = part(
        "POST", "activitymimeattachments?$select=_attachmentid_value", attachment(str(mail["activityid"])), 2,
        Prefer="return=representation",
    )  # fmt: skip
    done = part("PATCH", f"emails({mail['activityid']})", {"statecode": 1, "statuscode": 4}, 3)
    response = post(org, batch(change_set(part("POST", "emails", mail, 1), made, done)))
    first, second, third = answers(response)
    assert (first.status, second.status, third.status, second.content_id) == (204, 201, 204, "2")
    assert "OData-EntityId" not in second.headers
    (row,) = org.dataverse.rows("activitymimeattachment")
    assert f'"_attachmentid_value":"{row["_attachmentid_value"]}"' in second.body
    assert '"filename"' not in second.body
