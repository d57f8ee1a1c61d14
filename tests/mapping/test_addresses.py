from __future__ import annotations

import pytest

from mapping.addresses import domain_of, normalise, organisation_domains, without_tag


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("Ann@Contoso.COM", "ann@contoso.com", id="case does not count"),
        pytest.param("  ann@contoso.com\r\n", "ann@contoso.com", id="space around does not count"),
        pytest.param("<ann@contoso.com>", "ann@contoso.com", id="angle brackets"),
        pytest.param("Ann Lee <ann@contoso.com>", "ann@contoso.com", id="name before brackets"),
        pytest.param("mailto:ann@contoso.com?subject=x", "ann@contoso.com", id="mailto link"),
        pytest.param("'ann@contoso.com'", "ann@contoso.com", id="quoted as Outlook does"),
        pytest.param("\u200bann@contoso.com\ufeff", "ann@contoso.com", id="invisible characters around"),
        pytest.param("ann@contoso.com.", "ann@contoso.com", id="dot of the root"),
        pytest.param("ann @ contoso < com", "ann@contoso com", id="a bracket that leaves blanks behind"),
        pytest.param("ann@con\x00toso.com", "ann@contoso.com", id="NUL inside"),
        pytest.param("o'neil@contoso.com", "o'neil@contoso.com", id="apostrophe inside stays"),
        pytest.param('"a@b"@contoso.com', '"a@b"@contoso.com', id="the last @ divides"),
        pytest.param('"a@b"@MÜNCHEN.de', '"a@b"@xn--mnchen-3ya.de', id="the last @, before an international domain"),
        pytest.param("x" * 2000 + "@contoso.com", None, id="pages of text"),
        pytest.param("ann@MÜNCHEN.de", "ann@xn--mnchen-3ya.de", id="international domain"),
        pytest.param("ann@xn--mnchen-3ya.de", "ann@xn--mnchen-3ya.de", id="international domain, encoded"),
        pytest.param("ann@☃☃..☃", "ann@☃☃..☃", id="no domain, kept as it is"),
        pytest.param(None, None, id="null"),
        pytest.param("", None, id="empty"),
        pytest.param("  ", None, id="blank"),
        pytest.param("undisclosed-recipients:;", None, id="no @"),
        pytest.param("/O=CONTOSO/OU=EXCHANGE/CN=ANN", None, id="an Exchange name"),
        pytest.param("@contoso.com", None, id="no local part"),
        pytest.param("ann@", None, id="no domain"),
        pytest.param("<>", None, id="the null sender"),
    ],
)
def test_normalise(written: str | None, expected: str | None) -> None:
    assert normalise(written) == expected


def test_the_domain_stands_behind_the_last_at() -> None:
    assert domain_of('"a@b"@contoso.com') == "contoso.com"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("ann+news@contoso.com", "ann@contoso.com", id="a tag"),
        pytest.param("ann+a+b@contoso.com", "ann@contoso.com", id="all from the first plus on"),
        pytest.param("ann@contoso.com", "ann@contoso.com", id="none"),
        pytest.param("+ann@contoso.com", "+ann@contoso.com", id="nothing before the plus"),
        pytest.param("ann@con+toso.com", "ann@con+toso.com", id="a plus in the domain"),
    ],
)
def test_an_address_without_its_tag(address: str, expected: str) -> None:
    assert without_tag(address) == expected


def test_own_domains_are_those_of_the_mailboxes_without_free_mail() -> None:
    mailboxes = ["Ann@Contoso.com", "me@gmail.com", "me@icloud.com", "me@tutanota.com", "b@fabrikam.de", "nobody"]
    assert organisation_domains(mailboxes) == {"contoso.com", "fabrikam.de"}
