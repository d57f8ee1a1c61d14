"""Settings are read once, every problem is told at once and by name, and nobody needs more of them than it uses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailsync.errors import ConfigurationError
from mailsync.settings import (
    DEVELOPMENT_STORAGE,
    FOR_WEBHOOK,
    ErasureKey,
    IngestSettings,
    Settings,
    SettingsError,
    StorageSettings,
)
from mailsync.storage.account import StorageAccount

CONNECTION = "DefaultEndpointsProtocol=https;AccountName=mail;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net"
LEAST = {
    "AzureWebJobsStorage": CONNECTION,
    "NYLAS_API_KEY": "nyk_secret",
    "NYLAS_WEBHOOK_SECRET": "hook-secret",
    "DATAVERSE_URL": "https://contoso.crm4.dynamics.com",
}


def problems(env: dict[str, str]) -> dict[str, str]:
    with pytest.raises(SettingsError) as error:
        Settings.from_env(env)
    return error.value.problems


def test_four_settings_are_enough() -> None:
    settings = Settings.from_env(LEAST)
    assert settings == Settings(
        storage=StorageSettings(CONNECTION),
        webhook_secrets=("hook-secret",),
        nylas_api_key="nyk_secret",
        nylas_api_uri="https://api.us.nylas.com",
        dataverse_url="https://contoso.crm4.dynamics.com",
        sweep_overlap=900,
        sweep_page_size=40,
        sweep_spread=240,
        sync_since=None,
        tracking_policy="tracking.toml",
        adopt_existing=True,
        nylas_id_column=None,
        dataverse_concurrency=24,
        instance_count=1,
        freshness_bound=7200,
        journal_retention=None,
        authority_host=None,
        ca_bundle=None,
    )


@pytest.mark.parametrize("name", ["NYLAS_API_KEY", "NYLAS_WEBHOOK_SECRET", "SYNC_SINCE"])
def test_a_reference_to_key_vault_that_could_not_be_followed_is_no_value(name: str) -> None:
    """Azure hands the reference itself to the app; a webhook then answers 503, which Nylas repeats, and not 401."""
    reference = "@Microsoft.KeyVault(SecretUri=https://kv-1.vault.azure.net/secrets/nylas-webhook-secret)"
    told = problems(LEAST | {name: reference})
    assert set(told) == {name}
    assert "Key Vault" in told[name]


def test_everything_missing_is_told_at_once_and_by_name() -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_env({})
    assert set(error.value.problems) == set(LEAST)
    assert all(name in str(error.value) for name in LEAST)
    assert error.value.reason == "settings"


MALFORMED = {
    "AzureWebJobsStorage": "AccountName=mail",
    "NYLAS_API_KEY": " ",
    "NYLAS_WEBHOOK_SECRET": " , ,",
    "DATAVERSE_URL": "contoso.crm4.dynamics.com",
    "NYLAS_API_URI": "http://api.us.nylas.com",
    "SWEEP_OVERLAP": "15 minutes",
    "SWEEP_PAGE_SIZE": "0",
    "SWEEP_SPREAD": "-1",
    "SYNC_SINCE": "yesterday",
    "ADOPT_EXISTING": "maybe",
    "DATAVERSE_CONCURRENCY": "many",
    "INSTANCE_COUNT": "0",
    "JOURNAL_RETENTION_DAYS": "29",
    "DATAVERSE_NYLAS_ID_COLUMN": "Nylas Id",
}


def test_everything_malformed_is_told_at_once_and_no_value_is_quoted() -> None:
    env = {**MALFORMED, "AzureWebJobsStorage__queueServiceUri": "ftp://x", "DATAVERSE_URL": "https://me:pw@contoso"}
    with pytest.raises(SettingsError) as error:
        Settings.from_env(env)
    assert set(error.value.problems) == set(env)
    told = str(error.value)
    assert all(name in told for name in env)
    assert "me:pw" not in told
    assert "AccountName=mail" not in told


@pytest.mark.parametrize("name", MALFORMED)
def test_one_malformed_setting_is_told_alone(name: str) -> None:
    assert set(problems({**LEAST, name: MALFORMED[name]})) == {name}


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("NYLAS_WEBHOOK_SECRET", " new , old,", "webhook_secrets", ("new", "old")),
        ("NYLAS_API_URI", "https://api.eu.nylas.com/", "nylas_api_uri", "https://api.eu.nylas.com"),
        ("NYLAS_API_URI", "http://127.0.0.1:8080", "nylas_api_uri", "http://127.0.0.1:8080"),
        ("DATAVERSE_URL", " https://contoso.crm.dynamics.com/ ", "dataverse_url", "https://contoso.crm.dynamics.com"),
        ("SWEEP_OVERLAP", "60", "sweep_overlap", 60),
        ("SWEEP_OVERLAP", "86400", "sweep_overlap", 86_400),
        ("SWEEP_PAGE_SIZE", "200", "sweep_page_size", 200),
        ("SWEEP_SPREAD", "0", "sweep_spread", 0),
        ("SYNC_SINCE", "2026-01-31", "sync_since", int(datetime(2026, 1, 31, tzinfo=UTC).timestamp())),
        ("SYNC_SINCE", "2026-01-31T08:00:00Z", "sync_since", int(datetime(2026, 1, 31, 8, tzinfo=UTC).timestamp())),
        ("SYNC_SINCE", "2026-01-31T08:00+02:00", "sync_since", int(datetime(2026, 1, 31, 6, tzinfo=UTC).timestamp())),
        ("SYNC_SINCE", "0001-01-01", "sync_since", int(datetime(1, 1, 1, tzinfo=UTC).timestamp())),
        ("SYNC_SINCE", "", "sync_since", None),
        ("ADOPT_EXISTING", "False", "adopt_existing", False),
        ("ADOPT_EXISTING", "TRUE", "adopt_existing", True),
        ("DATAVERSE_NYLAS_ID_COLUMN", "contoso_nylasid", "nylas_id_column", "contoso_nylasid"),
        ("JOURNAL_RETENTION_DAYS", "30", "journal_retention", 30 * 86_400),
        ("JOURNAL_RETENTION_DAYS", "", "journal_retention", None),
        ("TRACKING_POLICY", "policies/ours.toml", "tracking_policy", "policies/ours.toml"),
        ("AZURE_AUTHORITY_HOST", "login.microsoftonline.us", "authority_host", "login.microsoftonline.us"),
        ("REQUESTS_CA_BUNDLE", "/etc/ssl/ours.pem", "ca_bundle", "/etc/ssl/ours.pem"),
    ],
)
def test_how_a_setting_is_read(name: str, text: str, field: str, value: object) -> None:
    assert getattr(Settings.from_env({**LEAST, name: text}), field) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SWEEP_OVERLAP", "59"),
        ("SWEEP_OVERLAP", "86401"),
        ("SWEEP_OVERLAP", "900.5"),
        ("SWEEP_OVERLAP", "٩٠٠"),
        ("SWEEP_OVERLAP", "9" * 5000),
        ("SWEEP_PAGE_SIZE", "201"),
        ("SWEEP_SPREAD", "3601"),
        ("SYNC_SINCE", "31.01.2026"),
        ("SYNC_SINCE", "2026-02-30"),
        ("SYNC_SINCE", "1790000000"),
        ("ADOPT_EXISTING", "1"),
        ("DATAVERSE_CONCURRENCY", "53"),
        ("DATAVERSE_URL", "https://"),
        ("DATAVERSE_URL", "https://contoso.crm.dynamics.com/main.aspx?appid=1"),
        ("DATAVERSE_URL", "https://contoso.crm.dynamics.com#top"),
        ("DATAVERSE_URL", "https://[contoso"),
        ("DATAVERSE_URL", "https://contoso.crm.dynamics.com:port"),
        ("DATAVERSE_URL", "https://contoso.crm.dynamics.com:99999"),
        ("DATAVERSE_URL", "https://contoso.crm.dynamics.com/api/data/v9.2"),
        ("DATAVERSE_URL", "http://contoso.crm.dynamics.com"),
        ("DATAVERSE_NYLAS_ID_COLUMN", "subject"),
        ("DATAVERSE_NYLAS_ID_COLUMN", "contoso_nylasid@odata.bind"),
        ("NYLAS_API_URI", "api.eu.nylas.com"),
    ],
)
def test_what_no_setting_may_be(name: str, text: str) -> None:
    assert set(problems({**LEAST, name: text})) == {name}


# storage


def test_the_emulators_short_form_stands_for_its_well_known_account() -> None:
    settings = Settings.from_env({**LEAST, "AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    assert settings.storage.connection_string == DEVELOPMENT_STORAGE
    account = StorageAccount(settings.storage, None)
    assert account.queue("nylas-messages").url == "http://127.0.0.1:10001/devstoreaccount1/nylas-messages"
    assert account.table("journal").url.startswith("http://127.0.0.1:10002/devstoreaccount1")


@pytest.mark.parametrize(
    ("settings", "queue_uri", "table_uri", "client_id"),
    [
        pytest.param(
            {
                "AzureWebJobsStorage__queueServiceUri": "https://mail.queue.core.windows.net/",
                "AzureWebJobsStorage__tableServiceUri": "https://mail.table.core.windows.net/",
                "AzureWebJobsStorage__credential": "managedidentity",
            },
            "https://mail.queue.core.windows.net",
            "https://mail.table.core.windows.net",
            None,
            id="by endpoints",
        ),
        pytest.param(
            {"AzureWebJobsStorage__accountName": "mail", "AzureWebJobsStorage__clientId": "1234"},
            "https://mail.queue.core.windows.net",
            "https://mail.table.core.windows.net",
            "1234",
            id="by account name, as an identity of the user's own",
        ),
        pytest.param(
            {
                "AzureWebJobsStorage__accountName": "mail",
                "AzureWebJobsStorage__queueServiceUri": "https://mail.queue.core.usgovcloudapi.net",
            },
            "https://mail.queue.core.usgovcloudapi.net",
            "https://mail.table.core.windows.net",
            None,
            id="an endpoint beats the account's name",
        ),
    ],
)
def test_storage_by_identity(settings: dict[str, str], queue_uri: str, table_uri: str, client_id: str | None) -> None:
    rest = {name: text for name, text in LEAST.items() if name != "AzureWebJobsStorage"}
    storage = Settings.from_env({**rest, **settings}).storage
    assert storage == StorageSettings(None, queue_uri=queue_uri, table_uri=table_uri, client_id=client_id)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        pytest.param(
            {"AzureWebJobsStorage__queueServiceUri": "https://mail.queue.core.windows.net"},
            {"AzureWebJobsStorage"},
            id="only one of the two endpoints",
        ),
        pytest.param(
            {"AzureWebJobsStorage__credential": "managedidentity"}, {"AzureWebJobsStorage"}, id="only a credential"
        ),
        pytest.param(
            {"AzureWebJobsStorage": CONNECTION, "AzureWebJobsStorage__tableServiceUri": "mail"},
            {"AzureWebJobsStorage__tableServiceUri"},
            id="a malformed endpoint beside a connection string",
        ),
        pytest.param({"AzureWebJobsStorage": "AccountKey=c2VjcmV0"}, {"AzureWebJobsStorage"}, id="no account"),
        pytest.param(
            {"AzureWebJobsStorage": "QueueEndpoint=https://mail.queue.core.windows.net;SharedAccessSignature=sv=1"},
            {"AzureWebJobsStorage"},
            id="a signature for queues alone",
        ),
        pytest.param({"AzureWebJobsStorage": "=;=;"}, {"AzureWebJobsStorage"}, id="no words at all"),
    ],
)
def test_storage_that_cannot_be_used_is_a_setting_to_mend(settings: dict[str, str], names: set[str]) -> None:
    rest = {name: text for name, text in LEAST.items() if name != "AzureWebJobsStorage"}
    assert set(problems({**rest, **settings})) == names


def test_a_shared_access_signature_for_both_is_as_good_as_a_key() -> None:
    text = (
        "QueueEndpoint=https://mail.queue.core.windows.net;TableEndpoint=https://mail.table.core.windows.net;"
        "SharedAccessSignature=sv=2025&sig=x"
    )
    assert Settings.from_env({**LEAST, "AzureWebJobsStorage": text}).storage.connection_string == text


# who needs what


def test_the_webhook_needs_storage_and_its_secret_only() -> None:
    env = {name: LEAST[name] for name in ("AzureWebJobsStorage", "NYLAS_WEBHOOK_SECRET")}
    assert IngestSettings.from_env({**env, "SWEEP_OVERLAP": "nonsense"}).webhook_secrets == ("hook-secret",)
    assert set(problems(env)) == {"NYLAS_API_KEY", "DATAVERSE_URL"}


def test_all_but_the_webhook_does_without_its_secret() -> None:
    env = {name: value for name, value in LEAST.items() if name != "NYLAS_WEBHOOK_SECRET"}
    assert Settings.from_env(env, but=FOR_WEBHOOK).nylas_api_key == LEAST["NYLAS_API_KEY"]
    with pytest.raises(SettingsError) as error:
        Settings.from_env({**env, "SWEEP_PAGE_SIZE": "many"}, but=FOR_WEBHOOK)
    assert set(error.value.problems) == {"SWEEP_PAGE_SIZE"}


def test_storage_needs_itself_only() -> None:
    assert StorageSettings.from_env({"AzureWebJobsStorage": CONNECTION}).connection_string == CONNECTION


@pytest.mark.parametrize("shape", [IngestSettings, StorageSettings])
def test_who_misses_its_own_tells_of_all_that_is_missing(shape: type[IngestSettings | StorageSettings]) -> None:
    """Whoever mends one setting should not meet the next problem afterwards."""
    with pytest.raises(SettingsError) as error:
        shape.from_env({"SYNC_SINCE": "nonsense"})
    assert set(error.value.problems) == {*LEAST, "SYNC_SINCE"}


# the key of what was erased


def test_the_key_is_sixty_four_hexadecimal_digits() -> None:
    assert ErasureKey.from_env({"ERASURE_KEY": "00fF" * 16}).required() == bytes.fromhex("00ff" * 16)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        pytest.param({}, "is missing", id="missing"),
        pytest.param({"ERASURE_KEY": " "}, "is missing", id="empty"),
        pytest.param({"ERASURE_KEY": "abc"}, "is not 64 hexadecimal digits", id="too short"),
        pytest.param({"ERASURE_KEY": "zz" * 32}, "is not 64 hexadecimal digits", id="no digits"),
        pytest.param({"ERASURE_KEY": "@Microsoft.KeyVault(SecretUri=x)"}, "Key Vault", id="no secret in the vault"),
    ],
)
def test_a_key_that_cannot_be_used_is_told_to_whoever_needs_it_and_stops_no_mail(
    env: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        ErasureKey.from_env(env).required()
    assert error.value.reason == "erasure_key"
    assert said in str(error.value)
    assert Settings.from_env({**LEAST, **env}).nylas_api_key == "nyk_secret"
