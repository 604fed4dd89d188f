"""What a stage file may say of the HTTP API: what is refused, and what each setting becomes."""

from __future__ import annotations

import json
import re
import zipfile
from functools import cache
from pathlib import Path

import pytest
import yaml

from infra.api_settings import Issuer
from infra.check import lint, violations
from tests.infra.stage_parts import STAGE, changed

PLACE = "stages/dev.yaml: api"
POOL = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_abc"
JWT = {"issuer": "https://issuer.example/tenant", "audience": "lectern"}
THROTTLE = {"rate": 20, "burst": 40}
MODELS = {
    "topics": {
        "task": "text-classification",
        "source": {"artifact": "s3://theirs/model.tar.gz"},
        "endpoint": {"kind": "none"},
        "batch": {"instance_type": "ml.m5.xlarge"},
    }
}
# Every setting of the API in one of few stages, each of which takes its time.
VARIANTS = {
    "plain": {"auth": "api-key"},
    "keys": {
        "auth": "api-key",
        "keys": ["team-a", "default", "team-b"],
        "tenancy": True,
        "quota": {"requests": 1000, "period": "week"},
        "cors": {"origins": ["https://a.example", "http://localhost:3000"]},
        "firewall": {"requests_per_5_minutes": 500},
        "function": {"memory_mb": 2048, "snap_start": True, "traces": True},
        "batches": {"buckets": ["theirs"], "expire_days": 3},
    },
    "jwt": {
        "auth": "jwt",
        "jwt": JWT,
        "pages": {"playground": False, "documentation": False},
        "firewall": {"managed_rules": False},
        "function": {"provisioned_concurrency": 3},
        "cors": {"origins": ["https://a.example"]},
    },
    "cognito": {
        "auth": "cognito",
        "cognito": {"user_pool_arn": POOL, "scopes": ["lectern/predict"]},
        "pages": {"playground": False},
    },
    "iam": {"auth": "iam", "tenancy": True, "cors": {"origins": ["*"]}},
    "open": {"auth": "open-to-everyone", "pages": {"documentation": False}},
}


def of_api(changes):
    return {f"api/{name}": value for name, value in changes.items()}


