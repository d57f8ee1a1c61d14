"""The settings of this deployment, read from the environment, every problem reported at once and by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from mailsync.errors import ConfigurationError, Scope

T = TypeVar("T")
MISSING = "is missing"
Env = Mapping[str, str]

SWEEP_SCHEDULE = "0 */5 * * * *"
"""NCRONTAB of the sweep when the setting of that name is absent."""
VERIFY_SCHEDULE = "0 15 3 * * *"
"""Likewise of the nightly proof: a quarter past three, UTC."""
TELEMETRY = ("PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY", "PYTHON_ENABLE_OPENTELEMETRY")
"""The worker's own switches for OpenTelemetry: with the first one it configures Azure Monitor's exporter, with the
second one the exporter is somebody else's (azure-functions-runtime 1.3.0, read 2026-11)."""


def wants_telemetry(env: Env) -> bool:
    """Whether metrics and spans are wanted, by the words that the worker takes for yes."""
    return any(env.get(name, "").strip().lower() in {"1", "true", "t", "yes", "y"} for name in TELEMETRY)


DEVELOPMENT_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1"
)
"""What UseDevelopmentStorage=true stands for: the emulator's well-known account. The storage SDK for Python does not
know the short form, the Functions host does."""


ERASURE_KEY_BYTES = 32
DAY = 86_400
VAULT_REFERENCE = "@Microsoft.KeyVault("
"""How a reference begins that stands in an app setting; one that can't be followed is given to the app as it stands."""


FOR_DATAVERSE = frozenset(
    {
        *("DATAVERSE_URL", "DATAVERSE_CONCURRENCY", "DATAVERSE_NYLAS_ID_COLUMN"),
        *("INSTANCE_COUNT", "TRACKING_POLICY", "ADOPT_EXISTING"),
    }
)
"""What it takes to talk to Dataverse, whatever else is still missing."""
FOR_NYLAS = frozenset({"NYLAS_API_KEY", "NYLAS_API_URI"})
"""What it takes to talk to Nylas."""
FOR_WEBHOOK = frozenset({"NYLAS_WEBHOOK_SECRET"})
"""What only the webhook needs: while it is missing, mail still comes by the sweep."""
STORAGE = "AzureWebJobsStorage"
"""How each setting begins that says which storage account is meant."""


class SettingsError(ConfigurationError):
    """Settings are missing or malformed; the message names every one of them."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        told = "; ".join(f"{name}: {problem}" for name, problem in sorted(problems.items()))
        super().__init__(f"settings to mend: {told}", reason="settings", scope=Scope.ORGANISATION)
        self.problems = dict(problems)


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where queues and tables are: by connection string, or by the endpoints of an identity-based connection."""

    connection_string: str | None
    queue_uri: str | None = None
    table_uri: str | None = None
    client_id: str | None = None

    @classmethod
    def from_env(cls, env: Env) -> StorageSettings:
        """Raises SettingsError, naming every problem of the whole environment, if it is unusable."""
        reading = _Reading(env)
        settings = _storage(reading)
        if reading.problems:
            Settings.from_env(env)
        return settings


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """What the webhook needs, and no more: it must accept mail while other settings are being mended."""

    storage: StorageSettings
    webhook_secrets: tuple[str, ...]

    @classmethod
    def from_env(cls, env: Env) -> IngestSettings:
        """Raises SettingsError, naming every problem of the whole environment, if one of its own is unusable."""
        reading = _Reading(env)
        settings = cls(storage=_storage(reading), webhook_secrets=_secrets(reading))
        if reading.problems:
            Settings.from_env(env)
        return settings


