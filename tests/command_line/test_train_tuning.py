"""`lectern train` while a tuning job runs: its jobs, the best so far, and the best in the end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.command_line.conftest import Lectern
from tests.command_line.test_train import (
    ACCOUNT,
    EARLIER,
    EVALUATED,
    METRICS,
    PREPARED,
    REGISTERED,
    Run,
    rows,
    run,
    step,
)
from tests.functions.stand_ins import SageMaker

__all__ = ["rows", "run"]  # fixtures

TUNING = step("Tune", "Executing", TuningJob={"Arn": f"{ACCOUNT}:hyper-parameter-tuning-job/tune1"})
TUNED = TUNING | {"StepStatus": "Succeeded"}


def job(number: int, status: str, value: float | None, rate: str) -> dict[str, Any]:
    objective = {"Type": "Maximize", "MetricName": "eval_f1", "Value": value}
    over = {} if status == "InProgress" else {"TrainingEndTime": 1.7e9 + number}
    return over | {
        "TrainingJobName": f"tune1-{number}",
        "TrainingJobArn": f"{ACCOUNT}:training-job/tune1-{number}",
        "CreationTime": 1.7e9,
        "TrainingJobStatus": status,
        "TunedHyperParameters": {"learning_rate": rate, "learning_rate_schedule": '"linear"'},
        **({} if value is None else {"FinalHyperParameterTuningJobObjectiveMetric": objective}),
    }


FIRST = job(1, "Completed", 0.81234, "0.00002")
SECOND = job(2, "InProgress", None, "0.0000312345")
SECOND_OVER = job(2, "Completed", 0.9, "0.0000312345")
THIRD = job(3, "Completed", 0.85, "0.0001")
FOURTH = job(4, "Failed", None, "0.1") | {"FailureReason": "AlgorithmError:\nloss is nan"}


@pytest.fixture
def tune(sagemaker: SageMaker) -> Any:
    """Scripts what the tuning job has at each look."""

    def script(*looks: list[dict[str, Any]], kind: str = "Maximize") -> None:
        remaining = list(looks)
        shown: list[dict[str, Any]] = []

        def describe(asked: dict[str, Any]) -> dict[str, Any]:
            assert asked["HyperParameterTuningJobName"] == "tune1"
            shown[:] = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            sign = 1 if kind == "Maximize" else -1
            metric = "FinalHyperParameterTuningJobObjectiveMetric"
            scored = [one for one in shown if metric in one]
            best = max(scored, key=lambda one: sign * one[metric]["Value"], default=None)
            return {
                "HyperParameterTuningJobName": "tune1",
                "HyperParameterTuningJobConfig": {
                    "Strategy": "Bayesian",
                    "HyperParameterTuningJobObjective": {"Type": kind, "MetricName": "eval_f1"},
                    "ResourceLimits": {
                        "MaxNumberOfTrainingJobs": 4,
                        "MaxParallelTrainingJobs": 2,
                    },
                },
                "TrainingJobStatusCounters": {"Completed": len(scored), "InProgress": 1},
                **({"BestTrainingJob": best} if best else {}),
            }

        sagemaker.operations |= {
            "DescribeHyperParameterTuningJob": describe,
            "ListTrainingJobsForHyperParameterTuningJob": lambda _: {
                "TrainingJobSummaries": list(shown)
            },
        }

    return script


def told(err: str) -> list[str]:
    return [line.strip() for line in err.splitlines() if " of 4 " in line]


def test_each_job_is_told_once_with_its_figures_and_the_best_so_far(
    lectern: Lectern, run: Run, tune: Any, rows: Any
) -> None:
    tune([FIRST, SECOND], [FIRST, SECOND], [FIRST, SECOND_OVER, THIRD, FOURTH])
    run([PREPARED], [TUNING], [TUNING], [TUNED, EVALUATED, REGISTERED])
    ended = lectern("train", "tickets", "--data", str(rows))
    assert ended.code == 0
    assert told(ended.err) == [
        "1 of 4   learning_rate 2e-05  learning_rate_schedule linear  eval_f1 0.8123  best so far",
        "2 of 4   learning_rate 3.123e-05  learning_rate_schedule linear  eval_f1 0.9  best so far",
        "3 of 4   learning_rate 0.0001  learning_rate_schedule linear  eval_f1 0.85",
        "4 of 4   failed  learning_rate 0.1  learning_rate_schedule linear: AlgorithmError: loss is nan",
    ]
    assert "best job: tune1-2 with eval_f1 0.9: learning_rate 3.123e-05" in ended.out


def test_the_document_carries_the_best_job(
    lectern: Lectern, run: Run, tune: Any, rows: Any
) -> None:
    tune([FIRST, SECOND_OVER, THIRD])
    run([PREPARED], [TUNED, EVALUATED, REGISTERED])
    ended = lectern("train", "tickets", "--data", str(rows), "--json")
    assert ended.err == ""
    assert ended.json["best"] == {
        "job": "tune1-2",
        "hyperparameters": {"learning_rate": "0.0000312345", "learning_rate_schedule": "linear"},
        "objective": {"name": "eval_f1", "value": 0.9},
    }
    assert ended.json["training_metrics"] == {"eval_accuracy": 0.92}
    assert ended.json["metrics"] == METRICS


def test_the_best_of_an_objective_to_be_minimised_is_the_lowest(
    lectern: Lectern, run: Run, tune: Any, rows: Any
) -> None:
    tune([FIRST, SECOND_OVER, THIRD], kind="Minimize")
    run([TUNED, EVALUATED, REGISTERED])
    ended = lectern("train", "tickets", "--data", str(rows))
    assert ["best so far" in line for line in told(ended.err)] == [True, False, False]
    assert "best job: tune1-1" in ended.out


def test_a_stopped_job_is_never_the_best_so_far(
    lectern: Lectern, run: Run, tune: Any, rows: Any
) -> None:
    stopped = job(1, "Stopped", 0.95, "0.001")
    tune([stopped, SECOND_OVER, THIRD])
    run([TUNED, EVALUATED, REGISTERED])
    ended = lectern("train", "tickets", "--data", str(rows))
    assert ["best so far" in line for line in told(ended.err)] == [False, True, False]


def test_a_cached_tuning_tells_no_jobs_but_the_best(
    lectern: Lectern, run: Run, tune: Any, rows: Any, sagemaker: SageMaker
) -> None:
    tune([FIRST, SECOND_OVER])
    hit = {"CacheHitResult": {"SourcePipelineExecutionArn": EARLIER}}
    run([step("Tune", "Succeeded") | hit, EVALUATED, REGISTERED])
    steps = sagemaker.operations["ListPipelineExecutionSteps"]
    sagemaker.operations["ListPipelineExecutionSteps"] = lambda asked: (
        {"PipelineExecutionSteps": [TUNED]}
        if asked["PipelineExecutionArn"] == EARLIER
        else steps(asked)
    )
    ended = lectern("train", "tickets", "--data", str(rows))
    assert told(ended.err) == []
    assert "best job: tune1-2" in ended.out
