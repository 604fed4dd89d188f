from __future__ import annotations

import re
from dataclasses import replace

import pytest

from local.sagemaker import SageMakerError
from local.sagemaker.tuning import run
from local.sagemaker.tuning.request import Resources, plan

POOR = {"ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0.8", "MaxValue": "1.0"}]}
KIND = {"Name": "kind", "Values": ["a", "b"]}


def tuned(lab, name=None, seconds=30, **settings):
    """The description of a tuning job that has ended."""
    return lab.wait("HyperParameterTuningJob", lab.tune(name, **settings), seconds)


def value(summary):
    return summary["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]


@pytest.fixture(scope="module")
def bayesian(lab):
    """A finished Bayesian tuning job with ranges of all three types."""
    return tuned(
        lab,
        "bayesian-tuning",
        strategy="Bayesian",
        jobs=8,
        parallel=2,
        RandomSeed=7,
        ranges={
            "ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0.0", "MaxValue": "1.0"}],
            "IntegerParameterRanges": [{"Name": "epochs", "MinValue": "1", "MaxValue": "3"}],
            "CategoricalParameterRanges": [KIND],
        },
    )


def test_a_tuning_job_runs_its_training_jobs_and_names_the_best(lab, bayesian):
    assert bayesian["HyperParameterTuningJobStatus"] == "Completed", bayesian
    jobs = lab.tuned("bayesian-tuning")
    assert len(jobs) == 8
    for number, job in enumerate(jobs, 1):
        assert re.fullmatch(rf"bayesian-tuning-{number:03d}-[0-9a-f]{{8}}", job["TrainingJobName"])
    best = max(jobs, key=value)
    assert bayesian["BestTrainingJob"] == best
    assert best["ObjectiveStatus"] == "Succeeded"
    assert bayesian["TrainingJobStatusCounters"] == {
        "Completed": 8,
        "InProgress": 0,
        "RetryableError": 0,
        "NonRetryableError": 0,
        "Stopped": 0,
    }
    assert bayesian["ObjectiveStatusCounters"] == {"Succeeded": 8, "Pending": 0, "Failed": 0}
    assert "OverallBestTrainingJob" not in bayesian
    assert bayesian["HyperParameterTuningEndTime"] > bayesian["CreationTime"]


def test_a_tuned_job_is_a_training_job_with_static_and_tuned_values_as_texts(lab, bayesian):
    best = bayesian["BestTrainingJob"]
    job = lab.describe("TrainingJob", best["TrainingJobName"])
    assert job["TuningJobArn"] == bayesian["HyperParameterTuningJobArn"]
    assert best["TunedHyperParameters"].items() <= job["HyperParameters"].items()
    assert set(best["TunedHyperParameters"]) == {"rate", "epochs", "kind"}
    assert job["HyperParameters"]["epochs"] in ("1", "2", "3")
    assert 0 <= float(job["HyperParameters"]["rate"]) <= 1
    assert job["HyperParameters"]["sagemaker_program"] == "train.py"
    assert job["HyperParameters"]["_tuning_objective_metric"] == "f1"
    (metric,) = job["FinalMetricDataList"]
    assert metric["Value"] == value(best)
    assert f"models/{job['TrainingJobName']}/output/model.tar.gz" in lab.keys("models/")


def test_training_jobs_are_listed_by_their_objective_in_pages(lab, bayesian):
    by_value = {"SortBy": "FinalObjectiveMetricValue", "SortOrder": "Descending"}
    values = [value(job) for job in lab.tuned("bayesian-tuning", **by_value)]
    assert values == sorted(values, reverse=True)
    first = lab.call(
        "ListTrainingJobsForHyperParameterTuningJob",
        {"HyperParameterTuningJobName": "bayesian-tuning", "MaxResults": 5, **by_value},
    )
    rest = lab.tuned("bayesian-tuning", NextToken=first["NextToken"], **by_value)
    assert [value(job) for job in first["TrainingJobSummaries"] + rest] == values
    assert lab.tuned("bayesian-tuning", StatusEquals="Failed") == []
    assert lab.tuned("bayesian-tuning", StatusEquals="Failed", **by_value) == []