@dataclass(frozen=True, slots=True)
class ErasureKey:
    """The key of the hashes that remain of what was erased or shortened; mail flows without it all the same."""

    value: bytes | None
    problem: str = MISSING

    @property
    def is_missing(self) -> bool:
        """Whether there is none at all."""
        return self.value is None and self.problem == MISSING

    @classmethod
    def from_env(cls, env: Env) -> ErasureKey:
        """What the environment holds; a key that can't be used is no trouble until somebody needs it."""
        reading = _Reading(env)
        value = reading.optional("ERASURE_KEY", _erasure_key, None)
        return cls(value, reading.problems.get("ERASURE_KEY", MISSING))

    def required(self) -> bytes:
        """The key; raises ConfigurationError where there is none that can be used."""
        if self.value is None:
            raise ConfigurationError(
                f"ERASURE_KEY {self.problem}; it is the one that hashed what was erased before, in the vault "
                "erasure-key, and where nothing was yet any 64 hexadecimal digits that stay for good",
                reason="erasure_key",
                scope=Scope.ORGANISATION,
            )
        return self.value


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. Spans are seconds, moments unix seconds."""

    storage: StorageSettings
    webhook_secrets: tuple[str, ...]
    nylas_api_key: str
    nylas_api_uri: str
    dataverse_url: str
    sweep_overlap: int
    sweep_page_size: int
    sweep_spread: int
    sync_since: int | None
    tracking_policy: str
    adopt_existing: bool
    nylas_id_column: str | None
    dataverse_concurrency: int
    instance_count: int
    freshness_bound: int
    journal_retention: int | None
    authority_host: str | None
    ca_bundle: str | None

    @classmethod
    def from_env(cls, env: Env, *, only: Collection[str] | None = None, but: Collection[str] = ()) -> Settings:
        """Raises SettingsError naming every missing or malformed setting.

        `only` those are needed, or all `but` those. What is wrong with others is passed over, and they are not to be
        used then.
        """
        reading = _Reading(env)
        settings = cls(
            storage=_storage(reading),
            webhook_secrets=_secrets(reading),
            nylas_api_key=reading.required("NYLAS_API_KEY", _text),
            nylas_api_uri=reading.optional("NYLAS_API_URI", _origin, "https://api.us.nylas.com"),
            dataverse_url=reading.required("DATAVERSE_URL", _origin),
            sweep_overlap=reading.optional("SWEEP_OVERLAP", _between(60, 86_400), 900),
            sweep_page_size=reading.optional("SWEEP_PAGE_SIZE", _between(1, 200), 40),
            sweep_spread=reading.optional("SWEEP_SPREAD", _between(0, 3_600), 240),
            sync_since=reading.optional("SYNC_SINCE", _moment, None),
            tracking_policy=reading.optional("TRACKING_POLICY", _text, "tracking.toml"),
            adopt_existing=reading.optional("ADOPT_EXISTING", _truth, True),
            nylas_id_column=reading.optional("DATAVERSE_NYLAS_ID_COLUMN", column_name, None),
            dataverse_concurrency=reading.optional("DATAVERSE_CONCURRENCY", _between(1, 52), 24),
            instance_count=reading.optional("INSTANCE_COUNT", _between(1, 1000), 1),
            freshness_bound=reading.optional("FRESHNESS_BOUND", _between(300, 604_800), 7_200),
            journal_retention=reading.optional("JOURNAL_RETENTION_DAYS", _days(30, 36_500), None),
            authority_host=reading.optional("AZURE_AUTHORITY_HOST", _text, None),
            ca_bundle=reading.optional("REQUESTS_CA_BUNDLE", _text, None),
        )
        needed = set(reading.problems if only is None else only) - set(but)
        problems = {name: problem for name, problem in reading.problems.items() if name in needed}
        if problems:
            raise SettingsError(problems)
        return settings


class _Reading:
    """Reads one environment, remembering what was wrong with it instead of stopping at the first problem."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self.problems: dict[str, str] = {}

    def required(self, name: str, parse: Callable[[str], T]) -> T:
        if not self.env.get(name, "").strip():
            self.problems[name] = MISSING
        return self.optional(name, parse, None)  # type: ignore[return-value]  # a problem is noted: never used

    def optional(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self.env.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(_followed(text))
        except ValueError as error:
            self.problems[name] = str(error)
            return default


def _storage(reading: _Reading) -> StorageSettings:
    env = reading.env
    account = env.get("AzureWebJobsStorage__accountName", "").strip()

    def endpoint(service: str) -> str | None:
        default = f"https://{account}.{service}.core.windows.net" if account else None
        return reading.optional(f"AzureWebJobsStorage__{service}ServiceUri", _url, default)

    queue_uri, table_uri = endpoint("queue"), endpoint("table")
    connection_string = reading.optional("AzureWebJobsStorage", _connection_string, None)
    if "AzureWebJobsStorage" not in reading.problems and not connection_string and not (queue_uri and table_uri):
        reading.problems["AzureWebJobsStorage"] = (
            "is missing (a connection string, or AzureWebJobsStorage__queueServiceUri and "
            "AzureWebJobsStorage__tableServiceUri for an identity)"
        )
    return StorageSettings(
        connection_string=connection_string,
        queue_uri=queue_uri,
        table_uri=table_uri,
        client_id=env.get("AzureWebJobsStorage__clientId", "").strip() or None,
    )


def _secrets(reading: _Reading) -> tuple[str, ...]:
    return reading.required("NYLAS_WEBHOOK_SECRET", _listed) or ()


def _connection_string(text: str) -> str:
    parts = {name.strip().lower() for name, found, _ in (part.partition("=") for part in text.split(";")) if found}
    if "usedevelopmentstorage" in parts:
        return DEVELOPMENT_STORAGE
    named = "accountname" in parts or {"queueendpoint", "tableendpoint"} <= parts
    if not (named and {"accountkey", "sharedaccesssignature"} & parts):
        raise ValueError("is not a storage connection string (it names an account, and a key or a signature)")
    return text


def _followed(text: str) -> str:
    """A value as it stands; a reference taken for the webhook's secret would refuse each notification for good."""
    if text.startswith(VAULT_REFERENCE):
        raise ValueError("is a reference to Key Vault that Azure could not follow; is the secret there, and the role?")
    return text


def _text(text: str) -> str:
    return text


def _listed(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if not parts:
        raise ValueError("holds no secret (several are separated by commas)")
    return parts


def _url(text: str) -> str:
    parts = urlsplit(text)
    local = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if not parts.hostname or parts.scheme not in ({"https", "http"} if local else {"https"}):
        raise ValueError("is not an https address such as https://example.crm.dynamics.com")
    if parts.query or parts.fragment or parts.username or not _has_good_port(parts):
        raise ValueError("is an address with a query, a fragment, a user name or a bad port; give the bare address")
    return text.rstrip("/")


def _origin(text: str) -> str:
    url = _url(text)
    if urlsplit(url).path:
        raise ValueError("is an address with a path; give the bare address such as https://example.crm.dynamics.com")
    return url


def _has_good_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _between(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"is not a whole number from {least} to {most}")
        return int(text)

    return parse


def _days(least: int, most: int) -> Callable[[str], int]:
    """Whole days, in seconds."""
    return lambda text: _between(least, most)(text) * DAY


def _erasure_key(text: str) -> bytes:
    if not re.fullmatch(rf"[0-9A-Fa-f]{{{2 * ERASURE_KEY_BYTES}}}", text):
        raise ValueError(f"is not {2 * ERASURE_KEY_BYTES} hexadecimal digits")
    return bytes.fromhex(text)


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a date such as 2026-01-31 or 2026-01-31T08:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp())


def _truth(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError("is neither true nor false")
    return text.lower() == "true"


def column_name(text: str) -> str:
    """The logical name of a custom column; raises ValueError."""
    if not re.fullmatch(r"[a-z][a-z0-9]*_[a-z0-9_]{1,90}", text):
        raise ValueError("is not the logical name of a custom column such as contoso_nylasid")
    return text
