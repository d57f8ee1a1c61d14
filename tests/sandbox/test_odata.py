"""Values and query options of the Dataverse stand-in: what is taken, what is refused, and the SQL that comes of it."""

from __future__ import annotations

import sqlite3

import pytest

from sandbox.dataverse.model import Model, load_model
from sandbox.dataverse.queries import Query, options_of, parse_query
from sandbox.dataverse.refusals import ODataError
from sandbox.dataverse.values import utf16_units

ID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


def where(model: Model, text: str, table: str = "email", **aliases: str) -> tuple[str, list[object]]:
    options = {"$filter": text, **{f"@{name}": value for name, value in aliases.items()}}
    query = parse_query(model, model.tables[table], options)
    return query.where, query.values


@pytest.mark.parametrize(
    ("text", "sql", "values"),
    [
        pytest.param("subject eq 'a'", '"subject" = ?', ["a"], id="equal"),
        pytest.param("subject eq 'it''s'", '"subject" = ?', ["it's"], id="a doubled quote is one"),
        pytest.param("subject eq null", '"subject" IS NULL', [], id="null"),
        pytest.param("subject ne null", '"subject" IS NOT NULL', [], id="not null"),
        pytest.param("subject ne 'a'", '("subject" <> ? OR "subject" IS NULL)', ["a"], id="unequal takes empty rows"),
        pytest.param("statecode ge 1", '"statecode" >= ?', [1], id="number"),
        pytest.param("directioncode eq false", '"directioncode" = ?', [0], id="boolean"),
        pytest.param(f"activityid eq {ID}", '"activityid" = ?', [ID], id="guid without quotes"),
        pytest.param(
            f"_regardingobjectid_value eq {ID.upper()}", '"_regardingobjectid_value" = ?', [ID], id="lookup value"
        ),
        pytest.param(
            "createdon gt 2025-01-02T03:04:05+01:00",
            '"createdon" > ?',
            ["2025-01-02T02:04:05Z"],
            id="times are compared in UTC",
        ),
        pytest.param("createdon lt 2025-01-02", '"createdon" < ?', ["2025-01-02T00:00:00Z"], id="a day is its start"),
        pytest.param(
            "statecode eq 0 or statecode eq 1 and statuscode eq 4",
            '"statecode" = ? OR "statecode" = ? AND "statuscode" = ?',
            [0, 1, 4],
            id="and binds stronger than or",
        ),
        pytest.param(
            "(statecode eq 0 or statecode eq 1) and not (statuscode eq 4)",
            '("statecode" = ? OR "statecode" = ?) AND NOT (("statuscode" = ?))',
            [0, 1, 4],
            id="parentheses and not",
        ),
        pytest.param("contains(subject,'5%_')", "\"subject\" LIKE ? ESCAPE '\\'", ["%5\\%\\_%"], id="contains"),
        pytest.param("startswith(subject,'a')", "\"subject\" LIKE ? ESCAPE '\\'", ["a%"], id="startswith"),
        pytest.param("endswith(subject,'a')", "\"subject\" LIKE ? ESCAPE '\\'", ["%a"], id="endswith"),
        pytest.param(
            "Microsoft.Dynamics.CRM.In(PropertyName='messageid',PropertyValues=['a','it''s'])",
            '"messageid" IN (?,?)',
            ["a", "it's"],
            id="In",
        ),
        pytest.param(
            'Microsoft.Dynamics.CRM.NotIn(PropertyName=\'statecode\',PropertyValues=["1","2"])',
            '"statecode" NOT IN (?,?)',
            [1, 2],
            id="NotIn, and values as text",
        ),
    ],
)
def test_a_filter_becomes_a_condition(model: Model, text: str, sql: str, values: list[object]) -> None:
    assert where(model, text) == (sql, values)


