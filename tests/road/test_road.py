"""The road, walked once and in order: each test starts where the one before it ended.

deploy → train → approve → HTTP → batch → second version under load → broken artifacts → weak model →
kill -9. Everything goes through the real CDK CLI, the real command line, plain HTTP and plain boto3.
"""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import tarfile
import threading
import time
from typing import Any

import psutil
import pytest

from tests.road.walk import ROOT, Road, wait_for

EXAMPLES = ROOT / "examples" / "tickets"
REAL_DATA = ROOT.parent / "shared" / "data"
NAMED = ("--text-column", "message", "--label-column", "category")
BILLING = "My invoice shows a wrong amount and my card was charged twice"
INFERENCE = "lectern-local-inference"


def test_deploys_to_an_empty_local_aws_and_no_model_answers_yet(road: Road) -> None:
    road.lectern("deploy", "--local")
    assert road.status()["models"]["tickets"]["state"] == "NotDeployed"
    refused = road.api("POST", "/v1/models/tickets", json={"inputs": BILLING})
    assert refused.status_code in (409, 503)
    assert "approve" in refused.json()["detail"]


def test_first_version_is_trained_from_headerless_rows_and_waits_for_approval(road: Road) -> None:
    shown = road.lectern("train", "tickets", "--local", "--data", str(EXAMPLES / "data.csv"))
    assert "accuracy" in shown
    [package] = packages(road, "tickets")
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert road.status()["models"]["tickets"]["state"] == "NotDeployed"


def test_approval_brings_both_endpoints_up_without_editing_a_file(road: Road) -> None:
    road.lectern("approve", "tickets", "--local")
    models = road.status()["models"]
    for model in ("tickets", "tickets-serverless"):
        assert (models[model]["state"], models[model]["version"]) == ("InService", "1")
        assert road.ask(model, BILLING)["score"] > 0.5


def test_listens_on_the_loopback_address_only(road: Road) -> None:
    listening = [
        connection.laddr
        for process in road.processes()
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert road.port in {address.port for address in listening}
    assert len(listening) >= 3, "the gateway and two endpoints"
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_the_gateway_and_the_function_speak_problem_json(road: Road) -> None:
    cases = [
        (403, road.api("GET", "/v1/models", headers={"x-api-key": "unknown"})),
        (400, road.api("POST", "/v1/models/tickets", data="{", headers=as_json())),
        (400, road.api("POST", "/v1/models/tickets", data="", headers=as_json())),
        (404, road.api("POST", "/v1/models/nothing", json={"inputs": "x"})),
        (404, road.api("GET", "/v1/nothing")),
        (422, road.api("POST", "/v1/models/tickets", json={"inputs": "x", "parameters": {"a": 1}})),
    ]
    for status, response in cases:
        assert response.status_code == status, response.text
        assert response.headers["content-type"].startswith("application/problem+json")
        assert response.json()["status"] == status
    assert road.api("GET", "/v1/health", headers={"x-api-key": ""}).status_code == 200


def test_text_and_verbose_answers(road: Road) -> None:
    response = road.api(
        "POST",
        "/v1/models/tickets",
        data=BILLING,
        headers={"content-type": "application/x-text", "accept": "application/json;verbose"},
    )
    answer = response.json()
    assert set(answer) == {"probabilities", "labels", "predicted_label"}
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-4)


def test_batch_answers_every_line_but_the_malformed_one(road: Road, tmp_path: Any) -> None:
    lines = (EXAMPLES / "batch.jsonl").read_text().splitlines()
    bad = [number for number, line in enumerate(lines) if not is_json(line)]
    assert len(bad) == 1
    output = tmp_path / "answers.jsonl"
    road.lectern(
        "batch", "tickets", str(EXAMPLES / "batch.jsonl"), "--output", str(output), "--local"
    )
    answers = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(answers) == len(lines)
    assert [number for number, answer in enumerate(answers) if "error" in answer] == bad
    for line, answer in zip(lines, answers, strict=True):
        if is_json(line):
            assert answer["id"] == json.loads(line)["id"]


def test_batch_over_http_is_started_and_followed(road: Road) -> None:
    body = '{"id": "a", "inputs": "where is my parcel"}\nnot json\n'
    started = road.api(
        "POST",
        "/v1/models/tickets/batches",
        data=body,
        headers={"content-type": "application/jsonlines"},
    )
    assert started.status_code == 202, started.text
    path = f"/v1/batches/{started.json()['id']}"
    running = ("Queued", "Running", "InProgress", "RUNNING")
    finished = wait_for(
        "the batch",
        lambda: (state := road.api("GET", path).json())["state"] not in running and state,
        seconds=120,
    )
    assert finished["state"].lower() in ("completed", "succeeded"), finished


def test_a_second_version_replaces_the_first_and_no_request_fails(road: Road) -> None:
    road.lectern("train", "tickets", "--local", "--data", str(EXAMPLES / "named.csv"), *NAMED)
    assert road.status()["models"]["tickets"]["version"] == "1"
    with Traffic(road) as traffic:
        road.lectern("approve", "tickets", "--local")
        time.sleep(2)
    assert traffic.failures == []
    assert traffic.sent > 20
    assert "billing" in traffic.labels, "version 2 answers by name"
    assert {model["version"] for model in tickets_models(road)} == {"2"}
    assert road.ask("tickets", BILLING)["label"] == "billing"


def test_then_cdk_has_nothing_to_do(road: Road) -> None:
    diff = road.lectern("cdk", "--local", "diff", "--all")
    assert "Number of stacks with differences: 0" in diff or "no differences" in diff
    before = last_update(road)
    assert "(no changes)" in road.deploy("--all")
    assert last_update(road) == before
    assert road.ask("tickets", BILLING)["label"] == "billing"


