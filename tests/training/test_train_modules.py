"""The parts of training by themselves: files of tokens, the order of batches, thresholds."""

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score
from transformers import EvalPrediction

import encoded
from batches import Batches
from encoded import EncodedRows, Padding, Problem, encode
from selection import MOST_ENTRIES, history
from tests.inference import tiny
from tests.training.training_rows import LABELS, read_rows, write_rows
from thresholds import FEWEST_POSITIVES, best_single_threshold, label_thresholds
from validation_figures import measure


def problem(several=False, pairs=False):
    return Problem(several, pairs, {label: index for index, label in enumerate(LABELS)})


@pytest.mark.parametrize(("several", "pairs"), [(False, False), (True, False), (False, True)])
def test_rows_of_files_are_those_that_the_tokenizer_makes(tmp_path, several, pairs, monkeypatch):
    # Several chunks, the last of them not full.
    monkeypatch.setattr(encoded, "ROWS_AT_ONCE", 7)
    data = write_rows(tmp_path / "prepared", train=24, several=several, pairs=pairs)
    words = tiny.tokenizer()
    words.model_max_length = 12
    path = data / "train" / "rows.jsonl"
    encode(path, words, problem(several, pairs), tmp_path / "files")
    found = EncodedRows(tmp_path / "files")
    rows = read_rows(data, "train")
    assert len(found) == len(rows)
    longer = 0
    for index, row in enumerate(rows):
        texts = (row["text"], row["text_pair"]) if pairs else (row["text"],)
        expected = words(*texts, truncation=True, return_attention_mask=False)
        longer += len(words(*texts)["input_ids"]) > 12
        assert found.inputs(index) == dict(expected)
        names = row["labels"] if several else [row["label"]]
        given = found.labels[index]
        assert [LABELS[i] for i in (np.flatnonzero(given) if several else [given])] == [
            label for label in LABELS if label in names
        ]
    assert found.truncated == longer > 0


def test_tokens_are_read_from_disk_and_not_kept(tmp_path):
    data = write_rows(tmp_path / "prepared", train=24)
    encode(data / "train" / "rows.jsonl", tiny.tokenizer(), problem(), tmp_path / "files")
    rows = EncodedRows(tmp_path / "files")
    assert all(isinstance(tokens, np.memmap) for tokens in rows._tokens.values())
    batch = Padding(tiny.tokenizer())([rows[0], rows[1], rows[2]])
    assert batch["input_ids"].shape == (3, max(rows.lengths[:3]))
    assert batch["attention_mask"].sum(dim=1).tolist() == rows.lengths[:3].tolist()


def batches(lengths, **settings):
    return Batches(lengths, **{"batch_size": 16, "passes": 1, "seed": 13, **settings})


def test_an_epoch_holds_every_row_once_and_no_epoch_is_like_another():
    order = batches(np.arange(100) % 9)
    epochs = []
    for epoch in (0, 1, 0):
        order.epoch = epoch
        epochs.append(list(order))
    assert len(order) == len(epochs[0]) == 7
    assert sorted(row for batch in epochs[0] for row in batch) == list(range(100))
    assert epochs[0] == epochs[2] != epochs[1]
    other = batches(np.arange(100) % 9, seed=14)
    assert list(other) != epochs[0]


def test_short_texts_are_hardly_padded_in_batches_of_like_length():
    lengths = np.clip(np.random.default_rng(1).gamma(4, 5, 5000), 3, 128).astype(int)

    def share_of_padding(parts):
        padded = sum(len(part) * lengths[part].max() for part in parts)
        return 1 - lengths[np.concatenate(parts)].sum() / padded

    shuffled = np.array_split(np.random.default_rng(2).permutation(5000), 313)
    assert share_of_padding(batches(lengths).of_epoch(0)) < 0.05 < 0.4 < share_of_padding(shuffled)


@pytest.mark.parametrize("rows", [1, 5, 63, 64, 70, 100])
def test_every_process_has_the_same_number_of_equal_passes(rows):
    lengths = np.arange(rows) % 7
    given = {"batch_size": 4, "passes": 2, "processes": 4}
    shares = [list(batches(lengths, **given, process=p)) for p in range(4)]
    assert {len(share) for share in shares} == {len(batches(lengths, **given))}
    for each in zip(*shares, strict=True):
        assert len({len(part) for part in each}) == 1
        assert len(each[0]) in range(1, 5)
    assert {row for share in shares for part in share for row in part} == set(range(rows))


def scores_and_truth(seed=3, rows=200, labels=4):
    chance = np.random.default_rng(seed)
    true = chance.random((rows, labels)) < 0.3
    return np.round(np.clip(0.3 * true + 0.7 * chance.random((rows, labels)), 0, 1), 4), true


