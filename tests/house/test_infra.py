"""What `azd up` makes fits what the app needs: the templates parse, and their modules, settings and roles are real."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailsync.settings import Settings
from mailsync.storage.account import CONNECTIONS
from tests.house.bicep import Bicep, Declared, items, literal, properties, walk
from tests.house.published_modules import entry_of, role_ids
from tests.house.test_deployment import deployed

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
FILES = {path.relative_to(INFRA).as_posix(): Bicep.read(path) for path in sorted(INFRA.glob("**/*.bicep"))}
MAIN, FUNCTION, SECRETS, ROLES = (
    FILES[name] for name in ("main.bicep", "app/function.bicep", "app/secrets.bicep", "app/roles.bicep")
)
HOST = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
EXAMPLE = json.loads((ROOT / "local.settings.example.json").read_text(encoding="utf-8"))["Values"]
NO_FLEX = re.compile(
    "FUNCTIONS_(WORKER_RUNTIME(_VERSION)?|EXTENSION_VERSION|WORKER_PROCESS_COUNT)|WEBSITE_(RUN_FROM_PACKAGE|CONTENT.*|"
    "TIME_ZONE|NODE_DEFAULT_VERSION)|SCM_DO_BUILD_DURING_DEPLOYMENT|ENABLE_ORYX_BUILD|.*linuxFxVersion"
)
"""Settings that Flex Consumption ignores or refuses (read 2026-11)."""
LOCAL_ONLY = {
    "AzureWebJobsStorage",  # a key; the account takes none
    "AZURE_AUTHORITY_HOST",  # a managed identity asks no authority
    "FUNCTIONS_WORKER_RUNTIME",
    "REQUESTS_CA_BUNDLE",
}
PLATFORM = {
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__blobServiceUri",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
    "AZURE_CLIENT_ID",
}
"""Read by the host, the telemetry and azure-identity, and not by mailsync.settings."""
BY_THE_WIRING = {"SWEEP_SCHEDULE", "VERIFY_SCHEDULE"}
"""Read before any other setting is needed."""
ELSEWHERE = {"PYTHON_ENABLE_OPENTELEMETRY"}
"""The worker's other switch, for whoever brings an exporter of their own."""


def every(check: Callable[[Bicep], list[str]]) -> list[str]:
    return [f"{name}: {problem}" for name, file in FILES.items() for problem in check(file)]


def main(text: str) -> Bicep:
    return Bicep(text, INFRA / "main.bicep")


# the language


def test_every_template_is_bicep() -> None:
    assert len(FILES) == 7
    assert every(lambda file: file.errors) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("param location string", "param location: string", id="a colon after a parameter"),
        pytest.param("= if (vnetEnabled) {", "= if vnetEnabled {", id="a condition without brackets"),
        pytest.param("module plan 'br", "module plan = 'br", id="an equals sign too early"),
        pytest.param("    allowSharedKeyAccess: false\n", "    allowSharedKeyAccess = false\n", id="an assignment in an object"),
        pytest.param("output WEBHOOK_URL string =", "output WEBHOOK_URL string", id="an output without a value"),
        pytest.param("    reserved: true\n  }\n}", "    reserved: true\n  }\n", id="a brace too few"),
    ],
)  # fmt: skip
def test_what_is_no_bicep_is_refused(before: str, after: str) -> None:
    text = MAIN.path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    assert main(text.replace(before, after)).errors


def test_every_name_is_declared_and_used() -> None:
    assert every(lambda file: file.name_problems) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("output a string = nowhere", "nowhere is declared nowhere", id="an undeclared name"),
        pytest.param("param a string\n", "a is used nowhere", id="an unused parameter"),
        pytest.param("var a = 1\n", "a is used nowhere", id="an unused variable"),
        pytest.param("output a string = lower('A')", "lower is no function we know", id="a function of another language"),
        pytest.param("output a array = [for one in [1]: two]", "two is declared nowhere", id="another loop variable"),
        pytest.param("output a array = map([1], one => two)", "two is declared nowhere", id="another lambda parameter"),
    ],
)  # fmt: skip
def test_a_name_that_fits_nothing_is_told(text: str, problem: str) -> None:
    assert main(text).name_problems == [problem]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("output a array = [for (one, at) in [1]: one + at]", id="loop variables"),
        pytest.param("output a array = map([1], one => { one: one })", id="a lambda parameter that is a key as well"),
        pytest.param("@description('x')\nparam a string\noutput b string = '${a}'", id="decorators and interpolation"),
    ],
)
def test_a_name_that_something_binds_is_no_problem(text: str) -> None:
    assert main(text).name_problems == []