def test_a_tuning_job_puts_events_and_is_listed(lab, bayesian):
    arn = bayesian["HyperParameterTuningJobArn"]
    events = [
        (kind, detail["HyperParameterTuningJobStatus"])
        for kind, detail, arns in lab.platform.events
        if arns == [arn]
    ]
    label = "SageMaker HyperParameter Tuning Job State Change"
    assert events == [(label, "InProgress"), (label, "Completed")]
    (listed,) = lab.call(
        "ListHyperParameterTuningJobs",
        {"NameContains": "bayesian-", "StatusEquals": "Completed"},
    )["HyperParameterTuningJobSummaries"]
    assert listed["Strategy"] == "Bayesian"
    assert listed["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 8
    assert listed["TrainingJobStatusCounters"]["Completed"] == 8


def test_a_grid_tries_every_combination_once(lab):
    ranges = {"CategoricalParameterRanges": [KIND, {"Name": "rate", "Values": ["0.3", "0.5"]}]}
    job = tuned(lab, "grid", strategy="Grid", jobs=None, ranges=ranges)
    assert job["HyperParameterTuningJobStatus"] == "Completed", job
    found = [item["TunedHyperParameters"] for item in lab.tuned("grid")]
    assert sorted((item["kind"], item["rate"]) for item in found) == [
        ("a", "0.3"),
        ("a", "0.5"),
        ("b", "0.3"),
        ("b", "0.5"),
    ]
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"kind": "a", "rate": "0.3"}


def test_poor_jobs_are_stopped_early_by_the_median_of_the_jobs_before(lab):
    rates = {
        "CategoricalParameterRanges": [{"Name": "rate", "Values": ["0.3", "0.31", "0.32", "1.0"]}]
    }
    job = tuned(
        lab,
        "early",
        strategy="Grid",
        jobs=None,
        parallel=1,
        ranges=rates,
        static={"epochs": "40", "pause": "0.3"},
        TrainingJobEarlyStoppingType="Auto",
    )
    assert job["HyperParameterTuningJobStatus"] == "Completed", job
    *good, poor = lab.tuned("early")
    assert [item["TrainingJobStatus"] for item in good] == ["Completed"] * 3
    assert poor["TrainingJobStatus"] == "Stopped"
    assert poor["ObjectiveStatus"] == "Succeeded"
    assert value(poor) < 0.3
    assert job["TrainingJobStatusCounters"]["Stopped"] == 1
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"rate": "0.3"}


def test_without_early_stopping_a_poor_job_runs_to_its_end(lab):
    rates = {
        "CategoricalParameterRanges": [{"Name": "rate", "Values": ["0.3", "0.31", "0.32", "1.0"]}]
    }
    tuned(
        lab,
        "patient",
        strategy="Grid",
        jobs=None,
        parallel=1,
        ranges=rates,
        static={"epochs": "3", "pause": "0.3"},
    )
    assert {item["TrainingJobStatus"] for item in lab.tuned("patient")} == {"Completed"}


def test_hyperband_gives_poor_jobs_fewer_epochs(lab):
    resources = {"HyperbandStrategyConfig": {"MinResource": 2, "MaxResource": 18}}
    job = tuned(
        lab,
        "hyperband-true",
        strategy="Hyperband",
        jobs=4,
        parallel=1,
        RandomSeed=1,
        static={"epochs": "18", "pause": "0.5"},
        StrategyConfig=resources,
    )
    assert job["HyperParameterTuningJobStatus"] == "Completed", job
    jobs = lab.tuned("hyperband-true")
    stopped = [item for item in jobs if item["TrainingJobStatus"] == "Stopped"]
    assert stopped
    assert job["BestTrainingJob"]["TrainingJobStatus"] == "Completed"
    assert max(map(value, stopped)) < value(job["BestTrainingJob"])
    for item in stopped:
        lines = lab.log("/aws/sagemaker/TrainingJobs", item["TrainingJobName"])
        assert 2 <= sum("METRIC f1" in line for line in lines) < 18


def test_hyperband_reads_its_most_epochs_from_a_static_hyperparameter(lab):
    request = lab.tuning("any", strategy="Hyperband", static={"n_epochs": "7"})
    assert plan(request).resources == Resources(1, 7)


def test_no_more_jobs_run_at_once_than_the_limit_says(lab):
    name = lab.tune(jobs=5, parallel=3, ranges=POOR, static={"epochs": "2", "pause": "0.2"})
    most = 0
    while True:
        job = lab.describe("HyperParameterTuningJob", name)
        most = max(most, job["TrainingJobStatusCounters"]["InProgress"])
        if job["HyperParameterTuningJobStatus"] != "InProgress":
            break
    assert most == 3
    assert job["TrainingJobStatusCounters"]["Completed"] == 5


def test_a_stopped_tuning_job_stops_its_training_jobs(lab):
    name = lab.tune(jobs=4, ranges=POOR, static={"epochs": "60", "pause": "1"})
    lab.eventually(lambda: len(lab.tuned(name)) == 2)
    job = lab.describe("HyperParameterTuningJob", name)
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 2, "Failed": 0}
    assert "BestTrainingJob" not in job
    with pytest.raises(SageMakerError, match="is in progress: stop it"):
        lab.call("DeleteHyperParameterTuningJob", {"HyperParameterTuningJobName": name})
    lab.call("StopHyperParameterTuningJob", {"HyperParameterTuningJobName": name})
    job = lab.wait("HyperParameterTuningJob", name)
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert job["TrainingJobStatusCounters"]["Stopped"] == 2
    with pytest.raises(SageMakerError, match="is in status Stopped"):
        lab.call("StopHyperParameterTuningJob", {"HyperParameterTuningJobName": name})


