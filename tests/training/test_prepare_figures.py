"""What Prepare tells of the rows: lengths, what training will cut, provenance, a short summary."""

import hashlib
import json

import pytest

from lengths import evenly


def filler(count=20):
    return "".join(f"{i % 2},plain text number {i}\n" for i in range(count))


def words_of_each_length(longest=100):
    return "".join(f"{i % 2},{' '.join(['word'] * i)}\n" for i in range(1, longest + 1))


@pytest.fixture
def encoder(tmp_path):
    """A directory with a tokenizer: a token a word, and special ones around the texts."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    tokenizer.save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def test_lengths_and_what_training_will_cut_are_counted(prepare, encoder, capsys):
    files = {"a.csv": words_of_each_length()}
    report, target = prepare(files, f"--base={encoder}", "--max-length=92")
    tokens = {"mean": 52.5, "median": 52, "p95": 97, "p99": 101, "max": 102, "looked_at": 100}
    assert report["lengths"]["tokens"] == tokens
    assert report["lengths"]["characters"]["max"] == 499
    assert report["truncated"] == {"max_length": 92, "rows": 10, "share": 0.1, "looked_at": 100}
    assert json.loads((target / "report" / "report.json").read_text()) == report
    said = capsys.readouterr().out
    assert "10 of 100 rows (10.0%) have more than 92 tokens and will be cut" in said


def test_of_many_rows_evenly_chosen_ones_are_tokenized(prepare, encoder, monkeypatch):
    monkeypatch.setattr("prepare.evenly", lambda kept: evenly(kept, 10))
    files = {"a.csv": words_of_each_length()}
    report, _ = prepare(files, f"--base={encoder}", "--max-length=50")
    assert report["truncated"] == {"max_length": 50, "rows": 5, "share": 0.5, "looked_at": 10}
    assert report["lengths"]["characters"]["max"] == 499


def test_the_tokens_of_a_pair_are_those_of_both_texts(prepare, encoder):
    rows = "".join(f'{{"text": "a b", "more": "c {i}", "label": {i % 2}}}\n' for i in range(20))
    arguments = ["--text-pair-column=more", f"--base={encoder}", "--max-length=6"]
    report, _ = prepare({"a.jsonl": rows}, *arguments)
    assert report["lengths"]["tokens"]["median"] == 7
    assert report["truncated"]["rows"] == 20


def test_without_an_encoder_no_tokens_are_counted(prepare):
    report, _ = prepare({"a.csv": filler()})
    assert list(report["lengths"]) == ["characters"]
    assert report["truncated"] is None


def test_the_summary_of_many_classes_shows_the_largest_and_the_smallest(prepare, capsys):
    prepare({"a.csv": "".join(f"c{i},text {i} {n}\n" for i in range(50) for n in range(3 + i))})
    said = capsys.readouterr().out
    assert (
        "50 labels: most rows c49 (52), c48 (51), c47 (50); fewest c2 (5), c1 (4), c0 (3)" in said
    )
    assert "c25" not in said


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl"])
def test_each_file_is_known_by_the_digest_of_its_bytes(prepare, name):
    rows = [{"text": f"text {i}", "label": i % 2} for i in range(20)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    array = json.dumps(rows, indent=1) + "\n\n"
    content = {"a.csv": filler(), "a.json": array, "a.jsonl": lines}[name].encode()
    report, target = prepare({name: content})
    provenance = [
        {
            "name": name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "rows": 20,
            "split": "train",
        }
    ]
    assert report["files"] == provenance
    dataset = json.loads((target / "train" / "dataset.json").read_text())
    assert dataset["files"] == provenance
    assert list(dataset) == ["problem", "labels", "pairs", "digest", "rows", "files", "duplicates"]


def test_the_datasets_digest_is_that_of_the_rows_of_all_splits(prepare):
    report, target = prepare({"a.csv": filler()})
    rows = [(target / s / "rows.jsonl").read_bytes() for s in ("train", "validation", "test")]
    assert report["digest"] == f"sha256:{hashlib.sha256(b''.join(rows)).hexdigest()}"