# modules


def test_every_module_gets_what_it_takes() -> None:
    assert sum(len(file.all("module")) for file in FILES.values()) > 15
    assert every(lambda file: file.module_problems) == []


def module(path: str, params: str) -> str:
    return f"module m '{path}' = {{\n  name: 'm'\n  params: {{ {params} }}\n}}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            module("br/public:avm/res/web/serverfarm:0.7.0", "name: 'a', sku: {}"),
            "m: br/public:avm/res/web/serverfarm:0.7.0 takes no sku",
            id="a parameter of an older version",
        ),
        pytest.param(
            module("br/public:avm/res/insights/component:0.8.0", "name: 'a'"),
            "m: workspaceResourceId is not passed",
            id="a required parameter left out",
        ),
        pytest.param(
            module("br/public:avm/res/web/serverfarm:0.7.0", "name: 'a', reserved: 'true'"),
            "m: reserved is bool, not string",
            id="another type",
        ),
        pytest.param(
            module("br/public:avm/res/storage/storage-account:0.33.0", "name: 'a', skuName: 'Standard_XRS'"),
            "m: skuName may not be Standard_XRS",
            id="a value that is not allowed",
        ),
        pytest.param(
            module("br/public:avm/res/web/site:0.15.1", "name: 'a'"),
            "m: br/public:avm/res/web/site:0.15.1 is no module whose parameters are known",
            id="a version nobody read",
        ),
        pytest.param(
            module("app/nothing.bicep", "name: 'a'"),
            "m: app/nothing.bicep is no module whose parameters are known",
            id="a file that is not there",
        ),
        pytest.param(
            module("monitor/workbook.bicep", "location: 'a', tags: {}, insightsId: 'b', colour: 'c'"),
            "m: monitor/workbook.bicep takes no colour",
            id="a parameter that a file of ours does not take",
        ),
        pytest.param(
            module("monitor/workbook.bicep", "location: 'a', insightsId: 'b'"),
            "m: tags is not passed",
            id="a parameter that a file of ours needs",
        ),
    ],
)
def test_what_does_not_fit_a_module_is_told(text: str, problem: str) -> None:
    assert main(text).errors == []
    assert main(text).module_problems == [problem]


def test_every_output_that_is_used_exists() -> None:
    assert every(lambda file: file.output_problems) == []


@pytest.mark.parametrize(
    ("path", "expression"),
    [
        pytest.param("br/public:avm/res/key-vault/vault:0.14.0", "m.outputs.vaultUri", id="of a published module"),
        pytest.param("app/network.bicep", "m!.outputs.nothing", id="of a file of ours"),
    ],
)
def test_an_output_that_a_module_does_not_have_is_told(path: str, expression: str) -> None:
    text = module(path, "") + f"output a string = {expression}"
    assert main(text).output_problems == [f"m has no output {expression.rpartition('.')[2]}"]


def test_an_entry_says_what_must_be_passed_what_is_allowed_and_what_comes_out() -> None:
    template: dict[str, Any] = {
        "definitions": {"lockType": {"type": "object", "nullable": True}},
        "parameters": {
            "name": {"type": "string"},
            "key": {"type": "secureString", "nullable": True},
            "lock": {"$ref": "#/definitions/lockType"},
            "size": {"type": "int", "defaultValue": 1, "allowedValues": [1, 2]},
        },
        "outputs": {"resourceId": {}, "name": {}},
    }
    assert entry_of(template) == {
        "parameters": {"key": "string", "lock": "object", "name": "string!", "size": "int"},
        "allowed": {"size": [1, 2]},
        "outputs": ["name", "resourceId"],
    }


# settings


def app_settings() -> dict[str, str]:
    """Every app setting of the template, with its expression."""
    given = properties(properties(MAIN.all("module")["app"].body)["params"])["settings"]
    platform = FUNCTION.all("variable")["platformSettings"].value
    assert platform is not None
    found = list(properties(given).items()) + list(properties(platform).items())
    assert len(found) == len(dict(found)), "a setting is given twice"
    return {name: (value.text or b"").decode() for name, value in found}