def test_a_tuning_job_without_an_objective_fails_after_five_jobs(lab):
    job = tuned(lab, jobs=9, script="print('METRIC f2=0.5')")
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert "No objective metrics found after running" in job["FailureReason"]
    assert job["ObjectiveStatusCounters"]["Failed"] in (5, 6)
    assert "BestTrainingJob" not in job


def test_a_tuning_job_whose_jobs_all_fail_says_so_with_the_first_reason(lab):
    job = tuned(lab, script="print('METRIC f1=0.5')\nraise SystemExit(7)")
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("All training jobs failed.")
    assert "exit code: 7" in job["FailureReason"]
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 2


def test_one_failing_job_does_not_fail_the_others(lab):
    script = "import sys\nprint('METRIC f1=0.5')\nassert sys.argv[2] == 'a'"
    ranges = {"CategoricalParameterRanges": [KIND]}
    job = tuned(lab, strategy="Grid", jobs=None, ranges=ranges, script=script)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 1}
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"kind": "a"}


def test_tags_and_checkpoints_reach_the_training_jobs_and_a_deleted_job_leaves_them(lab):
    tags = [{"Key": "team", "Value": "text"}]
    request = {**lab.tuning("tagged", jobs=1, parallel=1), "Tags": tags}
    checkpoints = {"S3Uri": lab.uri("checkpoints/tagged")}
    request["TrainingJobDefinition"]["CheckpointConfig"] = checkpoints
    arn = lab.call("CreateHyperParameterTuningJob", request)["HyperParameterTuningJobArn"]
    lab.wait("HyperParameterTuningJob", "tagged")
    (job,) = lab.tuned("tagged")
    found = lab.describe("TrainingJob", job["TrainingJobName"])
    assert found["CheckpointConfig"] == checkpoints
    for tagged in (arn, job["TrainingJobArn"]):
        assert lab.call("ListTags", {"ResourceArn": tagged})["Tags"] == tags
    with pytest.raises(SageMakerError, match="must be unique") as taken:
        lab.tune("tagged")
    assert taken.value.code == "ResourceInUse"
    lab.call("DeleteHyperParameterTuningJob", {"HyperParameterTuningJobName": "tagged"})
    with pytest.raises(SageMakerError, match="can't find a tuning job") as missing:
        lab.describe("HyperParameterTuningJob", "tagged")
    assert missing.value.code == "ResourceNotFound"
    assert lab.describe("TrainingJob", job["TrainingJobName"])["TrainingJobStatus"] == "Completed"


def continuous(low, high, scale="Auto", name="rate"):
    item = {"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": scale}
    return {"ranges": {"ContinuousParameterRanges": [item]}}


def integer(low, high, scale="Auto"):
    item = {"Name": "rate", "MinValue": low, "MaxValue": high, "ScalingType": scale}
    return {"ranges": {"IntegerParameterRanges": [item]}}


