"""A search that SageMaker would refuse ends in a line of the stage file's own words."""

from __future__ import annotations

import pytest
import yaml

from infra.hyperparameter_settings import (
    CHOICES,
    NUMBERS,
    TUNABLE,
    WHOLE_NUMBERS,
    Hyperparameters,
)
from infra.stage_file import read_settings
from tests.infra.stage_parts import PIPELINE, STAGE, changed, every_place

RATE = {"learning_rate": {"min": 1e-5, "max": 1e-4, "scale": "logarithmic"}}
TUNE = {"max_jobs": 6, "max_parallel_jobs": 2, "ranges": RATE}
LARGE_GRID = {name: {"values": list(range(1, 31))} for name in ("batch_size", "epochs")}
GRID = {"batch_size": {"values": [16, 32]}, "class_weights": {"values": ["none", "balanced"]}}
HALVING = {"epochs": [1, 9], "learning_rate": [1e-5, 1e-4]}
AT = "stages/dev.yaml: pipelines.reviews.tune."


@pytest.mark.parametrize(
    "tune",
    [
        TUNE,
        {**TUNE, "strategy": "random", "ranges": {**RATE, **GRID, "epochs": [1, 4]}},
        {**TUNE, "strategy": "hyperband", "ranges": HALVING},
        {**TUNE, "strategy": "grid", "max_jobs": 4, "ranges": GRID},
        {"max_jobs": 1, "ranges": {"weight_decay": [0, 0.1]}, "objective": "eval_loss"},
        {"max_jobs": 750, "max_parallel_jobs": 100, "ranges": RATE, "early_stopping": True},
    ],
)
def test_a_search_that_sagemaker_would_take_is_taken(faults, tune):
    assert faults({"pipelines/reviews/tune": tune}) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"strategy": "bayes"}, "strategy: got 'bayes', allowed are 'bayesian', 'random', 'hyperband' or 'grid' (did you mean 'bayesian'?)"),
        ({"objective": "eval_recall"}, "objective: got 'eval_recall', allowed are 'eval_accuracy', 'eval_f1', 'eval_f1_micro' or 'eval_loss'"),
        ({"max_jobs": 751}, "max_jobs: got 751, allowed is 750 or less"),
        ({"max_parallel_jobs": 101, "max_jobs": 200}, "max_parallel_jobs: got 101, allowed is 100 or less"),
        ({"max_parallel_jobs": 7}, "max_parallel_jobs: got 7, allowed is max_jobs (6) or less"),
        ({"ranges": {}}, "ranges: got an empty mapping, allowed is at least 1"),
        ({"ranges": {"learning_rat": [1, 2]}}, "ranges.learning_rat: got 'learning_rat', allowed are batch_size, class_weights, early_stopping_patience, "),
        ({"ranges": {"max_length": [64, 128]}}, "ranges.max_length: got 'max_length', allowed are batch_size, "),
        ({"ranges": {"learning_rate": [1e-5]}}, "ranges.learning_rate: got a list of 1, allowed is a pair [min, max], a mapping with min and max, or a mapping with values"),
        ({"ranges": {"learning_rate": 1e-5}}, "ranges.learning_rate: got 1e-05, allowed is a mapping with exactly one of min and max or values"),
        ({"ranges": {"learning_rate": {"min": 1e-5}}}, "ranges.learning_rate.max: got nothing, but it is required: the highest value tried"),
        ({"ranges": {"learning_rate": {"min": 1e-5, "max": 1e-4, "scale": "log"}}}, "ranges.learning_rate.scale: got 'log', allowed are 'auto', 'linear' or 'logarithmic'"),
        ({"ranges": {"learning_rate": [0, 1e-4]}}, "ranges.learning_rate.min: got 0.0, allowed is more than 0.0: highest learning rate"),
        ({"ranges": {"warmup_ratio": [0.1, 1]}}, "ranges.warmup_ratio.max: got 1.0, allowed is less than 1.0"),
        ({"ranges": {"learning_rate": [1e-4, 1e-5]}}, "ranges.learning_rate.max: got 1e-05, allowed is more than min (0.0001): for one value set hyperparameters.learning_rate"),
        ({"ranges": {"epochs": [3, 3]}}, "ranges.epochs.max: got 3, allowed is more than min (3)"),
        ({"ranges": {"weight_decay": {"min": 0, "max": 0.1, "scale": "logarithmic"}}}, "ranges.weight_decay.scale: got 'logarithmic', allowed with min 0 are auto or linear"),
        ({"ranges": {"epochs": [1.5, 4]}}, "ranges.epochs.min: got 1.5, allowed is a whole number: passes over the training rows"),
        ({"ranges": {"batch_size": {"values": [16, 0]}}}, "ranges.batch_size.values.1: got 0, allowed is 1 or more"),
        ({"ranges": {"batch_size": {"values": [16, 16]}}}, "ranges.batch_size.values.1: got 16 a second time: remove it"),
        ({"ranges": {"batch_size": {"values": []}}}, "ranges.batch_size.values: got a list of 0, allowed is at least 1"),
        ({"ranges": {"batch_size": {"values": list(range(1, 32))}}}, "ranges.batch_size.values: got a list of 31, allowed is at most 30"),
        ({"ranges": {"batch_size": {"values": [[16]]}}}, "ranges.batch_size.values.0: got a list of 1, allowed is one value"),
        ({"ranges": {"class_weights": {"values": ["none", "some"]}}}, "ranges.class_weights.values.1: got 'some', allowed are 'none' or 'balanced'"),
        ({"ranges": {"class_weights": [0, 1]}}, "ranges.class_weights: got numbers from 0 to 1, allowed is a mapping with values: class_weights is no number"),
        ({"strategy": "grid", "ranges": RATE}, "ranges.learning_rate: got a range of numbers, allowed with strategy grid is a mapping with values"),
        ({"strategy": "grid", "ranges": GRID}, "max_jobs: got 6, allowed with these ranges and strategy grid is 4: every combination of the values is one job"),
        ({"strategy": "grid", "max_jobs": 750, "ranges": LARGE_GRID}, "ranges: got 900 combinations, allowed with strategy grid are 750 or less"),
        ({"strategy": "hyperband"}, "ranges.epochs: got nothing, allowed with strategy hyperband is [min, max]: jobs that fall behind end between these epochs"),
        ({"strategy": "hyperband", "ranges": {"epochs": [1, 9]}}, "ranges: got epochs alone, allowed with strategy hyperband is a second range"),
        ({"strategy": "hyperband", "ranges": HALVING, "early_stopping": True}, "early_stopping: got true, allowed with strategy hyperband is false"),
        ({"strategy": "hyperband", "ranges": {**HALVING, "epochs": {"min": 1, "max": 9, "scale": "linear"}}}, "ranges.epochs.scale: got 'linear', allowed with strategy hyperband is nothing"),
    ],
)  # fmt: skip
def test_a_search_that_sagemaker_would_refuse_is_refused_here(faults, change, line):
    [fault] = faults({"pipelines/reviews/tune": {**TUNE, **change}})
    assert fault.startswith(f"{AT}{line}")