# What a stage file is refused for.


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"auth": "jwt"}, ".jwt: got nothing, but auth: jwt needs to know whose tokens"),
        ({"auth": "cognito"}, ".cognito: got nothing, but auth: cognito needs to know whose tokens"),
        ({"jwt": JWT}, ".jwt: got it with auth 'api-key', allowed with auth: jwt only: drop one of both"),
        ({"cognito": {"user_pool_arn": POOL}}, ".cognito: got it with auth 'api-key', allowed with auth: cognito only: drop one of both"),
        ({"auth": "iam", "keys": ["a"]}, ".keys: got it with auth 'iam', allowed with auth: api-key only: drop one of both"),
        ({"auth": "iam", "quota": {"requests": 1, "period": "day"}}, ".quota: got it with auth 'iam', allowed with auth: api-key only: drop one of both"),
        ({"auth": "open-to-everyone", "tenancy": True}, ".tenancy: got true with auth open-to-everyone, which tells no callers apart: use another auth"),
        ({"function": {"snap_start": True, "provisioned_concurrency": 1}}, ".function.snap_start: got true beside provisioned_concurrency, allowed is one of both: Lambda takes no more"),
        ({"keys": ["a", "b", "a"]}, ".keys: got 'a' twice: drop one of both"),
        ({"keys": ["a1", "a-1"]}, ".keys: got 'a-1' beside 'a1', and both become A1 in the templates: rename one"),
        ({"cors": {"origins": ["https://a.example", "*"]}}, ".cors.origins: got '*' beside others, which it holds already: drop it, or drop them"),
    ],
)  # fmt: skip
def test_settings_that_do_not_belong_together_are_refused_with_the_way_out(faults, changes, line):
    assert faults(of_api(changes)) == [f"{PLACE}{line}"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_settings_that_belong_together_are_taken(faults, variant):
    assert faults({"api": {"throttle": THROTTLE, **VARIANTS[variant]}}) == []


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"auth": "basic"}, ".auth: got 'basic', allowed are 'api-key', 'iam', 'jwt', 'cognito' or 'open-to-everyone'"),
        ({"auth": ...}, ".auth: got nothing, but it is required"),
        ({"auth": "jwt", "jwt": {"issuer": "https://a.example"}}, ".jwt.audience: got nothing, but it is required"),
        ({"auth": "jwt", "jwt": {**JWT, "audience": ""}}, ".jwt.audience: got ''"),
        ({"auth": "cognito", "cognito": {"user_pool_arn": "us-east-1_abc"}}, ".cognito.user_pool_arn: got 'us-east-1_abc'"),
        ({"throttle": {"rate": 0, "burst": 1}}, ".throttle.rate: got 0"),
        ({"throttle": {"rate": 10_001, "burst": 1}}, ".throttle.rate: got 10001"),
        ({"throttle": {"rate": 1, "burst": 5_001}}, ".throttle.burst: got 5001"),
        ({"quota": {"requests": 1, "period": "year"}}, ".quota.period: got 'year', allowed are 'day', 'week' or 'month'"),
        ({"keys": []}, ".keys: got a list of 0, allowed is at least 1"),
        ({"keys": ["Team"]}, ".keys.0: got 'Team'"),
        ({"cors": {"origins": []}}, ".cors.origins: got a list of 0, allowed is at least 1"),
        ({"cors": {"origins": ["https://a.example/"]}}, ".cors.origins.0: got 'https://a.example/'"),
        ({"cors": {"origins": ["a.example"]}}, ".cors.origins.0: got 'a.example'"),
        ({"firewall": {"requests_per_5_minutes": 9}}, ".firewall.requests_per_5_minutes: got 9"),
        ({"function": {"memory_mb": 128}}, ".function.memory_mb: got 128"),
        ({"function": {"provisioned_concurrency": -1}}, ".function.provisioned_concurrency: got -1"),
        ({"page": {}}, ".page: got a setting that does not exist: did you mean 'pages'"),
    ],
)  # fmt: skip
def test_a_setting_that_is_wrong_by_itself_is_named_with_what_was_given(faults, changes, place):
    told = faults(of_api(changes))
    assert len(told) == 1
    assert told[0].startswith(PLACE + place), told


@pytest.mark.parametrize(
    ("issuer", "taken"),
    [
        ("https://issuer.example", True),
        ("https://issuer.example:8443/tenant/v2.0/", True),
        ("http://127.0.0.1", True),
        ("http://127.0.0.1:9000/realm", True),
        ("http://issuer.example", False),
        # Who could answer for it is not this machine.
        ("http://127.0.0.1.example", False),
        ("http://127.0.0.1:80@issuer.example", False),
        ("https://issuer.example@other.example", False),
        ("https://issuer.example?tenant=1", False),
        ("https://issuer.example/#a", False),
        ("https://", False),
        ("file:///etc/passwd", False),
    ],
)
def test_an_issuer_is_reached_over_tls_or_is_this_machine(issuer, taken):
    from pydantic import TypeAdapter, ValidationError

    if taken:
        assert TypeAdapter(Issuer).validate_python(issuer) == issuer
    else:
        with pytest.raises(ValidationError):
            TypeAdapter(Issuer).validate_python(issuer)


# What the settings become.