def test_thresholds_are_the_best_that_four_digits_allow():
    scores, true = scores_and_truth()
    grid = np.linspace(0.0001, 0.9999, 9999)
    for number, threshold in enumerate(label_thresholds(scores, true)):
        ours = f1_score(true[:, number], scores[:, number] >= threshold)
        best = max(f1_score(true[:, number], scores[:, number] >= t) for t in grid[::100])
        assert ours >= best
    single = best_single_threshold(scores, true)
    ours = f1_score(true, scores >= single, average="micro")
    assert ours >= max(f1_score(true, scores >= t, average="micro") for t in grid[::100])


def test_a_label_with_few_positives_gets_the_threshold_of_all():
    scores, true = scores_and_truth()
    true[:, 2] = False
    true[: FEWEST_POSITIVES - 1, 2] = True
    true[:, 3] = False
    found = label_thresholds(scores, true)
    single = best_single_threshold(scores, true)
    assert found[2] == found[3] == single
    assert found[0] != single
    assert best_single_threshold(scores, np.zeros_like(true)) == 0.5
    assert found == label_thresholds(scores.copy(), true.copy())


def test_of_equally_good_thresholds_the_one_nearest_a_half_is_taken():
    scores, true = np.array([0.9, 0.8, 0.1]), np.array([True, True, False])
    assert best_single_threshold(scores, true) == pytest.approx(0.45)
    assert best_single_threshold(np.full(3, 0.0), true) == 0.0001


def test_of_equally_right_epochs_the_one_with_the_lower_loss_is_chosen():
    labels = np.array([0, 1])
    sure, unsure = np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([[0.1, 0.0], [0.0, 0.1]])
    half = np.array([[9.0, 0.0], [9.0, 0.0]])
    of_one = measure(2, several=False)
    selection = [
        of_one(EvalPrediction(predictions=logits, label_ids=labels))["selection"]
        for logits in (half, unsure, sure)
    ]
    assert selection[0] < selection[1] < selection[2]


def test_one_more_right_row_of_few_does_not_outweigh_how_sure_a_model_is():
    labels = np.zeros(40, dtype=int)
    unsure = np.tile([0.1, 0.0], (40, 1))
    sure = np.tile([3.0, 0.0], (40, 1))
    unsure[:1] = [0.0, 0.1]
    sure[:2] = [0.0, 0.5]
    of_one = measure(2, several=False)
    found = [
        of_one(EvalPrediction(predictions=logits, label_ids=labels)) for logits in (unsure, sure)
    ]
    assert found[0]["accuracy"] > found[1]["accuracy"]
    assert found[0]["selection"] < found[1]["selection"]


def test_of_several_labels_micro_f1_decides_before_the_loss():
    labels = np.array([[1, 0], [0, 1], [1, 1]])
    signs = np.where(labels > 0, 1.0, -1.0)
    one_wrong = signs * 9
    one_wrong[0, 1] = 9.0
    of_several = measure(2, several=True)
    found = [
        of_several(EvalPrediction(predictions=logits, label_ids=labels))
        for logits in (one_wrong, signs * 0.1, signs)
    ]
    assert found[0]["selection"] < found[1]["selection"] < found[2]["selection"]
    assert found[2]["accuracy"] == found[2]["f1"] == found[2]["f1_micro"] == 1
    assert found[0]["accuracy"] == pytest.approx(2 / 3)


def test_figures_of_one_label_are_scikit_learn_s():
    chance = np.random.default_rng(4)
    logits, labels = chance.normal(size=(90, 5)), chance.integers(4, size=90)
    found = measure(5, several=False)(EvalPrediction(predictions=logits, label_ids=labels))
    predicted = logits.argmax(axis=1)
    assert found["f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert found["f1_micro"] == found["accuracy"] == pytest.approx(np.mean(labels == predicted))


def test_the_curves_of_a_long_training_keep_all_evaluations():
    log = [{"step": step, "epoch": step / 100, "loss": 1.0} for step in range(1, 2001)]
    figures = {"eval_loss": 0.5, "eval_accuracy": 1.0, "eval_f1": 1.0, "eval_f1_micro": 1.0}
    log += [
        {"step": step, "epoch": step / 100, "eval_selection": 1.0, **figures}
        for step in range(100, 2001, 100)
    ]
    kept = history(log)
    assert len(kept) <= MOST_ENTRIES
    assert sum("eval_loss" in entry for entry in kept) == 20
    assert kept[0]["step"] == 1
    assert kept[-1]["step"] == 2000
    assert json.dumps(kept)