def test_a_hyperparameter_is_given_or_tuned_and_never_both(faults):
    given = {"pipelines/reviews/hyperparameters": {"learning_rate": 2e-5}}
    [fault] = faults({"pipelines/reviews/tune": TUNE, **given})
    assert fault == (
        f"{AT}ranges.learning_rate: got a range, and hyperparameters.learning_rate is 2e-05: "
        "remove one of them"
    )


def test_the_short_form_of_a_range_is_the_long_one(tmp_path, faults):
    ranges = []
    for form in ([1e-5, 1e-4], {"min": 1e-5, "max": 1e-4}):
        assert faults({"pipelines/reviews/tune": {**TUNE, "ranges": {"learning_rate": form}}}) == []
        ranges.append(read_settings("dev", tmp_path).pipelines["reviews"].tune.ranges)
    assert ranges[0] == ranges[1]


@pytest.mark.parametrize("odd", [None, [], [1], [1, "a"], {}, {"a": {"b": 1}}, "", -1, 2.5, True])
def test_whatever_stands_in_a_search_is_a_fault_or_fine_but_never_a_crash(faults, odd):
    gate = {**PIPELINE["gate"], "also": [{"metric": "f1", "at_least": 0.5}]}
    pipeline = {**PIPELINE, "gate": gate, "tune": {**TUNE, "ranges": {**RATE, **GRID}}}
    document = changed(STAGE, {"pipelines/reviews": pipeline})
    for place in every_place(document["pipelines"], "/pipelines"):
        text = yaml.safe_dump(changed(document, {place.removeprefix("/"): odd}))
        for fault in faults(text):
            assert fault.startswith("stages/dev.yaml: "), fault


def test_each_hyperparameter_is_tuned_as_what_it_is():
    kinds = {name: field.annotation for name, field in Hyperparameters.model_fields.items()}
    assert all(kinds[name] is int for name in WHOLE_NUMBERS)
    assert all(kinds[name] is float for name in NUMBERS)
    assert not {kinds[name] for name in CHOICES} & {int, float}
    untuned = set(kinds) - set(TUNABLE)
    assert untuned == {"max_length", "gradient_checkpointing", "precision"}