class Variant:
    """One stage's synthesised API, what the rules found in it, and where it lies."""

    def __init__(self, name: str, folder: Path) -> None:
        stages, self.folder = folder / "stages", folder / "out"
        stages.mkdir()
        api = {"throttle": THROTTLE, **VARIANTS[name]}
        document = changed(STAGE, {"models": MODELS, "pipelines": {}, "api": api})
        (stages / f"{name}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        self.findings = violations(name, self.folder, stages=str(stages))
        self.path = self.folder / f"lectern-{name}-api.template.json"
        self.template = json.loads(self.path.read_text(encoding="utf-8"))

    def of_type(self, kind: str) -> dict[str, dict]:
        found = self.template["Resources"].items()
        return {name[:-8]: one["Properties"] for name, one in found if one["Type"] == kind}

    def function(self, id: str) -> dict:
        return self.of_type("AWS::Lambda::Function")[f"{id}Function"]

    def routes(self) -> dict[str, dict]:
        """Every method by verb and the ids of its path."""
        return self.of_type("AWS::ApiGateway::Method")

    def zip_of(self, id: str) -> Path:
        return self.folder / f"asset.{self.function(id)['Code']['S3Key']}"

    def names_in(self, id: str) -> list[str]:
        with zipfile.ZipFile(self.zip_of(id)) as archive:
            return archive.namelist()


@pytest.fixture(scope="module")
def variant(tmp_path_factory):
    """A stage by its name, synthesised once."""
    return cache(lambda name: Variant(name, tmp_path_factory.mktemp(name)))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_security_rules_find_nothing_in_any_variant(variant, name):
    assert variant(name).findings == []


def test_cfn_lint_finds_nothing_in_any_variant(variant, tmp_path):
    for name in VARIANTS:
        (tmp_path / f"{name}.template.json").write_bytes(variant(name).path.read_bytes())
    assert lint(tmp_path) == []


def test_each_key_is_called_by_its_own_name_wherever_it_stands_in_the_list(variant):
    found = variant("keys")
    keys = found.of_type("AWS::ApiGateway::ApiKey")
    assert set(keys) == {"ApiKeyTeamA", "ApiKey", "ApiKeyTeamB"}
    [plan] = found.of_type("AWS::ApiGateway::UsagePlan").values()
    assert plan["Quota"] == {"Limit": 1000, "Period": "WEEK"}
    assert plan["Throttle"] == {"RateLimit": 20, "BurstLimit": 40}
    of_plan = found.of_type("AWS::ApiGateway::UsagePlanKey").values()
    assert len(of_plan) == 3
    told = found.template["Outputs"]["ApiKeyIds"]["Value"]
    names = re.findall(r'"([a-z-]+)\\*":', json.dumps(told).replace("\\", ""))
    assert names == ["team-a", "default", "team-b"]
    # As a stage without the setting has it.
    assert set(variant("plain").of_type("AWS::ApiGateway::ApiKey")) == {"ApiKey"}


def test_a_route_takes_what_all_keys_together_may_send(variant):
    for name, times in (("plain", 1), ("keys", 3), ("jwt", 1), ("iam", 1)):
        [stage] = variant(name).of_type("AWS::ApiGateway::Stage").values()
        [setting] = stage["MethodSettings"]
        limits = (setting["ThrottlingRateLimit"], setting["ThrottlingBurstLimit"])
        assert limits == (20 * times, 40 * times), name


def test_a_key_with_quota_and_tenancy_is_told_to_the_function(variant):
    on, off = (variant(name).function("Front") for name in ("keys", "plain"))
    told = [each["Environment"]["Variables"]["TENANCY"] for each in (on, off)]
    assert told == ["on", "off"]


def test_a_firewall_stands_in_front_of_the_stage(variant):
    found = variant("keys")
    [association] = found.of_type("AWS::WAFv2::WebACLAssociation").values()
    [stage] = [n for n, r in found.template["Resources"].items() if r["Type"] == "AWS::ApiGateway::Stage"]  # fmt: skip
    [acl] = [n for n, r in found.template["Resources"].items() if r["Type"] == "AWS::WAFv2::WebACL"]
    _, [before, _, between, of_stage] = association["ResourceArn"]["Fn::Join"]
    assert (before, between) == ("arn:aws:apigateway:us-east-1::/restapis/", "/stages/")
    assert of_stage == {"Ref": stage}
    assert association["WebACLArn"] == {"Fn::GetAtt": [acl, "Arn"]}
    assert not variant("plain").of_type("AWS::WAFv2::WebACL")


def test_a_firewall_blocks_too_many_requests_and_known_attacks_but_no_text(variant):
    [acl] = variant("keys").of_type("AWS::WAFv2::WebACL").values()
    assert (acl["Scope"], acl["DefaultAction"]) == ("REGIONAL", {"Allow": {}})
    rate, *managed = acl["Rules"]
    assert rate["Action"] == {"Block": {}}
    limit = rate["Statement"]["RateBasedStatement"]
    assert (limit["Limit"], limit["EvaluationWindowSec"]) == (500, 300)
    groups = {}
    for rule in managed:
        assert rule["OverrideAction"] == {"None": {}}
        statement = rule["Statement"]["ManagedRuleGroupStatement"]
        overridden = statement.get("RuleActionOverrides", [])
        assert all(each["ActionToUse"] == {"Count": {}} for each in overridden)
        groups[statement["Name"]] = {each["Name"] for each in overridden}
    assert groups == {
        "AWSManagedRulesCommonRuleSet": {
            "CrossSiteScripting_BODY",
            "EC2MetaDataSSRF_BODY",
            "GenericLFI_BODY",
            "GenericRFI_BODY",
            "SizeRestrictions_BODY",
        },
        "AWSManagedRulesKnownBadInputsRuleSet": {"JavaDeserializationRCE_BODY", "Log4JRCE_BODY"},
        "AWSManagedRulesAmazonIpReputationList": set(),
    }
    # A text is a sampled request's, which would be kept.
    views = [acl["VisibilityConfig"], *(rule["VisibilityConfig"] for rule in acl["Rules"])]
    assert not any(view["SampledRequestsEnabled"] for view in views)
    [alone] = variant("jwt").of_type("AWS::WAFv2::WebACL").values()
    assert [rule["Name"] for rule in alone["Rules"]] == ["RateOfOneAddress"]


def preflights(found):
    return [m for m in found.routes().values() if m["HttpMethod"] == "OPTIONS"]


def test_a_page_of_another_origin_is_told_what_it_may_send(variant):
    for method in preflights(variant("jwt")):
        [response] = method["Integration"]["IntegrationResponses"]
        headers = response["ResponseParameters"]
        assert (
            headers["method.response.header.Access-Control-Allow-Origin"] == "'https://a.example'"
        )
        allowed = headers["method.response.header.Access-Control-Allow-Headers"].strip("'")
        assert {"x-api-key", "Authorization", "Content-Type", "Prefer", "Idempotency-Key", "x-amz-date"} <= set(allowed.split(","))  # fmt: skip
        assert headers["method.response.header.Access-Control-Allow-Methods"] == "'DELETE,GET,POST'"
        assert method["AuthorizationType"] == "NONE"
    assert len(preflights(variant("jwt"))) > len(paths_of(variant("jwt")))
    assert preflights(variant("plain")) == []


@pytest.mark.parametrize(
    ("name", "told", "origin"),
    [
        ("jwt", "https://a.example", "'https://a.example'"),
        ("keys", "https://a.example http://localhost:3000", "'*'"),
        ("iam", "*", "'*'"),
        ("plain", "", None),
    ],
)
def test_function_and_refusals_name_the_origins(variant, name, told, origin):
    found = variant(name)
    assert found.function("Front")["Environment"]["Variables"]["CORS_ORIGINS"] == told
    for refusal in found.of_type("AWS::ApiGateway::GatewayResponse").values():
        parameters = refusal["ResponseParameters"]
        header = parameters.get("gatewayresponse.header.Access-Control-Allow-Origin")
        assert header == origin, refusal["ResponseType"]


def paths_of(found):
    parts = found.of_type("AWS::ApiGateway::Resource").values()
    return {part["PathPart"] for part in parts}


def test_pages_that_are_off_are_no_routes(variant):
    def root_methods(name):
        gets = variant(name).routes().values()
        return [m for m in gets if m["HttpMethod"] == "GET" and "Fn::GetAtt" in m["ResourceId"]]

    pages = {"docs", "openapi.json"}
    assert pages <= paths_of(variant("plain"))
    assert pages <= paths_of(variant("cognito"))
    assert not pages & paths_of(variant("jwt"))
    assert not pages & paths_of(variant("open"))
    counts = {name: len(root_methods(name)) for name in ("plain", "open", "jwt", "cognito")}
    assert counts == {"plain": 1, "open": 1, "jwt": 0, "cognito": 0}
    for name, told in (("plain", "playground documentation"), ("jwt", ""), ("open", "playground")):
        assert variant(name).function("Front")["Environment"]["Variables"]["PAGES"] == told


@pytest.mark.parametrize("name", ["keys", "jwt"])
def test_a_function_that_is_kept_ready_is_called_by_its_alias(variant, name):
    found = variant(name)
    [alias] = [n for n, r in found.template["Resources"].items() if r["Type"] == "AWS::Lambda::Alias"]  # fmt: skip
    assert found.template["Resources"][alias]["Properties"]["Name"] == "live"
    for route, method in found.routes().items():
        if method["HttpMethod"] != "OPTIONS":
            assert {"Ref": alias} in method["Integration"]["Uri"]["Fn::Join"][1], route
    allowed = [
        permission
        for permission in found.of_type("AWS::Lambda::Permission").values()
        if "/authorizers/" not in str(permission["SourceArn"])
    ]
    assert allowed
    assert all(permission["FunctionName"] == {"Ref": alias} for permission in allowed)


def test_ready_means_a_snapshot_or_environments_that_run(variant):
    [snapshot] = variant("keys").of_type("AWS::Lambda::Alias").values()
    [kept] = variant("jwt").of_type("AWS::Lambda::Alias").values()
    assert "ProvisionedConcurrencyConfig" not in snapshot
    assert kept["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 3}
    snap_start = {
        name: variant(name).function("Front").get("SnapStart") for name in ("keys", "jwt")
    }
    assert snap_start == {"keys": {"ApplyOn": "PublishedVersions"}, "jwt": None}
    assert not variant("plain").of_type("AWS::Lambda::Alias")
    assert variant("keys").function("Front")["MemorySize"] == 2048


def allowed_to(found, role):
    policy = found.of_type("AWS::IAM::Policy")[f"{role}DefaultPolicy"]
    statements = policy["PolicyDocument"]["Statement"]
    return {
        action
        for each in statements
        for action in ([each["Action"]] if isinstance(each["Action"], str) else each["Action"])
    }


@pytest.mark.parametrize(("id", "role"), [("Front", "FrontRole"), ("LaterAsk", "LaterAskRole")])
def test_traces_are_sent_where_the_setting_says_so_and_nowhere_else(variant, id, role):
    xray = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
    with_traces, without = variant("keys"), variant("plain")
    assert with_traces.function(id)["TracingConfig"] == {"Mode": "Active"}
    assert without.function(id).get("TracingConfig", {"Mode": "PassThrough"})["Mode"] != "Active"
    assert xray <= allowed_to(with_traces, role)
    assert not xray & allowed_to(without, role)
    tops = {name.split("/")[0] for name in with_traces.names_in(id)}
    assert {"aws_xray_sdk", "wrapt"} <= tops
    compiled = [name for name in with_traces.names_in(id) if name.endswith(".so")]
    assert compiled
    assert all("aarch64" in name for name in compiled)
    told = {v: variant(v).function(id)["Environment"]["Variables"]["TRACES"] for v in ("keys", "plain")}  # fmt: skip
    assert told == {"keys": "on", "plain": "off"}


def test_the_judge_of_tokens_has_what_it_needs_for_lambdas_machines(variant):
    names = variant("jwt").names_in("Authorizer")
    assert {"handler.py", "jwt/__init__.py", "cryptography/__init__.py"} <= set(names)
    compiled = [name for name in names if name.endswith(".so")]
    assert [n for n in compiled if n.startswith("cryptography/hazmat/bindings/")]
    assert [n for n in compiled if n.startswith("_cffi_backend")]
    with zipfile.ZipFile(variant("jwt").zip_of("Authorizer")) as archive:
        for name in compiled:
            head = archive.read(name)[:20]
            # ELF for AArch64.
            assert (head[:4], head[18:20]) == (b"\x7fELF", b"\xb7\x00"), name
    environment = variant("jwt").function("Authorizer")["Environment"]["Variables"]
    assert environment == {"ISSUER": JWT["issuer"], "AUDIENCE": JWT["audience"]}


def test_functions_carry_nothing_that_their_settings_do_not_need(variant):
    assert variant("keys").names_in("Authorizer") == ["handler.py"]
    for id in ("Front", "Authorizer"):
        names = variant("plain").names_in(id)
        tops = {name.split("/")[0] for name in names}
        assert not tops & {"aws_xray_sdk", "wrapt", "jwt", "cryptography", "_cffi_backend"}
        assert not [name for name in names if name.endswith(".so")]


def test_every_bundle_is_the_same_bytes_each_time():
    from infra.lambda_bundle import function_zip

    for function, extras in (("api", []), ("api", ["traces"]), ("authorizer", ["jwt"])):
        made = []
        for _ in range(2):
            with function_zip(function, extras=extras) as path:
                made.append(Path(path).read_bytes())
        assert made[0] == made[1], (function, extras)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("plain", "CUSTOM"),
        ("jwt", "CUSTOM"),
        ("cognito", "COGNITO_USER_POOLS"),
        ("iam", "AWS_IAM"),
        ("open", "NONE"),
    ],
)
def test_every_route_but_the_open_ones_asks_who_calls(variant, name, kind):
    found = variant(name)
    asked = [m for m in found.routes().values() if m["AuthorizationType"] != "NONE"]
    # Models, batches and results, whatever the pages.
    assert len(asked) == (0 if kind == "NONE" else 9)
    assert {m["AuthorizationType"] for m in asked} <= {kind}
    keyed = {m.get("ApiKeyRequired", False) for m in asked}
    assert keyed == ({True} if name == "plain" else set() if name == "open" else {False})
    [api] = found.of_type("AWS::ApiGateway::RestApi").values()
    assert api.get("ApiKeySourceType") == ("AUTHORIZER" if name == "plain" else None)
    assert ("ApiKeyId" in found.template["Outputs"]) == (name == "plain")
    assert found.template["Outputs"]["ApiAuth"]["Value"] == VARIANTS[name]["auth"]


