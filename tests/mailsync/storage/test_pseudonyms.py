"""Keyed hashes stay what they are for as long as the key does: tables hold them."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync.storage.journal import hash_of
from mailsync.storage.pseudonyms import ALGORITHM, Pseudonyms

KEY = bytes(range(32))
GRANT = "4c7c1bb3-2e0c-4f38-9b0a-6f1d0a7ef2a1"
ACTIVITY = "6F0B6F3E-5D0C-4F0A-9B57-2B1F5A7C9D41"


def test_the_algorithm_never_changes_under_its_number() -> None:
    made = Pseudonyms(KEY)
    assert ALGORITHM == 1
    assert made.of_copy(GRANT, hash_of("AAkALgB")) == "1468789a9428c27b158353773f6da77fb65d04b5980594957fa0d15db6bcb7ea"
    assert made.of_mail(ACTIVITY) == "fc4578946c0af6625a69fa263b8392281b8fa5e0a51abebb63923f0e6d5d8ce8"
    assert made.of_guard(ACTIVITY, "0123456789ab") == "b978ba073f31"
    assert made.fingerprint == "d417a93bd19f06ed9c685a949f0355e130b0a785c2c968ad0508f4d92ecbccbf"


def test_it_is_hmac_sha256_over_what_it_stands_for() -> None:
    told = json.dumps([1, "mail", ACTIVITY.lower()], separators=(",", ":"))
    assert Pseudonyms(KEY).of_mail(ACTIVITY) == hmac.new(KEY, told.encode(), hashlib.sha256).hexdigest()


def test_the_case_of_an_activityid_makes_no_difference() -> None:
    assert Pseudonyms(KEY).of_mail(ACTIVITY) == Pseudonyms(KEY).of_mail(ACTIVITY.lower())


@pytest.mark.parametrize("other", [bytes(32), bytes(range(1, 33))], ids=["zeros", "one further"])
def test_another_key_makes_other_hashes(other: bytes) -> None:
    mine, others = Pseudonyms(KEY), Pseudonyms(other)
    assert mine.of_mail(ACTIVITY) != others.of_mail(ACTIVITY)
    assert mine.fingerprint != others.fingerprint


@given(one=st.tuples(st.text(), st.text()), other=st.tuples(st.text(), st.text()))
def test_two_messages_never_share_a_hash(one: tuple[str, str], other: tuple[str, str]) -> None:
    made = Pseudonyms(KEY)
    assert (made.of_copy(*one) == made.of_copy(*other)) == (one == other)
