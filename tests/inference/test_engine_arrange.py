"""Batches of like length, threads of a worker, padding: the engine without any model."""

import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import threads
from engine.arrange import batches
from engine.classifier import Classifier, Encoded, Labels, RunFailed
from engine.padding import padded

lengths = st.lists(st.integers(1, 600), max_size=200)


@given(lengths, st.integers(0, 2000), st.floats(0, 1))
def test_every_sequence_goes_once_within_budget_and_padding(lengths, budget, most_padding):
    arranged = list(batches(lengths, budget, most_padding))
    assert Counter(i for batch in arranged for i in batch) == Counter(range(len(lengths)))
    for batch in arranged:
        longest = max(lengths[i] for i in batch)
        tokens = longest * len(batch)
        assert len(batch) == 1 or tokens <= budget
        assert tokens - sum(lengths[i] for i in batch) <= most_padding * tokens


def test_no_batch_is_cut_short_without_need():
    assert list(batches([4, 4, 4, 4, 4], 16, 0.0)) == [[0, 1, 2, 3], [4]]
    assert list(batches([9, 10, 9, 500, 10], 512, 0.1)) == [[0, 2, 1, 4], [3]]


class Sums:
    """Stands for a model: its logits tell which sequence they are of, and that padding is none."""

    limit = None

    def __init__(self, fails_at=()):
        self.fails_at = fails_at
        self.batches = []

    def pad(self, batch):
        return padded([one.features for one in batch], {"input_ids": -1})

    def logits(self, batch):
        self.batches.append(batch["input_ids"].tolist())
        ids = batch["input_ids"]
        if np.isin(ids, self.fails_at).any():
            raise RunFailed("it cannot")
        kept = np.where(batch["attention_mask"] == 1, ids, 0)
        return np.stack([kept.sum(axis=1), kept.max(axis=1)], axis=1).astype(np.float32)


def classifier(sums, budget=64):
    return Classifier(sums, sums, Labels(("sum", "most"), None), budget)


def sequence(ids):
    return Encoded({"input_ids": ids, "attention_mask": [1] * len(ids)})


@given(st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=40), max_size=60))
def test_logits_come_back_in_the_order_given(rows):
    logits = classifier(Sums()).logits([sequence(row) for row in rows])
    assert logits.tolist() == [[sum(row), max(row)] for row in rows]


def test_equal_sequences_are_computed_once():
    sums = Sums()
    logits = classifier(sums).logits([sequence([1, 2]), sequence([3]), sequence([1, 2])])
    assert sorted(row for batch in sums.batches for row in batch) == [[1, 2], [3]]
    assert logits.tolist() == [[3, 2], [3, 3], [3, 2]]


def test_a_sequence_that_the_model_cannot_compute_costs_no_other():
    logits = classifier(Sums(fails_at=(7, 9))).logits(
        [sequence([1, 2]), sequence([7, 1]), sequence([3, 4]), sequence([9])]
    )
    assert logits[[0, 2]].tolist() == [[3, 2], [7, 4]]
    assert np.isnan(logits[[1, 3]]).all()


def test_padding_goes_to_the_side_and_with_the_values_that_are_asked_for():
    rows = [{"ids": [5, 6, 7], "types": [0, 1, 1]}, {"ids": [8], "types": [1]}]
    right = padded(rows, {"ids": 9})
    assert right["ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert right["types"].tolist() == [[0, 1, 1], [1, 0, 0]]
    assert padded(rows, {"ids": 9}, left=True)["ids"].tolist() == [[5, 6, 7], [9, 9, 8]]
    assert right["ids"].dtype == np.int64


@pytest.mark.parametrize(
    ("cores", "quota", "workers", "expected"),
    [
        (8, None, "2", 4),
        (8, None, "3", 2),
        (8, "max 100000", "1", 8),
        (8, "200000 100000", "1", 2),
        (8, "150000 100000", "1", 2),
        (8, "50000 100000", "4", 1),
        (2, "800000 100000", "1", 2),
        (4, None, "9", 1),
        # As many workers as cores.
        (8, None, None, 1),
        (8, None, "0", 1),
    ],
)
def test_workers_share_the_cores_that_the_container_may_use(
    monkeypatch, tmp_path, cores, quota, workers, expected
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(threads, "OLD_QUOTA", tmp_path / "absent")
    if quota:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.delenv("SAGEMAKER_MODEL_SERVER_WORKERS", raising=False)
    if workers is not None:
        monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_WORKERS", workers)
    assert threads.threads_per_worker() == expected


@pytest.mark.parametrize(("quota", "expected"), [("300000\n", 3), ("-1\n", 8)])
def test_the_older_quota_files_are_read_as_well(monkeypatch, tmp_path, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "absent")
    for name, text in (("OLD_QUOTA", quota), ("OLD_PERIOD", "100000\n")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(threads, name, tmp_path / name)
    assert threads.available_cores() == expected