def test_a_pool_and_its_scopes_are_the_ones_of_the_settings(variant):
    found = variant("cognito")
    [authorizer] = found.of_type("AWS::ApiGateway::Authorizer").values()
    assert authorizer["ProviderARNs"] == [POOL]
    asked = [m for m in found.routes().values() if m["AuthorizationType"] != "NONE"]
    assert all(m["AuthorizationScopes"] == ["lectern/predict"] for m in asked)


def test_a_token_is_judged_by_an_authorizer_that_garbage_never_reaches(variant):
    [authorizer] = variant("jwt").of_type("AWS::ApiGateway::Authorizer").values()
    assert (authorizer["Type"], authorizer["AuthorizerResultTtlInSeconds"]) == ("TOKEN", 60)
    shape = authorizer["IdentityValidationExpression"]
    assert re.fullmatch(shape, "Bearer aa.bb-_.cc")
    for garbage in (
        "aa.bb.cc",
        "Bearer aa.bb",
        "Bearer aa.bb.",
        "Basic aa.bb.cc",
        "Bearer a b.c.d",
    ):
        assert not re.fullmatch(shape, garbage)


def test_keys_are_remembered_by_the_header_that_holds_them_and_by_no_other(variant):
    found = variant("plain").of_type("AWS::ApiGateway::Authorizer")
    remembered = {
        name: (one.get("IdentitySource"), one["AuthorizerResultTtlInSeconds"])
        for name, one in found.items()
    }
    assert remembered == {
        "ByHeader": ("method.request.header.x-api-key", 300),
        "ByEitherHeader": ("", 0),
    }


def test_where_requests_are_signed_an_unsigned_one_is_not_told_that_the_path_is_unknown(variant):
    def refusal(name):
        answers = variant(name).of_type("AWS::ApiGateway::GatewayResponse").values()
        [found] = [a for a in answers if a["ResponseType"] == "MISSING_AUTHENTICATION_TOKEN"]
        return found["StatusCode"], json.loads(found["ResponseTemplates"]["application/json"])

    status, document = refusal("iam")
    assert (status, document["type"]) == ("403", "urn:lectern:problem:unsigned")
    assert "Signature Version 4" in document["detail"]
    status, document = refusal("jwt")
    assert (status, document["type"]) == ("404", "urn:lectern:problem:not-found")
