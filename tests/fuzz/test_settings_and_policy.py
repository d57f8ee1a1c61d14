"""Whatever an operator types is settings and a policy, or every problem by name; and a secret is never quoted."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import example, given
from hypothesis import strategies as st

from mailsync.settings import IngestSettings, Settings, SettingsError, StorageSettings
from mapping.addresses import normalise
from mapping.policy import FILE_KEYS, MAILBOX_OWNER, TABLE_KEYS, Choice, Policy, PolicyError, parse_policy
from tests.fuzz.material import come_of, texts, tries

SECRET = "c2VjcmV0LW9mLXRoZXNlLXRlc3Rz"
CONNECTION = f"DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey={SECRET};EndpointSuffix=core.windows.net"
GOOD = {
    "AzureWebJobsStorage": CONNECTION,
    "NYLAS_WEBHOOK_SECRET": SECRET,
    "NYLAS_API_KEY": SECRET,
    "NYLAS_API_URI": "https://api.eu.nylas.com",
    "DATAVERSE_URL": "https://contoso.crm.dynamics.com",
    "SWEEP_OVERLAP": "900",
    "SWEEP_PAGE_SIZE": "40",
    "SWEEP_SPREAD": "240",
    "SYNC_SINCE": "2026-01-31",
    "TRACKING_POLICY": "tracking.toml",
    "ADOPT_EXISTING": "true",
    "DATAVERSE_NYLAS_ID_COLUMN": "contoso_nylasid",
    "DATAVERSE_CONCURRENCY": "24",
    "INSTANCE_COUNT": "1",
    "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com",
    "AzureWebJobsStorage__accountName": "contoso",
    "AzureWebJobsStorage__queueServiceUri": "https://contoso.queue.core.windows.net",
    "AzureWebJobsStorage__tableServiceUri": "https://contoso.table.core.windows.net",
    "AzureWebJobsStorage__clientId": "0f6d2c1a-9b7e-4a53-8c1d-5e4f3a2b1c0d",
}
SECRETIVE = frozenset(("AzureWebJobsStorage", "NYLAS_WEBHOOK_SECRET", "NYLAS_API_KEY"))
ODD = (
    "", " ", "https://", "https://[", "https://[::1", "https://a:99999", "https://a:b", "https://\u2100.example", "http://127.0.0.1",
    "https://user:pass@contoso.crm.dynamics.com", "https://a/?x#y", "//a", "0001-01-01", "9999-12-31T23:59:59+00:01",
    "0001-01-01T00:00:00+23:59", "2026-02-30", "\u0661\u0662", "1e3", "+1", "-1", "9" * 5000, "TRUE", "yes", ",", ",,",
    "UseDevelopmentStorage=true", "AccountName=;AccountKey=", "=;=;=", "AccountKey", f"AccountKey={SECRET}", "a_b", "A_B", "a_b\n",
)  # fmt: skip
odd = st.one_of(st.sampled_from(ODD), texts)
environments = st.fixed_dictionaries(
    {}, optional={name: st.one_of(st.just(good), odd) for name, good in GOOD.items()}
)  # fmt: skip


@tries(300)
@given(environments)
@example({})
@example(GOOD)
def test_an_environment_is_settings_or_names_each_problem(env: Mapping[str, str]) -> None:
    for read in (Settings.from_env, IngestSettings.from_env, StorageSettings.from_env):
        found = come_of(lambda read=read: read(env), SettingsError)
        if isinstance(found, SettingsError):
            assert found.problems.keys() <= GOOD.keys()
            assert all(f"{name}: {problem}" in str(found) for name, problem in found.problems.items())
            assert SECRET not in str(found)
            quoted = [env[name].strip() for name in SECRETIVE & env.keys()]
            assert not [text for text in quoted if len(text) > 12 and text in str(found)]


@tries(100)
@given(st.sampled_from(sorted(set(GOOD) - SECRETIVE)), odd)
def test_one_wrong_setting_is_the_only_one_named(name: str, text: str) -> None:
    found = come_of(lambda: Settings.from_env({**GOOD, name: text}), SettingsError)
    assert isinstance(found, Settings) or set(found.problems) == {name}


KEYS = (
    *(key.name for key in (*FILE_KEYS, MAILBOX_OWNER, *TABLE_KEYS)),
    *("deny", "folders", "people", "owner", "files", "regarding", "mailboxes", "thraed", ""),
    *("[deny]", "[[deny]]", "[mailboxes.'ann@b.example']", "[mailboxes.ann]", "[mailboxes]", "[[regarding.tables]]", "[regarding]"),
    *("mailboxes.'ann@b.example'.bulk", "mailboxes.'Ann@B.example'.deny.senders", "regarding.tables.0.name"),
)  # fmt: skip
VALUES = (
    *(f'"{word}"' for key in FILE_KEYS if isinstance(key.takes, Choice) for word in key.takes.allowed),
    "true", "1", "1e400", "nan", "[]", "{}", '["contoso.example"]', '["ann@contoso.example"]', '["contact", "lead"]', '["reply", "x"]',
    '["@", ""]', "[1, [2]]", '["*.example"]', '["*@*", "a*b@m\u00fcn*.de"]', '{senders = ["a@b.c"]}', "2026-01-01", '"""\n\n"""',
    "'", "[[", '"\\ud800"', "0x", '"team:0f6d2c1a-9b7e-4a53-8c1d-5e4f3a2b1c0d"', '"team:x"', "[{}]", "[{name = 1}]", '"contoso_id"',
)  # fmt: skip
lines = st.one_of(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)).map(" = ".join),
    st.sampled_from(KEYS),
    texts,
    st.just("# a comment"),
)
policies = st.one_of(st.lists(lines, max_size=8, unique=True).map("\n".join), texts)


@tries(300)
@given(policies)
@example("[" * 200)
@example("\ufefftrack = 'all'")
@example("track = 'all'\r\ntrack = 'all'\r\n")
@example("deny.senders = ['" + "*" * 300 + "@x']")
@example("[mailboxes.'ann@b.example']\ntrack = 'known'\n[mailboxes.'ANN@b.example']\nbulk = 'skip'")
def test_a_text_is_a_policy_or_names_each_problem_with_its_line(text: str) -> None:
    found = come_of(lambda: parse_policy(text, "tracking.toml"), PolicyError)
    if isinstance(found, Policy):
        assert found.version == parse_policy(text + "\n# more", "tracking.toml").version
        assert all(normalise(address) == address for address in found.mailboxes)
    else:
        assert str(found).startswith("tracking.toml:")
