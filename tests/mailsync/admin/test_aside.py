"""`aside`: what could not be written is listed and shown with its reason, and tried again when somebody says so."""

from __future__ import annotations

import pytest

from mailsync.storage.envelope import MESSAGES, SWEEPS
from tests.mailsync.admin.desk import MINUTE, Desk

REFUSED = "dataverse_refused_row"
SHOWN = {
    *("key", "what", "grant", "put_aside", "replayed_at", "reason", "advice", "vendor", "status", "code", "request"),
    "item",
}


def put_aside(desk: Desk, grant: str) -> str:
    """A message that Dataverse refuses."""
    mail = desk.mail(grant, subject="A secret subject", body="<p>A secret body</p>")
    desk.refuse(mail)
    return desk.arrive(grant, mail)


def put_aside_text(desk: Desk, text: str) -> None:
    """Something on the queue that is no item of ours."""
    desk.app.handle_message(text.encode())


def test_nothing_put_aside_is_said_as_that(idle_desk: Desk) -> None:
    assert idle_desk.told("aside", "list") == {"aside": []}
    assert idle_desk.run("aside", "list").stdout == "Nothing is put aside.\n"


def test_the_list_is_narrowed_by_reason_and_by_mailbox(desk: Desk) -> None:
    """A mailbox may be named by its address."""
    ann, bob = desk.connect("ann"), desk.connect("bob")
    of_ann = put_aside(desk, ann)
    of_bob = put_aside(desk, bob)
    put_aside_text(desk, "some words")

    def listed(*words: str) -> list[str]:
        return [one["item"] for one in desk.told("aside", "list", *words)["aside"]]

    assert len(listed()) == 3
    assert listed("--reason", "not_an_envelope") == ["some words"]
    (only_anns,) = listed("--mailbox", desk.address(ann))
    assert of_ann in only_anns
    (only_bobs,) = listed("--reason", REFUSED, "--mailbox", bob)
    assert of_bob in only_bobs
    assert listed("--reason", "not_an_envelope", "--mailbox", bob) == []


def test_the_list_begins_with_what_waits_longest(desk: Desk) -> None:
    grant = desk.connect()
    items = []
    for minute in range(3):
        desk.clock.ahead = minute * MINUTE
        items.append(put_aside(desk, grant))
    told = [one["item"] for one in desk.told("aside", "list")["aside"]]
    assert all(item in text for item, text in zip(items, told, strict=True))


def test_an_item_is_shown_with_its_reason_what_to_do_and_the_vendors_evidence(desk: Desk) -> None:
    """By the key that the list shows, or by the message's id."""
    grant = desk.connect()
    message = put_aside(desk, grant)
    (listed,) = desk.told("aside", "list")["aside"]
    shown = desk.told("aside", "show", message)
    assert shown == desk.told("aside", "show", listed["key"]) == listed
    assert set(shown) == SHOWN
    assert (shown["what"], shown["grant"], shown["reason"]) == ("message", grant, REFUSED)
    assert (shown["vendor"], shown["status"], shown["code"]) == ("dataverse", "400", "0x80040203")
    assert shown["advice"]
    assert shown["replayed_at"] is None
    assert message in shown["item"]


def test_an_item_is_shown_to_a_person_as_to_a_machine(desk: Desk) -> None:
    grant = desk.connect()
    message = put_aside(desk, grant)
    (listed,) = desk.told("aside", "list")["aside"]
    assert listed["key"] in desk.run("aside", "list").stdout
    shown = desk.run("aside", "show", message).stdout
    assert all(listed[fact] in shown for fact in ("key", "grant", "reason", "code", "put_aside"))


def test_neither_list_nor_show_tells_an_address_a_subject_or_a_body(desk: Desk) -> None:
    grant = desk.connect()
    message = put_aside(desk, grant)
    for words in (("list",), ("show", message), ("replay", message)):
        for how in ((), ("--json",)):
            said = desk.run("aside", *words, *how).output.lower()
            assert grant in said or words[0] == "replay"
            assert not [told for told in ("secret", "fabrikam", "contoso") if told in said]


