"""Who may call an API of each kind, and what everybody else is told: over HTTP, on a local AWS."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.auth.conftest import ORIGIN, SECOND_ORIGIN, Api, refused
from tests.auth.issuer import Issuer

OTHER_ORIGIN = "http://localhost:4000"
UPLOAD = {"upload": {"content_type": "text/csv"}}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


OWNER = Credentials("123456789012", "local")


def signed(
    api: Api, method: str, path: str, body: bytes | None = None, credentials: Credentials = OWNER
) -> dict[str, str]:
    """The headers of a request that botocore signs for API Gateway."""
    request = AWSRequest(method=method, url=api.url + path, data=body)
    SigV4Auth(credentials, "execute-api", "us-east-1").add_auth(request)
    return dict(request.headers)


@pytest.fixture(scope="module")
def with_token(apis: dict[str, Api]) -> Api:
    return apis["jwt"]


@pytest.mark.parametrize("name", ["jwt", "cognito", "iam", "open"])
def test_health_and_pages_ask_nobody(apis: dict[str, Api], name: str) -> None:
    assert apis[name]("GET", "/v1/health").json() == {"status": "ok"}
    assert apis[name]("GET", "/").headers["Content-Type"].startswith("text/html")
    assert apis[name]("GET", "/v1/openapi.json").json()["openapi"].startswith("3.1")
    assert apis[name].outputs["ApiAuth"] == {"open": "open-to-everyone"}.get(name, name)


@pytest.mark.parametrize("kid", ["rsa", "ec"])
def test_a_token_of_the_issuer_is_let_in(with_token: Api, issuer: Issuer, kid: str) -> None:
    answer = with_token("GET", "/v1/models", headers=bearer(issuer.token(kid)))
    assert answer.status_code == 200, answer.text
    assert [model["name"] for model in answer.json()["models"]] == ["topics"]


@pytest.mark.parametrize(
    "claims", [{"aud": "another"}, {"iss": "https://elsewhere.example"}, {"exp": 1}, {"sub": None}]
)
def test_a_token_that_does_not_hold_is_unauthorized(
    with_token: Api, issuer: Issuer, claims: dict[str, Any]
) -> None:
    refused(with_token("GET", "/v1/models", headers=bearer(issuer.token(**claims))), 401, "unauthorized")  # fmt: skip


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": "a-key"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Basic YTpi"},
    ],
)
def test_without_a_token_a_caller_is_unauthorized(with_token: Api, headers: dict[str, str]) -> None:
    refused(with_token("POST", "/hf/models/topics", headers=headers, json={"inputs": "x"}), 401, "unauthorized")  # fmt: skip


def test_subjects_see_their_own_batches_and_no_others(with_token: Api, issuer: Issuer) -> None:
    ada, ben = (bearer(issuer.token(sub=subject)) for subject in ("ada", "ben"))
    # Another token of the same person, signed by another key.
    again = bearer(issuer.token("ec", sub="ada"))
    started = with_token("POST", "/v1/models/topics/batches", json=UPLOAD, headers=ada)
    assert started.status_code == 202, started.text
    path = f"/v1/batches/{started.json()['id']}"
    assert with_token("GET", path, headers=again).json()["state"] == "AwaitingUpload"
    listed = {
        who: [batch["id"] for batch in with_token("GET", "/v1/batches", headers=who_asks).json()["batches"]]
        for who, who_asks in (("ada", again), ("ben", ben))
    }  # fmt: skip
    assert listed == {"ada": [started.json()["id"]], "ben": []}
    for verb in ("GET", "DELETE"):
        refused(with_token(verb, path, headers=ben), 404, "unknown-batch")
    assert with_token("GET", path, headers=ada).json()["state"] == "AwaitingUpload"


def test_subjects_see_their_own_results_and_no_others(with_token: Api, issuer: Issuer) -> None:
    result, owner = f"20260101000000-{'a' * 32}", hashlib.sha256(b"sub:ada").hexdigest()[:32]
    [bucket] = [
        bucket["Name"]
        for bucket in with_token.road.client("s3").list_buckets()["Buckets"]
        if bucket["Name"].startswith("jwt-local-storage-data")
    ]
    record = {"model": "topics", "version": "1", "accept": "", "until": time.time() + 600}
    with_token.road.client("s3").put_object(
        Bucket=bucket, Key=f"results/{owner}/{result}/record.json", Body=json.dumps(record)
    )
    asked = {
        who: with_token("GET", f"/v1/results/{result}", headers=bearer(issuer.token(sub=who)))
        for who in ("ada", "ben")
    }
    assert asked["ada"].status_code == 202, asked["ada"].text
    refused(asked["ben"], 404, "unknown-result")


def test_a_user_of_the_pool_is_let_in(apis: dict[str, Api], pool: dict[str, str]) -> None:
    answer = apis["cognito"]("GET", "/v1/models", headers=bearer(pool["token"]))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kind", ["nothing", "another issuer's", "changed"])
def test_nobody_else_is_let_in_by_the_pool(
    apis: dict[str, Api], pool: dict[str, str], issuer: Issuer, kind: str
) -> None:
    head, body, signature = pool["token"].split(".")
    headers = {
        "nothing": {},
        "another issuer's": bearer(issuer.token()),
        "changed": bearer(f"{head}.{body}.{signature[:-8]}AAAAAAAA"),
    }[kind]
    refused(apis["cognito"]("GET", "/v1/models", headers=headers), 401, "unauthorized")


def test_a_signed_request_is_let_in(apis: dict[str, Api]) -> None:
    api = apis["iam"]
    answer = api("GET", "/v1/models", headers=signed(api, "GET", "/v1/models"))
    assert answer.status_code == 200, answer.text
    body = json.dumps(UPLOAD).encode()
    path = "/v1/models/topics/batches"
    headers = {**signed(api, "POST", path, body), "Content-Type": "application/json"}
    started = api("POST", path, data=body, headers=headers)
    assert started.status_code == 202, started.text


def user(api: Api, name: str, *statements: tuple[str, str]) -> Credentials:
    """A user who may, or may not, send what the end of an ARN names."""
    iam = api.road.client("iam")
    iam.create_user(UserName=name)
    arn = f"arn:aws:execute-api:us-east-1:123456789012:{api.outputs['ApiId']}/local/"
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": effect, "Action": "execute-api:Invoke", "Resource": arn + ending}
            for effect, ending in statements
        ],
    }
    iam.put_user_policy(UserName=name, PolicyName="api", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def test_a_caller_may_send_what_its_policies_allow_and_no_more(apis: dict[str, Api]) -> None:
    api = apis["iam"]
    reader = user(api, "reader", ("Allow", "GET/*"), ("Deny", "GET/v1/batches"))
    stranger = user(api, "stranger", ("Allow", "GET/v1/health"))
    path = "/v1/models"
    answer = api("GET", path, headers=signed(api, "GET", path, credentials=reader))
    assert answer.status_code == 200, answer.text
    body = json.dumps(UPLOAD).encode()
    for who, method, path, sent in (
        (reader, "GET", "/v1/batches", None),
        (reader, "POST", "/v1/models/topics/batches", body),
        (stranger, "GET", "/v1/models", None),
    ):
        headers = signed(api, method, path, sent, credentials=who)
        headers["Content-Type"] = "application/json"
        refused(api(method, path, data=sent, headers=headers), 403, "access-denied")


def test_a_key_of_nobody_is_refused(apis: dict[str, Api]) -> None:
    api = apis["iam"]
    nobody = Credentials("AKIAIOSFODNN7EXAMPLE", "a-secret")
    headers = signed(api, "GET", "/v1/models", credentials=nobody)
    answer = api("GET", "/v1/models", headers=headers)
    assert answer.status_code == 403
    # Of what it refuses for a reason of its own, the gateway names no status in the body.
    assert answer.json()["type"] == "urn:lectern:problem:refused"


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "a-key"}, {"Authorization": "Bearer a"}])
def test_an_unsigned_request_is_told_to_sign(apis: dict[str, Api], headers: dict[str, str]) -> None:
    document = refused(apis["iam"]("GET", "/v1/models", headers=headers), 403, "unsigned")
    assert "Signature Version 4" in document["detail"]


def test_an_open_api_lets_everyone_in(apis: dict[str, Api]) -> None:
    api = apis["open"]
    assert api("GET", "/v1/models").status_code == 200
    assert api("GET", "/v1/models", headers=bearer("whatever")).status_code == 200
    assert api("POST", "/v1/models/topics/batches", json=UPLOAD).status_code == 202
    refused(api("GET", "/v1/nowhere"), 404, "not-found")
    refused(api("POST", "/v1/models/topics", json={"outputs": 1}), 400, "malformed-body")


def preflight(api: Api, path: str, origin: str) -> requests.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return api("OPTIONS", path, headers=asked)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/topics", "/hf/models/topics", "/v1/batches/1", "/v1/results/1"])  # fmt: skip
def test_a_page_of_the_named_origin_may_ask_and_then_send(with_token: Api, path: str) -> None:
    answer = preflight(with_token, path, ORIGIN)
    assert answer.status_code == 204, answer.text
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert {"GET", "POST", "DELETE"} == set(answer.headers["Access-Control-Allow-Methods"].split(","))  # fmt: skip
    allowed = {h.lower() for h in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "content-type", "x-api-key", "idempotency-key", "prefer"} <= allowed
    assert answer.headers["Access-Control-Max-Age"] == "3600"


def test_a_page_of_the_named_origin_reads_answers_and_problems(
    with_token: Api, issuer: Issuer
) -> None:
    headers = {"Origin": ORIGIN, **bearer(issuer.token())}
    answers = {
        "answer": with_token("GET", "/v1/models", headers=headers),
        "of the function": with_token("GET", "/v1/batches/nobody", headers=headers),
        "of the gateway": with_token("GET", "/v1/models", headers={"Origin": ORIGIN}),
        "of no path": with_token("GET", "/v1/nowhere", headers={"Origin": ORIGIN}),
    }
    assert {what: answer.status_code for what, answer in answers.items()} == {
        "answer": 200,
        "of the function": 404,
        "of the gateway": 401,
        "of no path": 404,
    }
    for what, answer in answers.items():
        assert answer.headers.get("Access-Control-Allow-Origin") == ORIGIN, what
    exposed = answers["answer"].headers["Access-Control-Expose-Headers"]
    assert {"Location", "Retry-After", "x-request-id"} <= set(exposed.split(", "))
    assert answers["answer"].headers["Vary"] == "Origin"


def test_a_page_of_another_origin_reads_nothing(with_token: Api, issuer: Issuer) -> None:
    headers = {"Origin": OTHER_ORIGIN}
    answer = with_token("GET", "/v1/models", headers=headers | bearer(issuer.token()))
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    # These are said without a look at who asks: they name the one origin, which is not this one.
    for refusal in (
        with_token("GET", "/v1/models", headers=headers),
        preflight(with_token, "/v1/models", OTHER_ORIGIN),
    ):
        assert refusal.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize("origin", [ORIGIN, SECOND_ORIGIN, OTHER_ORIGIN])
def test_of_several_origins_each_is_named_to_its_own_pages(
    apis: dict[str, Api], origin: str
) -> None:
    api = apis["iam"]
    answer = api(
        "GET", "/v1/models", headers={"Origin": origin, **signed(api, "GET", "/v1/models")}
    )
    named = answer.headers.get("Access-Control-Allow-Origin")
    assert named == (None if origin == OTHER_ORIGIN else origin)
    asked = preflight(api, "/v1/models", origin)
    assert (asked.status_code, asked.content) == (204, b"")
    named = asked.headers["Access-Control-Allow-Origin"]
    assert named == (ORIGIN if origin == OTHER_ORIGIN else origin)


def test_without_the_setting_no_page_of_another_origin_may_do_anything(
    apis: dict[str, Api],
) -> None:
    api = apis["open"]
    assert "Access-Control-Allow-Origin" not in api("GET", "/v1/models", headers={"Origin": ORIGIN}).headers  # fmt: skip
    asked = preflight(api, "/v1/models", ORIGIN)
    assert asked.status_code == 404
    assert "Access-Control-Allow-Origin" not in asked.headers


def test_the_firewall_refuses_who_asks_too_often(apis: dict[str, Api]) -> None:
    answers = [apis["open"]("GET", "/v1/health") for _ in range(41)]
    refused(answers[-1], 403, "filtered")
    statuses = [answer.status_code for answer in answers]
    assert statuses == sorted(statuses), "once over the limit, it stays so"
    assert 25 <= statuses.count(200) <= 40, "of the 40, the other tests have asked a few"
    assert apis["iam"]("GET", "/v1/health").status_code == 200, "which has no firewall"
