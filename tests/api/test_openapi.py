"""The OpenAPI document: valid, honest under schemathesis, and enough to generate a typed client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.api.hub_asks import LABELS, TEXT
from tests.api.served import SOURCES
from tests.road.walk import ROOT

# Made by `make test`; see requirements-clients.txt.
PYTHON = ROOT / ".venv-clients" / "bin" / "python"

HOOKS = "schemathesis_hooks.py"
# One model of each form of inputs; all of them once a release: LECTERN_FUZZ=all. One regular
# expression, since of several the last one counts.
LEFT_OUT = "/models/.+/batches$"
if os.environ.get("LECTERN_FUZZ") != "all":
    LEFT_OUT += (
        "|/(spans|fills|embeds|shortens|translates|rewrites|wakes)$"
        "|/hf/models/(judges|looks-up|reads)$"
    )


@pytest.fixture(scope="session")
def document(served, tmp_path_factory) -> Path:
    # Without a key: it is documentation.
    answer = requests.get(f"{served.url}/v1/openapi.json", timeout=60)
    assert answer.status_code == 200, answer.text
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    path.write_text(answer.text)
    return path


def test_the_document_is_valid_openapi_3_1(document):
    run = subprocess.run(
        [PYTHON, "-m", "openapi_spec_validator", "--schema", "3.1", document],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(document.read_text())["openapi"] == "3.1.0"


def test_every_model_has_the_schemas_of_its_task(document):
    described = json.loads(document.read_text())
    for name, (task, _) in SOURCES.items():
        operation = described["paths"][f"/v1/models/{name}"]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        first = schema.get("anyOf", [schema])[0]["$ref"]
        assert first.rpartition("/")[2] in described["components"]["schemas"]
        # A translation's name has both languages.
        assert task.startswith(operation["tags"][0])
        assert f"/hf/models/{name}" in described["paths"]


def test_every_example_is_taken_by_its_own_model(document, call):
    paths = json.loads(document.read_text())["paths"]
    for name in SOURCES:
        body = paths[f"/v1/models/{name}"]["post"]["requestBody"]["content"]["application/json"]
        answer = call("POST", f"/v1/models/{name}", json=body["example"])
        # Random weights know few words, masks and languages: what is asked must be understood.
        assert answer.status_code in (200, 422), answer.text
        if answer.status_code == 422:
            assert answer.json()["type"].endswith("invalid-input"), answer.text


# What starts a batch is real work: its own run sends few.
RUNS = {
    "all but the start of batches": [
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "3"),
        *("--exclude-path-regex", LEFT_OUT),
    ],
    "answers in CSV": [
        *("--phases", "examples,fuzzing", "--max-examples", "10"),
        *("--header", "accept: text/csv"),
        *("--include-path-regex", "^/v1/models/(sorts|judges|reads|writes|looks-up)$"),
    ],
    "the start of batches": [
        *("--phases", "fuzzing", "--max-examples", "8"),
        *("--include-path-regex", "/models/.+/batches$"),
    ],
}


@pytest.mark.parametrize("options", RUNS.values(), ids=RUNS)
def test_schemathesis_finds_no_server_error_and_nothing_undocumented(served, document, options):
    run = subprocess.run(
        [
            PYTHON.parent / "python",
            *("-m", "schemathesis.cli", "run", str(document), "--url", served.url),
            *("--header", f"x-api-key: {served.key}"),
            *("--checks", "not_a_server_error,status_code_conformance"),
            *("--checks", "content_type_conformance,response_schema_conformance"),
            *("--seed", "1", *options),
            *("--suppress-health-check", "all", "--request-timeout", "40", "--no-color"),
        ],
        capture_output=True,
        text=True,
        timeout=1800,
        cwd=document.parent,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(ROOT / "tests" / "api" / HOOKS)},
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]


def test_a_generated_client_asks_and_gets_typed_answers(served, document, tmp_path):
    made = subprocess.run(
        [
            PYTHON,
            *("-m", "openapi_python_client", "generate", "--path", str(document)),
            *("--meta", "none", "--output-path", str(tmp_path / "generated")),
        ],
        capture_output=True,
        text=True,
        timeout=180,
        env=_environment(),
    )
    assert made.returncode == 0, made.stdout + made.stderr
    asks = textwrap.dedent(
        f"""
        from generated import Client
        from generated.api.models import list_models
        from generated.api.text_classification import predict_sorts
        from generated.api.zero_shot_classification import predict_judges
        from generated.models.problem import Problem
        from generated.models.text_classification_request import TextClassificationRequest
        from generated.models.zero_shot_classification_request import ZeroShotClassificationRequest

        client = Client(base_url={served.url!r}, headers={{"x-api-key": {served.key!r}}})
        names = [model.name for model in list_models.sync(client=client).models]
        assert "sorts" in names, names
        body = TextClassificationRequest.from_dict({{"inputs": {TEXT!r}, "parameters": {{"top_k": 2}}}})
        answers = predict_sorts.sync(client=client, body=body)
        assert [type(one).__name__ for one in answers][0].startswith("TextClassification"), answers
        assert answers[0].score >= answers[1].score
        wrong = TextClassificationRequest.from_dict({{"inputs": {TEXT!r}, "parameters": {{"top_k": 0}}}})
        problem = predict_sorts.sync(client=client, body=wrong)
        assert isinstance(problem, Problem), problem
        assert problem.errors[0].field == "parameters.top_k"
        body = ZeroShotClassificationRequest.from_dict(
            {{"inputs": {TEXT!r}, "parameters": {{"candidate_labels": {LABELS!r}}}}}
        )
        assert sorted(predict_judges.sync(client=client, body=body).labels) == sorted({LABELS!r})
        print("asked")
        """
    )
    run = subprocess.run(
        [PYTHON, "-c", asks], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert run.stdout.strip() == "asked", run.stdout + run.stderr


def _environment() -> dict[str, Any]:
    # It tidies what it writes by ruff, which lies beside the interpreter of the tests.
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