def known_settings() -> set[str]:
    """Names that mailsync.settings and the wiring read."""
    tree = ast.parse((ROOT / "mailsync/settings.py").read_text(encoding="utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = {text for text in texts if re.fullmatch(r"[A-Z]+(_[A-Z]+)+|AzureWebJobsStorage(__[a-z][A-Za-z]+)?", text)}
    endpoints = {f"AzureWebJobsStorage__{service}ServiceUri" for service in ("queue", "table")}
    return (names | endpoints | BY_THE_WIRING) - ELSEWHERE - {"AzureWebJobsStorage__accountName"}


def test_the_app_gets_each_setting_it_knows_and_no_other() -> None:
    assert set(app_settings()) == (known_settings() - LOCAL_ONLY) | PLATFORM
    assert set(EXAMPLE) - LOCAL_ONLY <= set(app_settings())


def test_every_setting_of_the_template_can_be_looked_up() -> None:
    reference = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert [name for name in app_settings() if f"`{name}`" not in reference] == []


def test_no_setting_is_one_that_flex_consumption_ignores() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in INFRA.glob("**/*.bicep"))
    names = set(re.findall(r"\b([A-Za-z_][\w]*)\s*:", text))
    assert [name for name in names if NO_FLEX.fullmatch(name)] == []


@pytest.mark.parametrize(
    "name", ["FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "WEBSITE_CONTENTSHARE", "linuxFxVersion"]
)
def test_a_setting_that_flex_consumption_ignores_is_recognised(name: str) -> None:
    assert NO_FLEX.fullmatch(name)


def test_the_settings_of_the_template_are_settings_the_app_accepts() -> None:
    """With its defaults, and what only a deployment knows filled in."""
    main_parameters = MAIN.all("parameter")
    values = {
        "AzureWebJobsStorage__queueServiceUri": "https://st1.queue.core.windows.net/",
        "AzureWebJobsStorage__tableServiceUri": "https://st1.table.core.windows.net/",
        "AzureWebJobsStorage__clientId": "6a1f",
        "NYLAS_API_KEY": "nyk",
        "NYLAS_WEBHOOK_SECRET": "whs",
        "DATAVERSE_URL": "https://contoso.crm4.dynamics.com",
    }
    for name, expression in app_settings().items():
        parameter = main_parameters.get(re.sub(r"^(toLower\(|string\()+|\)+$", "", expression))
        if parameter is not None and parameter.value is not None:
            values[name] = str(literal(parameter.value))
    settings = Settings.from_env(values)
    assert settings.storage.queue_uri == "https://st1.queue.core.windows.net"
    assert settings.instance_count == literal(main_parameters["maximumInstanceCount"].value)
    # a laptop has no Application Insights, and no other instance beside it
    own = {"INSTANCE_COUNT", "DATAVERSE_URL", "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"}
    defaults = {name: value.lower() for name, value in values.items() if EXAMPLE.get(name) and name not in own}
    assert defaults == {name: EXAMPLE[name] for name in defaults}, "defaults of the template are those of the app"


def test_each_secret_comes_from_the_vault_and_is_there() -> None:
    """A versionless reference: Azure follows it anew within a day of a rotation."""
    held = {
        literal(properties(resource.body)["name"])
        for resource in SECRETS.all("resource").values()
        if resource.type.startswith("Microsoft.KeyVault/vaults/secrets@")
    }
    referenced = {
        name: re.fullmatch(r"'@Microsoft\.KeyVault\(SecretUri=\$\{vaultUri\}secrets/([a-z-]+)\)'", text)
        for name, text in app_settings().items()
        if "KeyVault" in text
    }
    assert set(referenced) == {"NYLAS_API_KEY", "NYLAS_WEBHOOK_SECRET", "ERASURE_KEY"}
    assert {found and found.group(1) for found in referenced.values()} == held


def test_what_a_secret_is_made_of_is_shown_to_nobody() -> None:
    for file in (MAIN, SECRETS):
        text = file.path.read_text(encoding="utf-8")
        for name in file.all("parameter"):
            if re.search("secret|key$", name, re.IGNORECASE):
                assert re.search(rf"@secure\(\)\n(@.*\n)?param {name} string", text), name
    assert not [name for name in MAIN.all("output") if re.search("SECRET|_KEY$", name)]


def test_the_key_of_erasures_is_made_once() -> None:
    text = SECRETS.path.read_text(encoding="utf-8")
    assert "@onlyIfNotExists()\nresource erasureKey " in text
    assert text.count("newGuid()") == 2, "each holds 122 random bits"


# identity


def test_roles_are_the_documented_ones_and_each_is_given() -> None:
    documented = {name[0].lower() + name[1:].replace(" ", ""): role for name, role in role_ids().items()}
    variables = {name: literal(one.value) for name, one in ROLES.all("variable").items() if literal(one.value)}
    assert variables == documented
    everywhere = "\n".join(path.read_text(encoding="utf-8") for path in INFRA.glob("**/*.bicep"))
    assert set(re.findall(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", everywhere)) == set(documented.values())


@pytest.mark.parametrize(
    ("resource", "scope", "roles"),
    [
        pytest.param(
            "appStorageRoles",
            "storage",
            {"storageBlobDataOwner", "storageQueueDataContributor", "storageTableDataContributor"},
            id="the app in its storage account",
        ),
        pytest.param("appVaultRole", "vault", {"keyVaultSecretsUser"}, id="the app in the vault, reading only"),
        pytest.param("appInsightsRole", "insights", {"monitoringMetricsPublisher"}, id="the app in Application Insights"),
        pytest.param(
            "deployerStorageRoles",
            "storage",
            {"storageQueueDataContributor", "storageTableDataContributor"},
            id="whoever deploys, for the commands",
        ),
        pytest.param("deployerVaultRole", "vault", {"keyVaultSecretsOfficer"}, id="whoever deploys, for the secrets"),
    ],
)  # fmt: skip
def test_everybody_gets_the_least_roles(resource: str, scope: str, roles: set[str]) -> None:
    declared = ROLES.all("resource")[resource]
    assert (properties(declared.body)["scope"].text or b"").decode() == scope
    principal = (properties(properties(declared.body)["properties"])["principalId"].text or b"").decode()
    assert principal == ("appPrincipalId" if resource.startswith("app") else "deployerPrincipalId")
    text = (declared.value.text or b"").decode() if declared.value else ""
    lists = {"appOnStorage", "deployerOnStorage"}
    for name in lists & set(re.findall(r"\w+", text)):
        text += (ROLES.all("variable")[name].value.text or b"").decode()  # type: ignore[union-attr]
    assert set(re.findall(r"\w+", text)) & {name for name in ROLES.all("variable") if name not in lists} == roles
    assigned = [one for one in ROLES.all("resource").values() if "roleAssignments" in one.type]
    assert len(assigned) == 5


def value_of(declared: Declared, *path: str) -> str | int | bool | None:
    node = declared.body
    for name in path:
        node = properties(node)[name]
    return literal(node)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        pytest.param("storage", ("allowSharedKeyAccess",), False, id="nobody can use a key of the storage account"),
        pytest.param("storage", ("allowBlobPublicAccess",), False, id="no blob is public"),
        pytest.param("vault", ("enableRbacAuthorization",), True, id="the vault knows roles only"),
        pytest.param("vault", ("enablePurgeProtection",), True, id="a deleted vault can be had back"),
        pytest.param("insights", ("disableLocalAuth",), True, id="telemetry is taken from identities only"),
        pytest.param("insights", ("disableIpMasking",), False, id="no address of a caller is kept"),
        pytest.param("logs", ("forceCmkForQuery",), False, id="alert rules may query"),
        pytest.param("plan", ("skuName",), "FC1", id="Flex Consumption"),
        pytest.param("plan", ("reserved",), True, id="Linux"),
    ],
)
def test_what_is_made_is_closed_where_it_can_be(name: str, path: tuple[str, ...], value: object) -> None:
    assert value_of(MAIN.all("module")[name], "params", *path) == value


def test_the_app_runs_as_its_one_identity() -> None:
    site = properties(properties(FUNCTION.all("module")["site"].body)["params"])
    assert (site["keyVaultAccessIdentityResourceId"].text, literal(site["httpsOnly"])) == (b"identityId", True)
    assert [one.text for one in items(properties(site["managedIdentities"])["userAssignedResourceIds"])] == [
        b"identityId"
    ]
    authentication = properties(site["functionAppConfig"])["deployment"]
    assert b"type: 'UserAssignedIdentity'" in (authentication.text or b"")


# azd


def test_azd_asks_for_nothing_the_template_does_not_take_and_passes_all_it_does() -> None:
    passed = json.loads((INFRA / "main.parameters.json").read_text(encoding="utf-8"))["parameters"]
    assert set(passed) == set(MAIN.all("parameter"))
    variables = {name: re.fullmatch(r"\$\{([A-Z_]+)\}", one["value"]) for name, one in passed.items()}
    assert all(variables.values()), "unset variables leave the default of the template"
    for setting, expression in app_settings().items():
        parameter = re.sub(r"^(toLower\(|string\()+|\)+$", "", expression)
        if parameter in variables and setting != "INSTANCE_COUNT":
            assert variables[parameter].group(1) == setting, "a variable is named like the setting it becomes"  # type: ignore[union-attr]


def test_deploying_is_told_in_names_that_exist() -> None:
    told = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    passed = json.loads((INFRA / "main.parameters.json").read_text(encoding="utf-8"))["parameters"].values()
    known = set(MAIN.all("output")) | {one["value"].strip("${}") for one in passed} | set(app_settings())
    beside = {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID", "AZURE_AUTHORITY_HOST"}
    named = set(re.findall(r"(?:`|azd env set |azd env get-value )([A-Z]+(?:_[A-Z]+)+)\b", told))
    assert named - known - beside == set()
    assert set(MAIN.all("output")) - {"AZURE_LOCATION"} <= set(re.findall(r"\w+", told)), "each output is of use"
    secrets = {str(literal(properties(one.body)["name"])) for one in SECRETS.all("resource").values()} - {"None"}
    assert secrets == {name for name in secrets if name in told}
    given = set(re.findall(r"(\w+)=<?\w", told.partition("--parameters ")[2].partition("`")[0]))
    required = {name for name, one in MAIN.all("parameter").items() if one.value is None}
    assert given == required, "what a deployment without azd must say"


def test_azd_finds_the_app_by_its_tag() -> None:
    azure = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
    (service,) = azure["services"]
    assert azure["services"][service] == {"project": ".", "language": "python", "host": "function"}
    assert f"{{ 'azd-service-name': '{service}' }}" in FUNCTION.path.read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert azure["metadata"]["template"] == f"{project['name']}@{project['version']}"
    assert azure["name"] == project["name"]


def test_every_abbreviation_is_used() -> None:
    abbreviations = json.loads((INFRA / "abbreviations.json").read_text(encoding="utf-8"))
    assert set(re.findall(r"\{abbreviations\.(\w+)\}", MAIN.path.read_text(encoding="utf-8"))) == set(abbreviations)


def test_nothing_of_the_templates_is_deployed_with_the_app() -> None:
    tops = {path.parts[0] for path in deployed()}
    assert tops & {"infra", ".github", "azure.yaml", "docs", "tests", "CHANGELOG.md"} == set()


# the app


def test_the_webhook_is_where_the_template_says() -> None:
    tree = ast.parse((ROOT / "function_app.py").read_text(encoding="utf-8"))
    route, *_ = [
        keyword.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "route" and isinstance(keyword.value, ast.Constant)
    ]
    prefix = HOST["extensions"].get("http", {}).get("routePrefix", "api")
    assert f"}}/{prefix}/{route}'" in FUNCTION.path.read_text(encoding="utf-8")


def test_one_number_caps_the_instances_and_divides_the_limits() -> None:
    assert app_settings()["INSTANCE_COUNT"] == "string(maximumInstanceCount)"
    app = properties(properties(MAIN.all("module")["app"].body)["params"])
    assert app["maximumInstanceCount"].text == b"maximumInstanceCount"
    default = literal(MAIN.all("parameter")["maximumInstanceCount"].value)
    assert isinstance(default, int)
    assert 1 <= default <= 2, "more only make sense for a backfill (docs/throttling.md)"


def test_an_instance_takes_no_more_at_once_than_it_keeps_connections_for() -> None:
    text = MAIN.path.read_text(encoding="utf-8")
    most = re.search(r"@minValue\(1\)\n@maxValue\((\d+)\)\n@description\(.*\)\nparam httpConcurrency int", text)
    assert most is not None
    assert int(most.group(1)) <= CONNECTIONS
    queues = HOST["extensions"]["queues"]
    at_work = queues["batchSize"] + queues["newBatchThreshold"]
    assert at_work == literal(MAIN.all("parameter")["dataverseConcurrency"].value), "as many as may ask Dataverse"


def test_the_runtime_is_one_that_the_project_supports() -> None:
    runtime = next(
        properties(node)["version"]
        for node in walk(FUNCTION.root)
        if node.type == "object" and {"name", "version"} == set(properties(node))
    )
    least = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    version = tuple(map(int, str(literal(runtime)).split(".")))
    assert version >= tuple(map(int, least.removeprefix(">=").split(".")))
    matrix = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]["test"]["strategy"]
    assert literal(runtime) in matrix["matrix"]["python"]