@pytest.mark.parametrize("broken", ["cannot load", "missing"])
def test_a_broken_artifact_is_rolled_back_and_the_old_version_answers(
    road: Road, broken: str
) -> None:
    [bucket] = outputs(road, "lectern-local-storage", "ArtifactBucketName")
    key = f"pipelines/tickets/models/broken-{broken.replace(' ', '-')}/output/model.tar.gz"
    if broken == "cannot load":
        road.client("s3").put_object(Bucket=bucket, Key=key, Body=unloadable_artifact())
    shown = road.deploy(
        INFERENCE,
        "--exclusively",
        "--parameters",
        f"{INFERENCE}:TicketsModelData=s3://{bucket}/{key}",
        "--parameters",
        f"{INFERENCE}:TicketsVersion=99",
        fails=True,
    )
    assert "UPDATE_ROLLBACK_COMPLETE" in shown or "ROLLBACK" in shown
    assert ("smoke" in shown.lower()) if broken == "cannot load" else (key in shown)
    assert {model["version"] for model in tickets_models(road)} == {"2"}
    assert road.ask("tickets", BILLING)["label"] == "billing"
    assert road.ask("tickets-serverless", BILLING)["label"] == "billing"


def test_a_model_below_its_gate_fails_with_both_figures_and_registers_nothing(road: Road) -> None:
    before = packages(road, "tickets")
    shown = road.lectern(
        *("train", "tickets", "--local", "--data", str(EXAMPLES / "named.csv"), *NAMED),
        *("--gate", "0.9999", "--set", "Epochs=1"),
        fails=True,
    )
    assert "0.9999" in shown
    [execution, *_] = road.client("sagemaker").list_pipeline_executions(
        PipelineName="lectern-local-tickets", SortOrder="Descending"
    )["PipelineExecutionSummaries"]
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert packages(road, "tickets") == before
    assert road.ask("tickets", BILLING)["label"] == "billing"


@pytest.mark.skipif(
    not REAL_DATA.exists(), reason="the public datasets are not beside the checkout"
)
def test_movie_polarity_as_it_lies_reaches_its_accuracy(road: Road, tmp_path: Any) -> None:
    rows = (REAL_DATA / "movie_polarity" / "data.csv").read_text().splitlines(keepends=True)[:2000]
    (tmp_path / "data.csv").write_text("".join(rows))
    shown = road.lectern(
        *("train", "reviews", "--local", "--data", str(tmp_path / "data.csv"), "--json"),
        *("--set", "Epochs=1", "--set", "LearningRate=1e-4"),
    )
    assert json.loads(shown)["metrics"]["accuracy"]["value"] >= 0.76


def test_kill_9_in_the_middle_of_training_loses_nothing_deployed(road: Road) -> None:
    road.lectern(
        *("train", "tickets", "--local", "--data", str(EXAMPLES / "named.csv"), *NAMED),
        *("--no-watch", "--set", "Epochs=50", "--set", "Seed=99"),
    )
    sagemaker = road.client("sagemaker")

    def training() -> list[dict[str, Any]]:
        jobs = sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]
        return [
            job
            for job in jobs
            if sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])[
                "SecondaryStatus"
            ]
            == "Training"
        ]

    [job] = wait_for("the training job", training, seconds=120)
    processes = road.processes()
    processes[0].send_signal(signal.SIGKILL)
    _gone, alive = psutil.wait_procs(processes, timeout=15)
    assert not alive, f"outlived the server: {alive}"

    road.start()
    assert road.ask("tickets", BILLING)["label"] == "billing"
    ended = sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])
    assert ended["TrainingJobStatus"] == "Failed"
    assert "stopped" in ended["FailureReason"]
    assert {model["version"] for model in tickets_models(road)} == {"2"}


def test_plain_boto3_client_walks_the_raw_sagemaker_api(road: Road) -> None:
    """The script of a SageMaker user who never heard of Lectern."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "plain_boto3.py")],
        env=road.environment
        | {
            "AWS_ENDPOINT_URL": road.endpoint_url,
            "AWS_ACCESS_KEY_ID": "123456789012",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for shown in ("Completed", "eval_accuracy", "InService", "score"):
        assert shown in run.stdout


class Traffic:
    """One request every 100 ms from the beginning of the block to its end."""

    def __init__(self, road: Road) -> None:
        self.road, self.failures, self.labels, self.sent = road, [], set(), 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Traffic:
        self.road.ask("tickets", BILLING)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._over.wait(0.1):
            self.sent += 1
            response = self.road.api("POST", "/v1/models/tickets", json={"inputs": BILLING})
            if response.status_code == 200:
                self.labels.add(response.json()[0]["label"])
            else:
                self.failures.append(response.text)


def as_json() -> dict[str, str]:
    return {"content-type": "application/json"}


def is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def packages(road: Road, pipeline: str) -> list[dict[str, Any]]:
    return road.client("sagemaker").list_model_packages(
        ModelPackageGroupName=f"lectern-local-{pipeline}"
    )["ModelPackageSummaryList"]


def tickets_models(road: Road) -> list[dict[str, Any]]:
    models = road.status()["models"]
    return [models["tickets"], models["tickets-serverless"]]


def outputs(road: Road, stack: str, *names: str) -> list[str]:
    [found] = road.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    values = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    return [values[name] for name in names]


def last_update(road: Road) -> Any:
    [stack] = road.client("cloudformation").describe_stacks(StackName=INFERENCE)["Stacks"]
    return stack.get("LastUpdatedTime")


def unloadable_artifact() -> bytes:
    """A gzipped tar that is well-formed and holds no model."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        content = b"{}"
        entry = tarfile.TarInfo("config.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
