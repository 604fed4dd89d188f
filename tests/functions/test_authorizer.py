"""The function that tells the gateway who calls: by a key in two headers, or by a signed token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.auth.issuer import AUDIENCE, Issuer
from tests.functions.stand_ins import Context, function

METHOD = "arn:aws:execute-api:us-east-1:123456789012:abc/prod/GET/v1/batches/1"
WHOLE_STAGE = "arn:aws:execute-api:us-east-1:123456789012:abc/prod/*"
KEY = "a-secret-key-of-somebody"
Judge = Callable[[str | None], dict[str, Any]]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture
def authorizer(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setenv("ISSUER", issuer.url)
    monkeypatch.setenv("AUDIENCE", AUDIENCE)
    with function("authorizer") as module:
        yield module


@pytest.fixture
def judge(authorizer: ModuleType) -> Judge:
    """Hand over an Authorization header as a token authorizer gets it."""

    def ask(header: str | None) -> dict[str, Any]:
        event = {"type": "TOKEN", "methodArn": METHOD, "authorizationToken": header}
        answer: dict[str, Any] = authorizer.by_token(event, Context())
        return answer

    return ask


@pytest.fixture
def refused(judge: Judge) -> Callable[[str | None], None]:
    """Hand over a header that has to be refused in the one word that the gateway knows."""

    def ask(header: str | None) -> None:
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            judge(header)

    return ask


def asked_with(headers: dict[str, str] | None) -> dict[str, Any]:
    return {"type": "REQUEST", "methodArn": METHOD, "headers": headers}


def allows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = answer["policyDocument"]["Statement"]
    return statements


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": KEY},
        {"X-API-Key": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer   {KEY} "},
        {"x-api-key": KEY, "Authorization": "Bearer another"},
        {"x-api-key": "", "Authorization": f"Bearer {KEY}"},
    ],
)
def test_a_key_is_read_from_either_header(
    authorizer: ModuleType, headers: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    answer = authorizer.by_key(asked_with(headers), Context())
    assert answer["usageIdentifierKey"] == KEY
    # Who calls is what the gateway makes of the key: no part of it stands anywhere else.
    assert KEY not in json.dumps({n: v for n, v in answer.items() if n != "usageIdentifierKey"})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {},
        {"x-api-key": ""},
        {"Authorization": KEY},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer  "},
        {"Authorization": f"Basic {KEY}"},
        {"x-other": KEY},
    ],
)
def test_without_a_key_a_caller_is_unauthorized(
    authorizer: ModuleType, headers: dict[str, str] | None, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorizer.by_key(asked_with(headers), Context())
    assert KEY not in "".join(capfd.readouterr())


def test_what_is_allowed_is_the_whole_stage_since_the_answer_is_remembered_for_it(
    authorizer: ModuleType, judge: Judge, issuer: Issuer
) -> None:
    for answer in (
        authorizer.by_key(asked_with({"x-api-key": KEY}), Context()),
        judge(f"Bearer {issuer.token()}"),
    ):
        [statement] = allows(answer)
        assert statement == {
            "Action": "execute-api:Invoke",
            "Effect": "Allow",
            "Resource": WHOLE_STAGE,
        }


@pytest.mark.parametrize("kid", ["rsa", "ec"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_token_that_the_issuer_signed_is_its_subject(
    judge: Judge, issuer: Issuer, kid: str, scheme: str
) -> None:
    answer = judge(f"{scheme} {issuer.token(kid, sub='5d1c')}")
    assert answer["principalId"] == "5d1c"
    assert "usageIdentifierKey" not in answer


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256"])
def test_every_algorithm_of_a_key_is_taken(judge: Judge, issuer: Issuer, algorithm: str) -> None:
    assert judge(f"Bearer {issuer.token(algorithm=algorithm)}")["principalId"] == "someone"


def test_one_of_several_audiences_is_enough(judge: Judge, issuer: Issuer) -> None:
    assert judge(f"Bearer {issuer.token(aud=['other', AUDIENCE])}")["principalId"] == "someone"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": ["another", "lectern2"]},
        {"aud": None},
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
    ],
    ids=str,
)
def test_a_token_that_does_not_hold_is_refused(
    refused: Callable[[str], None], issuer: Issuer, claims: dict[str, Any]
) -> None:
    refused(f"Bearer {issuer.token(**claims)}")


def test_a_clock_may_be_a_little_late(judge: Judge, issuer: Issuer) -> None:
    assert judge(f"Bearer {issuer.token(exp=int(time.time()) - 5)}")["principalId"] == "someone"


def forged(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None) -> str:
    """A token that no library would make."""

    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    signed = ".".join(part(json.dumps(each).encode()) for each in (header, claims))
    if secret is None:
        return f"{signed}."
    return f"{signed}.{part(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_a_token_without_a_signature_is_refused(
    refused: Callable[[str], None], issuer: Issuer, algorithm: str
) -> None:
    refused(f"Bearer {forged({'alg': algorithm, 'kid': 'rsa'}, issuer.claims(), None)}")


@pytest.mark.parametrize("form", [PublicFormat.PKCS1, PublicFormat.SubjectPublicKeyInfo])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_public_key_is_no_shared_secret(
    refused: Callable[[str], None], issuer: Issuer, form: PublicFormat, encoding: Encoding
) -> None:
    secret = issuer.keys["rsa"].public_key().public_bytes(encoding, form)
    refused(f"Bearer {forged({'alg': 'HS256', 'kid': 'rsa'}, issuer.claims(), secret)}")


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "ES256"), ("ec", "RS256")])
def test_an_algorithm_of_another_kind_of_key_is_refused(
    refused: Callable[[str], None], issuer: Issuer, kid: str, algorithm: str
) -> None:
    refused(f"Bearer {forged({'alg': algorithm, 'kid': kid}, issuer.claims(), b'x')}")


@pytest.mark.parametrize("own", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())], ids=["rsa", "ec"])  # fmt: skip
def test_the_signature_of_another_under_a_known_name_is_refused(
    refused: Callable[[str], None], issuer: Issuer, own: Any
) -> None:
    kid = "rsa" if isinstance(own, rsa.RSAPrivateKey) else "ec"
    algorithm = "RS256" if kid == "rsa" else "ES256"
    refused(f"Bearer {jwt.encode(issuer.claims(), own, algorithm=algorithm, headers={'kid': kid})}")


@pytest.mark.parametrize("kid", ["unknown", None, 7])
def test_a_token_of_an_unknown_key_is_refused(
    refused: Callable[[str], None], issuer: Issuer, kid: object
) -> None:
    secret = b"0" * 256
    refused(f"Bearer {forged({'alg': 'RS256', 'kid': kid}, issuer.claims(), secret)}")


def test_a_changed_token_is_refused(refused: Callable[[str], None], issuer: Issuer) -> None:
    head, body, signature = issuer.token().split(".")
    other = issuer.token(sub="another").split(".")[1]
    refused(f"Bearer {head}.{other}.{signature}")
    refused(f"Bearer {head}.{body}.{signature[:-8]}AAAAAAAA")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer  ",
        "Bearer a",
        "Bearer a.b",
        "Bearer a.b.c",
        "Bearer ..",
        "Bearer é.é.é",
        "Bearer eyJhbGciOiJSUzI1NiJ9.W10.AAAA",
        "Bearer bnVsbA.bnVsbA.AAAA",
        "Bearer " + "a" * 5000,
        "Basic a.b.c",
    ],
)
def test_garbage_is_refused(refused: Callable[[str | None], None], header: str | None) -> None:
    refused(header)


def test_a_token_never_reaches_the_log(
    judge: Judge, issuer: Issuer, capfd: pytest.CaptureFixture[str]
) -> None:
    judge(f"Bearer {issuer.token()}")
    assert capfd.readouterr() == ("", "")
    token = issuer.token(aud="another", sub="a-person")
    with pytest.raises(Exception, match="Unauthorized"):
        judge(f"Bearer {token}")
    said, _ = capfd.readouterr()
    assert said == "refused a token: InvalidAudienceError\n"


def test_a_key_is_fetched_once_and_serves_every_token(judge: Judge, issuer: Issuer) -> None:
    for number in range(5):
        judge(f"Bearer {issuer.token(sub=str(number))}")
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


def test_unknown_keys_do_not_make_callers_ask_the_issuer_at_will(
    judge: Judge, refused: Callable[[str], None], issuer: Issuer
) -> None:
    judge(f"Bearer {issuer.token()}")
    for number in range(5):
        header = {"alg": "RS256", "kid": f"made-up-{number}"}
        refused(f"Bearer {forged(header, issuer.claims(), b'x')}")
    assert issuer.asked.count("/keys") == 1


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass for what remembers keys."""
    passed = [0.0]
    monotonic = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + passed[0])

    def wait(seconds: float) -> None:
        passed[0] += seconds

    return wait