def categorical(*values):
    return {"ranges": {"CategoricalParameterRanges": [{"Name": "rate", "Values": list(values)}]}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "n" * 33}, "length less than or equal to 32"),
        (continuous("0.5", "0.5"), "MinValue 0.5 must be less than MaxValue 0.5"),
        (continuous("low", "1"), "MinValue 'low' must be a number"),
        (continuous("0", "inf"), "MaxValue 'inf' must be a number"),
        (continuous("0", "1", "Logarithmic"), "values greater than 0"),
        (continuous("0.5", "1", "ReverseLogarithmic"), "within 0 <= x < 1"),
        (integer("1.5", "3"), "MinValue '1.5' must be a whole number"),
        (integer("1", "3", "ReverseLogarithmic"), "for continuous ranges only"),
        (categorical("a", "a"), "categorical values must be unique"),
        (continuous("0", "1", name="sagemaker_program"), "are static and tuned"),
        ({"ranges": {"IntegerParameterRanges": []}}, "1 to 30 hyperparameters can be tuned"),
        (
            {"ranges": {"CategoricalParameterRanges": [KIND, KIND]}},
            "names of hyperparameters must be unique",
        ),
        (
            {"ranges": {"AutoParameters": [{"Name": "rate", "ValueHint": "1"}]}},
            "AutoParameters is not implemented",
        ),
        (
            {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "f2"}},
            r"objective metric \[f2\] .* MetricDefinitions .* \['f1', 'loss'\]",
        ),
        ({"jobs": 2, "parallel": 3}, "MaxParallelTrainingJobs 3 must be less"),
        ({"jobs": None}, "MaxNumberOfTrainingJobs is missing"),
        ({"strategy": "Grid"}, r"Grid takes categorical ranges only: \['rate'\]"),
        (
            {"strategy": "Grid", "jobs": 5, **categorical("a", "b")},
            "it must be the number of combinations, 2",
        ),
        (
            {
                "strategy": "Grid",
                "ranges": {
                    "CategoricalParameterRanges": [
                        {"Name": f"h{n}", "Values": list("abcdefgh")} for n in range(30)
                    ]
                },
            },
            "combinations is too large",
        ),
        ({"strategy": "Hyperband"}, "HyperbandStrategyConfig.MaxResource is missing"),
        (
            {"strategy": "Hyperband", "static": {"epochs": "1"}},
            "MinResource 1 must be less than MaxResource 1",
        ),
        (
            {
                "strategy": "Hyperband",
                "static": {"epochs": "9"},
                "TrainingJobEarlyStoppingType": "Auto",
            },
            "TrainingJobEarlyStoppingType must be Off",
        ),
        (
            {"StrategyConfig": {"HyperbandStrategyConfig": {"MaxResource": 3}}},
            "for the strategy Hyperband only",
        ),
        (
            {"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 0.9}},
            "TuningJobCompletionCriteria is not implemented",
        ),
        ({"RandomSeed": -1}, "valid min value: 0"),
    ],
)
def test_a_tuning_request_that_cannot_be_run_makes_no_job(lab, change, words):
    change = dict(change)
    with pytest.raises(SageMakerError, match=words) as refusal:
        lab.tune(change.pop("name", "refused"), **change)
    assert refusal.value.code == "ValidationException"
    with pytest.raises(SageMakerError, match="can't find"):
        lab.describe("HyperParameterTuningJob", "refused")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"TrainingJobDefinition": None}, "TrainingJobDefinition is missing"),
        (
            {
                "WarmStartConfig": {
                    "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "a"}],
                    "WarmStartType": "TransferLearning",
                }
            },
            "WarmStartConfig is not implemented",
        ),
        ({"TrainingJobDefinitions": True}, "TrainingJobDefinitions is not implemented"),
        ({"Autotune": {"Mode": "Enabled"}}, "Autotune is not implemented"),
    ],
)
def test_members_that_do_not_run_here_are_refused(lab, members, words):
    request = {**lab.tuning("refused"), **members}
    if request.get("TrainingJobDefinitions"):
        request["TrainingJobDefinitions"] = [request.pop("TrainingJobDefinition")]
    request = {name: given for name, given in request.items() if given is not None}
    with pytest.raises(SageMakerError, match=words):
        lab.call("CreateHyperParameterTuningJob", request)


@pytest.mark.parametrize(
    ("member", "given", "words"),
    [
        ("ResourceConfig", None, "ResourceConfig is missing"),
        ("CheckpointConfig", {"S3Uri": "s3://b/c", "LocalPath": "/tmp"}, "under /opt/ml"),
        ("EnableManagedSpotTraining", True, "Invalid MaxWaitTimeInSeconds"),
        ("TuningObjective", {"Type": "Maximize", "MetricName": "f1"}, "TuningObjective is not"),
    ],
)
def test_the_training_definition_is_checked_as_a_training_request(lab, member, given, words):
    request = lab.tuning("refused")
    request["TrainingJobDefinition"][member] = given
    if given is None:
        del request["TrainingJobDefinition"][member]
    with pytest.raises(SageMakerError, match=words):
        lab.call("CreateHyperParameterTuningJob", request)


def test_a_tuning_job_ends_with_its_longest_runtime_and_keeps_the_best_so_far(lab, monkeypatch):
    rates = {"CategoricalParameterRanges": [{"Name": "rate", "Values": ["0.3", "0.9"]}]}
    request = lab.tuning(
        "bounded",
        strategy="Grid",
        jobs=None,
        ranges=rates,
        static={"epochs": "60", "pause": "1"},
    )
    limits = request["HyperParameterTuningJobConfig"]["ResourceLimits"]
    limits["MaxRuntimeInSeconds"] = 120
    # AWS takes no limit below two minutes.
    monkeypatch.setattr(run, "plan", lambda record: replace(plan(record), seconds=1.5))
    lab.call("CreateHyperParameterTuningJob", request)
    job = lab.wait("HyperParameterTuningJob", "bounded")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Completed"] == 1
    assert job["TrainingJobStatusCounters"]["Stopped"] == 1
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"rate": "0.3"}
