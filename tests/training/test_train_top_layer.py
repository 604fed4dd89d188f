"""Training the head on features computed once: the result of recomputing them, and faster."""

import pytest

import head
from tests.training import encoders
from tests.training.running import largest_difference, record_of, train_on, weights_of
from tests.training.training_rows import write_rows

TOP = ("--train_only_top_layer=True", "--epochs=3", "--learning_rate=5e-3")
BASES = {
    "bert": encoders.bert,
    "distilbert": encoders.distilbert,
    "roberta": encoders.roberta,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("rows")
    return {several: write_rows(root / str(several), several=several) for several in (False, True)}


@pytest.mark.parametrize("several", [False, True], ids=["single-label", "multi-label"])
@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_features_computed_once_train_the_head_that_recomputing_them_does(
    tmp_path, data, base, several, monkeypatch
):
    given = data[several], encoders.save(base, tmp_path / "base")
    # Passes that accumulate, and an epoch whose last update is not whole.
    settings = (*TOP, "--batch_size=10", "--gradient_accumulation_steps=2", "--warmup_ratio=0.3")
    once = train_on(*given, tmp_path / "once", *settings)
    monkeypatch.setattr(head, "field_that_the_head_reads", lambda *_: (None, "for comparison"))
    recomputed = train_on(*given, tmp_path / "recomputed", *settings)
    # What threads add up in another order, each step carries on.
    assert once == pytest.approx(recomputed, abs=1e-3)
    assert largest_difference(tmp_path / "once", tmp_path / "recomputed") < 1e-4
    moved = train_on(*given, tmp_path / "short", *settings, "--epochs=1")
    assert moved["epoch"] == 1
    assert largest_difference(tmp_path / "once", tmp_path / "short") > 1e-3, "nothing was trained"
    curves = record_of(tmp_path / "once")["history"], record_of(tmp_path / "recomputed")["history"]
    for ours, theirs in zip(*curves, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-3)


def test_the_encoder_stays_as_it_was_and_the_head_moves(tmp_path, data):
    base = encoders.save(encoders.bert, tmp_path / "base")
    train_on(data[False], base, tmp_path / "model", *TOP)
    before, after = weights_of(base), weights_of(tmp_path / "model")
    kept = [name for name in after if name.startswith("bert.") and name in before]
    assert len(kept) > 30
    assert all(bool((before[name] == after[name]).all()) for name in kept)


def test_a_head_that_reads_other_tokens_recomputes_and_says_why(tmp_path, data, capsys):
    base = encoders.save(encoders.xlnet, tmp_path / "base")
    train_on(data[False], base, tmp_path / "model", *TOP, "--epochs=1")
    assert (
        "recomputes the frozen encoder each epoch: its head reads more" in capsys.readouterr().out
    )
    before, after = weights_of(base), weights_of(tmp_path / "model")
    assert all(bool((before[n] == after[n]).all()) for n in before if n in after)


def test_the_head_stops_early_and_keeps_its_best_evaluation(tmp_path, data):
    base = encoders.save(encoders.bert, tmp_path / "base")
    settings = (*TOP, "--epochs=60", "--learning_rate=0.5", "--early_stopping_patience=3")
    figures = train_on(data[False], base, tmp_path / "model", *settings)
    last = max(entry["epoch"] for entry in record_of(tmp_path / "model")["history"])
    assert last == figures["epoch"] + 3 < 60