def test_a_new_key_is_taken_and_the_old_one_still_while_it_is_published(
    judge: Judge, issuer: Issuer, later: Callable[[float], None]
) -> None:
    judge(f"Bearer {issuer.token()}")
    issuer.add("next")
    later(60)
    assert judge(f"Bearer {issuer.token('next', sub='new')}")["principalId"] == "new"
    assert judge(f"Bearer {issuer.token('rsa', sub='old')}")["principalId"] == "old"


def test_a_key_that_the_issuer_took_back_is_refused_soon(
    judge: Judge,
    refused: Callable[[str], None],
    issuer: Issuer,
    later: Callable[[float], None],
) -> None:
    stolen = issuer.token(sub="whoever has it")
    judge(f"Bearer {stolen}")
    del issuer.keys["rsa"]
    later(301)
    refused(f"Bearer {stolen}")


def test_an_issuer_that_is_down_is_a_fault_of_the_gateway_and_lets_nobody_in(
    judge: Judge, issuer: Issuer
) -> None:
    token = issuer.token()
    issuer.close()
    with pytest.raises(Exception, match="the issuer does not answer") as caught:
        judge(f"Bearer {token}")
    assert token not in str(caught.value)


@pytest.mark.parametrize("status", [404, 500])
def test_an_issuer_that_fails_is_asked_again_for_the_next_token(
    judge: Judge, issuer: Issuer, status: int
) -> None:
    issuer.status = status
    with pytest.raises(Exception, match="the issuer does not answer"):
        judge(f"Bearer {issuer.token()}")
    issuer.status = 200
    assert judge(f"Bearer {issuer.token()}")["principalId"] == "someone"


def test_keys_that_are_known_serve_while_the_issuer_is_down(
    judge: Judge, issuer: Issuer, later: Callable[[float], None]
) -> None:
    judge(f"Bearer {issuer.token()}")
    token = issuer.token(sub="meanwhile")
    issuer.close()
    later(120)
    assert judge(f"Bearer {token}")["principalId"] == "meanwhile"


def test_an_issuer_that_is_down_when_its_keys_are_old_is_a_fault_too(
    judge: Judge, issuer: Issuer, later: Callable[[float], None]
) -> None:
    judge(f"Bearer {issuer.token()}")
    token = issuer.token(sub="afterwards")
    issuer.close()
    later(301)
    with pytest.raises(Exception, match="the issuer does not answer"):
        judge(f"Bearer {token}")
