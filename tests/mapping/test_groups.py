from __future__ import annotations

import time

import pytest

from mapping.groups import opened
from mapping.message import Participant
from tests.mapping.mail import message

ANN = Participant(None, "ann@x.example")
BEN = Participant(None, "ben@x.example")


def to(*written: str | tuple[str | None, str | None] | None) -> list[Participant | None]:
    """The recipients of a mail, opened."""
    return list(opened(message(to=list(written))).to or ())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("Sales: ann@x.example, ben@x.example;", [ANN, BEN], id="a group"),
        pytest.param("Sales: ann@x.example;", [ANN], id="a group of one"),
        pytest.param("ann@x.example; ben@x.example", [ANN, BEN], id="as Outlook separates them"),
        pytest.param("ann@x.example;", [ANN], id="one with a separator behind"),
        pytest.param("ann@x.example,, ; ben@x.example,", [ANN, BEN], id="nobody between"),
        pytest.param("Sales: ann@x.example; Support: ben@x.example;", [ANN, BEN], id="two groups"),
        pytest.param("mailto:ann@x.example, mailto:ben@x.example", [ANN, BEN], id="links"),
        pytest.param("ann@x.example, nobody, ben@x.example", [ANN, BEN], id="a word that is no address"),
        pytest.param("ann@x.example (Ann), ben@x.example (who (else))", [ANN, BEN], id="comments"),
        pytest.param("<ann@x.example>,<ben@x.example", [ANN, BEN], id="a bracket left open"),
        pytest.param(
            '"Lee, Ann" <ann@x.example>, Ben B. <ben@x.example>',
            [Participant("Lee, Ann", ANN.email), Participant("Ben B.", BEN.email)],
            id="names, and a comma in one",
        ),
        pytest.param(
            '"Note: Ann" <ann@x.example>; "Ben" "B." <ben@x.example>',
            [Participant("Note: Ann", ANN.email), Participant("Ben B.", BEN.email)],
            id="a colon in a name",
        ),
        pytest.param(
            'Lee, Ann <ann@x.example>; Ben "B <ben@x.example>',
            [Participant("Ann", ANN.email), Participant("Ben B", BEN.email)],
            id="names without quotes, or with half of them",
        ),
        pytest.param('"a,b@c"@x.org', [Participant(None, '"a,b@c"@x.org')], id="one address, oddly quoted"),
        pytest.param("é@münchen.de, a@b@c", [Participant(None, "é@münchen.de"), Participant(None, "a@b@c")], id="odd ones"),
        pytest.param("undisclosed-recipients:;", [], id="recipients that are hidden"),
        pytest.param("Verborgene Empfaenger:;", [], id="hidden in another language"),
        pytest.param("Undisclosed recipients", [], id="hidden, in words"),
        pytest.param(("undisclosed-recipients", None), [], id="hidden, in a name"),
        pytest.param(";", [], id="nothing"),
    ],
)  # fmt: skip
def test_a_group_is_the_people_in_it(written: str, expected: list[Participant]) -> None:
    assert to(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(("Ann", "ann@x.example"), id="an address with its name"),
        pytest.param(("Lee, Ann; x@y", "ann@x.example"), id="a name that looks like several"),
        pytest.param("Ann Lee <ann@x.example>", id="a name in the address"),
        pytest.param("a@b@c", id="two @"),
        pytest.param("/O=CONTOSO/CN=ANN;", id="an Exchange name"),
        pytest.param("Undisclosed <ann@x.example>", id="somebody of that name"),
        pytest.param(("Ann", None), id="a name alone"),
        pytest.param("", id="nothing"),
    ],
)
def test_one_person_stays_as_written(written: str | tuple[str | None, str | None]) -> None:
    mail = message(to=[written])
    assert opened(mail) is mail


def test_every_group_of_people_is_opened_in_its_place() -> None:
    pair = "ann@x.example, ben@x.example"
    mail = opened(message(from_=pair, to=["c@x.org", pair, None, "d@x.org"], cc=pair, bcc=pair, reply_to=pair))
    assert mail.from_ == mail.cc == mail.bcc == (ANN, BEN)
    assert mail.to == (Participant(None, "c@x.org"), ANN, BEN, Participant(None, "d@x.org"))
    assert mail.reply_to == (Participant(None, pair),), "nobody looks at that"


HOSTILE = {
    "comments in comments": "a@b,c@d" + "(" * 100_000,
    "groups in groups": "a@b,c@d," + "x:" * 100_000,
    "brackets": "a@b,c@d," + "<" * 100_000,
    "quotes": "a@b,c@d," + '"' * 100_001,
    "backslashes": 'a@b,c@d,"' + "\\" * 100_000,
    "signs": "a@b," + "@" * 100_000,
    "commas": "a@b,c@d," + "," * 100_000,
    "very many people": "a@b,c@d," * 50_000,
    "a long word": "a@b," + "c" * 200_000 + "@d",
}


@pytest.mark.parametrize("written", [pytest.param(written, id=name) for name, written in HOSTILE.items()])
def test_a_hostile_group_costs_no_more_than_a_moment(written: str) -> None:
    before = time.process_time()
    assert Participant(None, "a@b") in to(written)
    assert time.process_time() - before < 2
