"""`huggingface_hub.InferenceClient`, unchanged, for every task: old and new, sync and async."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.api.hub_asks import ASKS, LABELS, TEXT
from tests.api.served import SOURCES
from tests.road.walk import ROOT

# Environments that `make test` makes; each has its own release of huggingface_hub.
RELEASES = {"0.36": ".venv-clients", "2.4": ".venv-transformers5"}
WAYS = [
    ("0.36", "header", "sync"),
    ("0.36", "bearer", "async"),
    ("2.4", "bearer", "sync"),
    ("2.4", "header", "async"),
]


@pytest.fixture(scope="session")
def asked(served) -> dict[Any, dict[str, Any]]:
    """What each client got, in each way of asking."""
    found = {}
    for release, kind, how in WAYS:
        python = ROOT / RELEASES[release] / "bin" / "python"
        script = ROOT / "tests" / "api" / "hub_asks.py"
        run = subprocess.run(
            [python, script, served.url, served.key, kind, how],
            capture_output=True,
            text=True,
            timeout=180,
            cwd=script.parent,
        )
        assert run.returncode == 0, run.stderr[-4000:]
        said = json.loads(run.stdout)
        assert said["version"].startswith(release)
        found[release, kind, how] = said["answers"]
    return found


def test_every_task_has_an_ask():
    # Its client has no call for text2text-generation.
    assert {model for model, _ in ASKS.values()} == set(SOURCES) - {"rewrites"}


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_labels_come_from_the_most_likely_to_the_least(asked, way):
    labels = asked[way]["classification"]
    assert len(labels) == 3
    assert sum(one["score"] for one in labels) == pytest.approx(1, abs=1e-5)
    assert labels == sorted(labels, key=lambda one: -one["score"])
    assert asked[way]["best label"] == labels[:1]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_zero_shot_labels_are_those_of_the_request(asked, way):
    for name in ("zero-shot", "zero-shot, own hypothesis"):
        assert {one["label"] for one in asked[way][name]} == set(LABELS)


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_spans_lie_in_the_text(asked, way):
    for span in asked[way]["spans"]:
        assert span["entity_group"]
        assert TEXT[span["start"] : span["end"]].lower() == span["word"]
    assert all(token["entity"] for token in asked[way]["tokens"])
    answer = asked[way]["answer"]
    assert TEXT[answer["start"] : answer["end"]] == answer["answer"]
    assert len(asked[way]["answers"]) == 2


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_texts_vectors_and_cells_have_their_forms(asked, way):
    answers = asked[way]
    assert answers["cells"]["cells"]
    assert len(answers["masks"]) == 3
    assert len(answers["vector"]) == 1 or isinstance(answers["vector"][0], float)
    same, other = answers["similarity"]
    assert same == pytest.approx(1, abs=1e-5)
    assert other < same
    assert isinstance(answers["summary"]["summary_text"], str)
    assert isinstance(answers["translation"]["translation_text"], str)
    assert not answers["generation"].startswith(TEXT)
    assert answers["whole text"].startswith(TEXT)
    assert "".join(answers["stream"]) == answers["generation"]
    assert answers["a parameter that is not served"] == answers["generation"]


def test_all_of_them_get_the_same(asked):
    first, *others = asked.values()
    for other in others:
        assert other == first


def test_shapes_differ_from_the_toolkits_where_the_table_says_so(served, call):
    def both(model: str, body: dict[str, Any]) -> tuple[Any, Any]:
        answers = [call("POST", f"/{front}/models/{model}", json=body) for front in ("v1", "hf")]
        assert [answer.status_code for answer in answers] == [200, 200], answers[1].text
        return answers[0].json(), answers[1].json()

    ours, theirs = both("sorts", {"inputs": TEXT, "parameters": {"top_k": None}})
    assert theirs == [ours]
    ours, theirs = both("judges", {"inputs": TEXT, "parameters": {"candidate_labels": LABELS}})
    assert [one["label"] for one in theirs] == ours["labels"]
    ours, theirs = both("embeds", {"inputs": TEXT})
    assert len(ours[0]) > 1, "a vector a token"


@pytest.mark.parametrize(
    ("model", "body", "field"),
    [
        ("sorts", {"inputs": TEXT, "parameters": {"top_k": 0}}, "parameters.top_k"),
        ("sorts", {"inputs": TEXT, "stream": True}, "stream"),
        ("judges", {"inputs": TEXT}, "parameters.candidate_labels"),
        ("embeds", {"inputs": {"source_sentence": "a", "sentences": "b"}}, "inputs.sentences"),
        ("sorts", {"parameters": {}}, "inputs"),
    ],
)
def test_what_is_wrong_is_said_with_its_field(call, model, body, field):
    answer = call("POST", f"/hf/models/{model}", json=body)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_the_client_tells_its_user_what_the_problem_was(served):
    code = (
        "from huggingface_hub import InferenceClient\n"
        f"client = InferenceClient(model={served.url + '/hf/models/sorts'!r}, token='no key')\n"
        "client.text_classification('a')\n"
    )
    python = ROOT / RELEASES["2.4"] / "bin" / "python"
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=120)
    assert "403" in run.stderr
    assert "Forbidden" in run.stderr