@pytest.mark.parametrize("words", [("show",), ("replay",)])
def test_a_key_that_nothing_has_is_said_to_be_none(idle_desk: Desk, words: tuple[str, ...]) -> None:
    told = idle_desk.told("aside", *words, "0123456789ab", exit_code=2)
    assert told["error"]["reason"] == "not_aside"
    assert "aside list" in told["error"]["advice"]


def test_an_unknown_mailbox_is_no_empty_list(idle_desk: Desk) -> None:
    told = idle_desk.told("aside", "list", "--mailbox", "nobody@contoso.example", exit_code=2)
    assert told["error"]["reason"] == "unknown_mailbox"


def test_what_was_mended_lands_when_it_is_replayed(desk: Desk) -> None:
    grant = desk.connect()
    message = put_aside(desk, grant)
    desk.faults["dataverse"].clear()
    assert desk.emails() == []

    told = desk.told("aside", "replay", message)
    assert (told["replayed"], told["items"][0]["replayed"], told["items"][0]["why_not"]) == (1, True, "")
    assert desk.emails() == [], "the app writes, not the command"
    assert desk.verified()["on_the_way"] == 1
    desk.work()
    assert [row["statecode"] for row in desk.emails()] == [1]
    assert desk.verified()["written"] == 1
    assert desk.told("aside", "list")["aside"] == []
    (done,) = desk.told("aside", "list", "--replayed")["aside"]
    assert done["replayed_at"] is not None


def test_what_was_not_mended_is_put_aside_anew(desk: Desk) -> None:
    grant = desk.connect()
    message = put_aside(desk, grant)
    desk.told("aside", "replay", message)
    assert desk.told("aside", "list")["aside"] == []
    desk.clock.ahead = MINUTE
    desk.work()
    (anew,) = desk.told("aside", "list")["aside"]
    assert (anew["reason"], anew["replayed_at"]) == (REFUSED, None)
    assert desk.verified()["put_aside"] == 1
    assert desk.told("aside", "replay", message)["replayed"] == 1, "and may be replayed like the first time"


def test_what_was_replayed_already_is_replayed_only_again(desk: Desk) -> None:
    grant = desk.connect()
    message = put_aside(desk, grant)
    desk.faults["dataverse"].clear()
    desk.told("aside", "replay", message)
    desk.work()

    told = desk.told("aside", "replay", message, exit_code=2)
    assert told["error"]["reason"] == "already_replayed"
    assert "--again" in told["error"]["advice"]
    assert desk.told("aside", "replay", "--all")["replayed"] == 0
    assert desk.items() == []

    assert desk.told("aside", "replay", message, "--again")["replayed"] == 1
    desk.work()
    assert len(desk.emails()) == 1, "it ends at the journal"


def test_what_a_disconnected_mailbox_left_is_replayed_under_its_new_grant(desk: Desk) -> None:
    old = desk.connect()
    address, mail = desk.address(old), desk.mail(old)
    message = desk.deliver(old, mail)
    desk.notify(old, message)
    desk.nylas.disconnect(old)
    desk.work()
    (kept,) = desk.told("aside", "list")["aside"]
    assert kept["reason"] == "mailbox_disconnected"
    new = desk.nylas.connect(address, "microsoft", created_at=desk.clock())
    desk.sweep()
    desk.deliver(new, mail, message_id=message)
    desk.told("aside", "replay", "--all")
    desk.work()
    assert desk.verified("--mailbox", new)["written"] == 1
    assert desk.told("aside", "list")["aside"] == []