def test_values_may_stand_in_parameter_aliases(model: Model) -> None:
    text = "Microsoft.Dynamics.CRM.In(PropertyName=@p,PropertyValues=@v) and subject eq @s"
    assert where(model, text, p="'messageid'", v="['a','b']", s="'x'") == (
        '"messageid" IN (?,?) AND "subject" = ?',
        ["a", "b", "x"],
    )


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        pytest.param(
            "foo eq 1", "0x80060888", "property named 'foo' on type 'Microsoft.Dynamics.CRM.email'", id="name"
        ),
        pytest.param("Subject eq 'a'", "0x80060888", "property named 'Subject'", id="a name in another case"),
        pytest.param("regardingobjectid eq null", "0x80060888", "property named 'regardingobjectid'", id="lookup"),
        pytest.param("messageiddupcheck eq null", "0x80060888", "'messageiddupcheck'", id="a column not readable"),
        pytest.param("description eq 'a'", "0x80040203", "not supported", id="description"),
        pytest.param("contains(description,'a')", "0x80040203", "not supported", id="description in a function"),
        pytest.param("subject eq 1", "0x80060888", "'Edm.String' and 'Edm.Int32'", id="number for a text"),
        pytest.param(f"activityid eq '{ID}'", "0x80060888", "'Edm.Guid' and 'Edm.String'", id="guid in quotes"),
        pytest.param("directioncode eq 0", "0x80060888", "'Edm.Boolean' and 'Edm.Int32'", id="number for a boolean"),
        pytest.param("statecode gt null", "0x80060888", "incompatible", id="order of null"),
        pytest.param("subject eq 'a", "0x80060888", "Syntax error", id="open quote"),
        pytest.param("subject = 'a'", "0x80060888", "Syntax error", id="equals sign"),
        pytest.param("subject eq", "0x80060888", "Syntax error", id="nothing to compare with"),
        pytest.param("(subject eq 'a'", "0x80060888", "Syntax error", id="open parenthesis"),
        pytest.param("subject eq 'a' subject", "0x80060888", "Syntax error", id="words behind the end"),
        pytest.param("substringof('a',subject)", "0x80060888", "unknown function", id="function"),
        pytest.param("contains(statecode,'a')", "0x80060888", "No function signature", id="contains of a number"),
        pytest.param(
            "Microsoft.Dynamics.CRM.In(PropertyName='messageid',PropertyValues=[])",
            "0x80040203",
            "empty",
            id="no values",
        ),
        pytest.param(
            "Microsoft.Dynamics.CRM.In(PropertyName='messageid')",
            "0x80060888",
            "PropertyValues",
            id="In without values",
        ),
        pytest.param(
            "Microsoft.Dynamics.CRM.In(PropertyName='activityid',PropertyValues=['a'])",
            "0x80040203",
            "does not fit",
            id="In of something that is no guid",
        ),
    ],
)
def test_a_filter_is_refused(model: Model, text: str, code: str, says: str) -> None:
    with pytest.raises(ODataError) as refusal:
        where(model, text)
    assert (refusal.value.status, refusal.value.code) == (400, code)
    assert says in refusal.value.message


def test_five_hundred_conditions_pass_and_one_more_is_refused(model: Model) -> None:
    chain = " or ".join(f"messageid eq '{number}'" for number in range(500))
    sql, values = where(model, chain)
    assert len(values) == 500
    db = sqlite3.connect(":memory:")
    db.execute('CREATE TABLE t ("messageid" TEXT)')
    db.execute(f"SELECT 1 FROM t WHERE {sql}", values)
    db.close()
    with pytest.raises(ODataError) as refusal:
        where(model, f"{chain} or messageid eq 'x'")
    assert refusal.value.code == "0x8004430c"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param("$select=foo", "Could not find a property named 'foo'", id="select an unknown name"),
        pytest.param("$select=regardingobjectid", "'regardingobjectid'", id="select a lookup by its bare name"),
        pytest.param("$orderby=foo", "'foo'", id="order by an unknown name"),
        pytest.param("$orderby=subject upwards", "Syntax error", id="order in no direction"),
        pytest.param("$expand=parties", "'parties'", id="expand an unknown name"),
        pytest.param("$expand=email_activity_parties($select=foo)", "activityparty", id="select inside an expansion"),
        pytest.param("$expand=email_activity_parties($select=effort", "unbalanced", id="open bracket"),
        pytest.param("$top=-1", "$top", id="a negative top"),
        pytest.param("$skip=10", "Skip Clause is not supported in CRM", id="skip"),
        pytest.param("$search=a", "not supported", id="search"),
        pytest.param("top=1", "not supported", id="an option without its dollar sign"),
        pytest.param("$top=1&$top=2", "more than once", id="an option given twice"),
        pytest.param("$skiptoken=2", "Paging Cookie", id="a skip token not from here"),
    ],
)
def test_a_query_option_is_refused(model: Model, options: str, says: str) -> None:
    with pytest.raises(ODataError) as refusal:
        parse_query(model, model.tables["email"], options_of(options))
    assert refusal.value.status == 400
    assert says in refusal.value.message


def test_query_options_are_read_together(model: Model) -> None:
    query = parse_query(
        model,
        model.tables["email"],
        options_of(
            "$select=subject,_regardingobjectid_value&$orderby=createdon%20desc,subject&$top=3&$count=true"
            "&$expand=email_activity_parties($select=addressused;$filter=participationtypemask%20eq%201),"
            "regardingobjectid_contact_email($select=fullname)"
        ),
    )
    assert query.select == ("subject", "_regardingobjectid_value")
    assert (query.order, query.top, query.count) == ('"createdon" desc, "subject" asc', 3, True)
    parties, contact = query.expand
    inner: Query = parties.query
    assert (inner.table.logical, inner.where, inner.values) == ("activityparty", '"participationtypemask" = ?', [1])
    assert (contact.query.table.logical, contact.query.select) == ("contact", ("fullname",))


def test_a_plus_sign_in_a_query_is_a_space() -> None:
    assert options_of("$filter=emailaddress1+eq+'a+b%2Bc@x.io'") == {"$filter": "emailaddress1 eq 'a b+c@x.io'"}


@pytest.mark.parametrize(
    ("text", "units"),
    [("abc", 3), ("日本", 2), ("😀", 2), ("", 0)],
    ids=["ascii", "Japanese", "an emoji counts twice", "empty"],
)
def test_length_is_counted_in_utf16_units(text: str, units: int) -> None:
    assert utf16_units(text) == units


