"""A webhook is Nylas' own when the HMAC over its bytes as received fits one of our secrets."""

from __future__ import annotations

import pytest

from mailsync.nylas.signature import is_signed
from tests.mailsync.notifications import signature

BODY = b'{"type":"message.created"}'


def test_a_literal_vector() -> None:
    """RFC 4231, test case 2: the same HMAC-SHA256 everybody computes."""
    told = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert is_signed(b"what do ya want for nothing?", told, ["Jefe"])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="an empty body"),
        pytest.param(BODY, id="JSON"),
        pytest.param(bytes(range(256)), id="any bytes at all"),
        pytest.param("Grüße 日本".encode(), id="UTF-8"),
    ],
)
@pytest.mark.parametrize("secret", ["s", "41-dashed_and.dotted", "schlüssel-日本", " with space "])
def test_the_hex_hmac_of_the_bytes_fits(body: bytes, secret: str) -> None:
    assert is_signed(body, signature(body, secret), [secret])


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        pytest.param(signature(BODY), True, id="as sent"),
        pytest.param(signature(BODY).upper(), True, id="upper case"),
        pytest.param(f"  {signature(BODY)} ", True, id="space around"),
        pytest.param(None, False, id="missing"),
        pytest.param("", False, id="empty"),
        pytest.param("0" * 64, False, id="another"),
        pytest.param(signature(BODY)[:-1], False, id="cut short"),
        pytest.param(signature(BODY) + "0", False, id="too long"),
        pytest.param(signature(BODY + b" "), False, id="of other bytes"),
        pytest.param(signature(BODY, "another secret"), False, id="of another secret"),
        pytest.param("sha256=" + signature(BODY), False, id="GitHub's form"),
        pytest.param("grün \ud800", False, id="no hex at all"),
    ],
)
def test_what_is_given_as_signature(given: str | None, fits: bool) -> None:
    assert is_signed(BODY, given, ["correct-horse-battery-staple"]) is fits


def test_any_of_several_secrets_will_do() -> None:
    """While a secret is changed, both the old and the new one are good."""
    secrets = ["new", "old"]
    assert all(is_signed(BODY, signature(BODY, secret), secrets) for secret in secrets)
    assert not is_signed(BODY, signature(BODY, "older"), secrets)


def test_without_secrets_nothing_is_signed() -> None:
    assert not is_signed(BODY, signature(BODY, ""), [])