def test_items_are_replayed_by_reason_by_mailbox_or_all(desk: Desk) -> None:
    ann, bob = desk.connect("ann"), desk.connect("bob")
    of_ann, of_bob = put_aside(desk, ann), put_aside(desk, bob)
    put_aside_text(desk, "some words")

    def replayed(*words: str, exit_code: int = 0) -> list[str]:
        told = desk.told("aside", "replay", *words, "--again", exit_code=exit_code)
        messages = sorted(one.message for one in desk.items())
        assert told["replayed"] == len(messages)
        return messages

    assert replayed("--mailbox", desk.address(bob)) == [of_bob]
    assert replayed("--reason", REFUSED) == sorted((of_ann, of_bob))
    assert replayed("--reason", REFUSED, "--mailbox", ann) == [of_ann]
    assert replayed("--all", exit_code=1) == sorted((of_ann, of_bob)), "the text that is no item costs no other"
    assert replayed("--reason", "poison") == []


def test_replay_asks_what_to_replay(idle_desk: Desk) -> None:
    refused = idle_desk.run("aside", "replay")
    assert refused.exit_code == 2
    assert all(way in refused.output for way in ("KEY", "--reason", "--mailbox", "--all"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("some words", "not_an_envelope", id="words"),
        pytest.param('{"v": 7, "data": {"kind": "message"}}', "unknown_envelope_version", id="another version"),
    ],
)
def test_a_text_that_is_no_item_is_shown_and_not_replayed(desk: Desk, text: str, reason: str) -> None:
    put_aside_text(desk, text)
    (listed,) = desk.told("aside", "list")["aside"]
    assert (listed["what"], listed["reason"], listed["item"]) == ("text", reason, text)
    assert desk.told("aside", "show", listed["key"]) == listed

    told = desk.told("aside", "replay", listed["key"], exit_code=1)
    assert (told["replayed"], told["items"][0]["replayed"]) == (0, False)
    assert "envelope" in told["items"][0]["why_not"]
    assert desk.told("aside", "list")["aside"] == [listed], "it waits as before"
    said = desk.run("aside", "replay", listed["key"])
    assert (said.exit_code, listed["key"] in said.stdout) == (1, True)


def test_a_sweep_that_was_put_aside_goes_back_to_the_queue_of_sweeps(desk: Desk) -> None:
    """With a fresh count of its attempts, and one more life of its own."""
    grant = desk.connect()
    poison = '{"v": 1, "data": {"kind": "sweep", "grant": "%s", "source": "timer", "first_seen": 1, "revived": true}}'
    desk.app.collect((poison % grant).encode())
    (listed,) = desk.told("aside", "list", "--reason", "poison")["aside"]
    assert listed["what"] == "sweep"
    desk.told("aside", "replay", listed["key"])
    assert desk.items(MESSAGES) == []
    (item,) = desk.items(SWEEPS)
    assert (item.grant, item.attempt, item.revived) == (grant, 0, False)


def test_two_items_of_one_message_are_told_apart_by_what_they_are(desk: Desk) -> None:
    grant = desk.connect()
    message = put_aside(desk, grant)
    text = '{"v": 1, "data": {"kind": "deleted", "grant": "%s", "message": "%s", "source": "x", "first_seen": 1,'
    desk.app.collect((text % (grant, message) + ' "revived": true}}').encode())

    told = desk.told("aside", "show", message, exit_code=2)
    assert told["error"]["reason"] == "ambiguous_key"
    (deleted,) = desk.told("aside", "list", "--reason", "poison")["aside"]
    named = f"deleted:{deleted['key']}"
    assert named in told["error"]["advice"], "the words to use are in the answer"
    assert desk.told("aside", "show", named) == deleted


def test_a_text_that_would_steer_a_terminal_is_shown_and_does_not(desk: Desk) -> None:
    """It erases no line before it and turns no letters round."""
    put_aside_text(desk, "some\x1b[2K\rwords\u202e")
    (listed,) = desk.told("aside", "list")["aside"]
    assert listed["item"] == "some\x1b[2K\rwords\u202e", "a machine gets it as it is"
    shown = desk.run("aside", "show", listed["key"]).stdout
    assert "some\\x1b[2K\\rwords\\u202e" in shown