@pytest.mark.parametrize(
    ("table", "column", "value", "kept"),
    [
        pytest.param("email", "sortdate", "2025-01-02T03:04:05.678Z", "2025-01-02T03:04:05Z", id="whole seconds"),
        pytest.param("email", "sortdate", "2025-01-02T03:04:05+02:00", "2025-01-02T01:04:05Z", id="UTC"),
        pytest.param("email", "actualend", "2025-01-02T23:04:05Z", "2025-01-02T00:00:00Z", id="a day only"),
        pytest.param("email", "sortdate", "1753-01-01T00:00:00Z", "1753-01-01T00:00:00Z", id="the first date"),
        pytest.param("email", "conversationtrackingid", ID.upper(), ID, id="guid"),
        pytest.param("email", "subject", "😀" * 400, "😀" * 400, id="800 units"),
        pytest.param("email", "subject", "tab\tand line\n", "tab\tand line\n", id="white space"),
        pytest.param("email", "opencount", 2147483647, 2147483647, id="the greatest count"),
        pytest.param("email", "directioncode", False, 0, id="boolean"),
        pytest.param("email", "notifications", 2, 2, id="choice"),
        pytest.param("activityparty", "effort", 1, 1.0, id="a whole decimal"),
    ],
)
def test_a_value_is_taken(model: Model, table: str, column: str, value: object, kept: object) -> None:
    assert model.tables[table].columns[column].stored(value) == kept


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        pytest.param("subject", 1, "0x80048d19", id="number for a text"),
        pytest.param("subject", "a" * 801, "0x80044331", id="801 letters"),
        pytest.param("subject", "😀" * 401, "0x80044331", id="401 emoji are 802 units"),
        pytest.param("subject", "a\x00b", "0x80040278", id="NUL"),
        pytest.param("subject", "a\x0bb", "0x80040278", id="vertical tab"),
        pytest.param("subject", "a\ud800b", "0x80040278", id="lone surrogate"),
        pytest.param("subject", "a\uffffb", "0x80040278", id="not a character"),
        pytest.param("opencount", "1", "0x80048d19", id="text for a number"),
        pytest.param("opencount", 1.5, "0x80048d19", id="fraction for a whole number"),
        pytest.param("opencount", True, "0x80048d19", id="boolean for a number"),
        pytest.param("opencount", -1, "0x80040203", id="below the least"),
        pytest.param("directioncode", "true", "0x80048d19", id="text for a boolean"),
        pytest.param("directioncode", 1, "0x80048d19", id="number for a boolean"),
        pytest.param("notifications", 3, "0x8004431a", id="a choice that is none"),
        pytest.param("notifications", "1", "0x80048d19", id="text for a choice"),
        pytest.param("conversationtrackingid", "abc", "0x80048d19", id="not a guid"),
        pytest.param("conversationtrackingid", f"{{{ID}}}", "0x80048d19", id="guid in braces"),
        pytest.param("sortdate", "2025-01-02", "0x80048d19", id="a day for a time"),
        pytest.param("sortdate", "2025-01-02T03:04:05", "0x80048d19", id="no time zone"),
        pytest.param("sortdate", "2025-13-02T03:04:05Z", "0x80048d19", id="no such month"),
        pytest.param("sortdate", 1735787045, "0x80048d19", id="seconds since 1970"),
        pytest.param("sortdate", "1752-12-31T23:59:59Z", "0x80040203", id="before the first date"),
        pytest.param("sortdate", "9999-12-31T00:00:00Z", "0x80040203", id="after the last date"),
        pytest.param("sortdate", "0001-01-01T00:00:00+10:00", "0x80048d19", id="before the calendar"),
    ],
)
def test_a_value_is_refused(model: Model, column: str, value: object, code: str) -> None:
    with pytest.raises(ODataError) as refusal:
        model.tables["email"].columns[column].stored(value)
    assert (refusal.value.status, refusal.value.code) == (400, code)


def test_without_the_sales_app_nothing_leads_to_its_tables() -> None:
    bare = load_model(["dataverse"])
    assert {"leads", "opportunities", "incidents", "quotes"}.isdisjoint(bare.sets)
    assert "regardingobjectid_lead_email" not in bare.tables["email"].binds
    assert "partyid_lead" not in bare.tables["activityparty"].binds
    assert "regardingobjectid_contact_email" in bare.tables["email"].binds


def test_an_organisation_may_have_columns_of_its_own() -> None:
    own = load_model(custom={"email": {"new_nylasid": {"type": "text", "max": 100}}})
    assert own.tables["email"].columns["new_nylasid"].max == 100


def test_every_lookup_leads_to_declared_tables_and_every_name_column_exists(model: Model) -> None:
    for table in model.tables.values():
        assert table.name in table.columns
        assert all(target in model.tables for k in table.lookups.values() for to in k.bind.values() for target in to)
        for child in table.collections.values():
            assert child.lookup in model.tables[child.table].lookups
