"""Prepare on tidy and odd files: what is kept, what is rejected, what is refused."""

import csv
import json
import os
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from prepare import SPLITS
from rows import DataError

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "tickets"
REAL = ROOT.parent / "shared" / "data"
NAMES = ["account", "billing", "delivery", "returns", "technical"]


def rows_of(directory, split):
    with (directory / split / "rows.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def all_rows(directory):
    return [row for split in SPLITS for row in rows_of(directory, split)]


def rejects_of(directory):
    with (directory / "report" / "rejects.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def filler(count=20, start=0):
    """Good headerless rows of two classes."""
    return "".join(f"{i % 2},plain text number {start + i}\n" for i in range(count))


def test_both_example_forms_give_the_same_split(prepare):
    report, one = prepare({"data.csv": (EXAMPLES / "data.csv").read_bytes()})
    _, other = prepare(
        {"named.csv": (EXAMPLES / "named.csv").read_bytes()},
        "--text-column=message",
        "--label-column=category",
        output="named",
    )
    assert report["labels"] == ["0", "1", "2", "3", "4"]
    assert report["rejected"] == 0
    assert json.loads((other / "train" / "dataset.json").read_text())["labels"] == NAMES
    # The classes' shuffles depend on their names, so the parts differ; the rows do not.
    unnamed = {(row["text"], NAMES[int(row["label"])]) for row in all_rows(one)}
    assert unnamed == {(row["text"], row["label"]) for row in all_rows(other)}
    assert len(unnamed) == 425


def test_the_same_input_gives_the_same_bytes_and_another_seed_another_split(prepare):
    files = {"data.csv": (EXAMPLES / "data.csv").read_bytes()}
    _, one = prepare(files, output="one")
    _, again = prepare(files, output="again")
    _, other = prepare(files, "--seed=14", output="other")
    written = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert len(written) == 6
    for path in written:
        assert (one / path).read_bytes() == (again / path).read_bytes(), path
    digests = [
        json.loads((d / "train" / "dataset.json").read_text())["digest"]
        for d in (one, again, other)
    ]
    assert digests[0] == digests[1] != digests[2]
    assert digests[0].startswith("sha256:")


def test_every_class_is_split_by_the_same_fractions_and_no_text_is_in_two_parts(prepare):
    rows = "".join(f"{'rare' if i % 10 == 0 else 'often'},text {i}\n" for i in range(200))
    _, target = prepare({"a.csv": rows}, "--validation-fraction=0.15", "--test-fraction=0.25")
    counts = {split: Counter(r["label"] for r in rows_of(target, split)) for split in SPLITS}
    assert counts["test"] == {"often": 45, "rare": 5}
    assert counts["validation"] == {"often": 27, "rare": 3}
    assert counts["train"] == {"often": 108, "rare": 12}
    assert len({row["text"] for row in all_rows(target)}) == 200
    dataset = json.loads((target / "train" / "dataset.json").read_text())
    assert dataset["rows"] == {"train": 120, "validation": 30, "test": 50}


def test_thousands_of_classes_and_of_broken_lines_are_read_in_seconds(prepare):
    rows = "".join(f"c{i % 5000},text {i}\n" for i in range(20_000))
    broken = '0,"a" b\n' * 60_000
    started = time.process_time()
    report, _ = prepare({"a.csv": rows + broken}, "--max-rejected=1")
    assert time.process_time() - started < 10
    assert report["rejected"] == 60_000
    assert report["classes"]["c4999"] == {"train": 2, "validation": 1, "test": 1}


def test_a_class_of_three_rows_is_in_every_part(prepare):
    _, target = prepare({"a.csv": filler(40) + "".join(f"few,text {i}\n" for i in range(3))})
    for split in SPLITS:
        assert "few" in {row["label"] for row in rows_of(target, split)}


def test_integer_labels_sort_as_numbers_and_keep_their_names(prepare):
    labels = ["10", "2", "-1", "7"]
    rows = "".join(f"{label},text {label} {i}\n" for label in labels for i in range(5))
    report, _ = prepare({"a.csv": rows})
    assert report["labels"] == ["-1", "2", "7", "10"]
    report, _ = prepare({"a.csv": rows + filler(6).replace("0,", "b,").replace("1,", "a,")})
    assert report["labels"] == ["-1", "10", "2", "7", "a", "b"]


def test_labels_are_trimmed_and_whole_numbers_lose_their_point(prepare):
    rows = "".join(f' {i % 2}.0 ,text {i}\n"{i % 2}",more {i}\n' for i in range(10))
    report, _ = prepare({"a.csv": rows})
    assert report["labels"] == ["0", "1"]


def test_files_of_every_form_are_read_together(prepare):
    report, target = prepare(
        {
            "a.csv": filler(10),
            "deep/b.tsv": "1\ta text with, a comma\n0\tanother\n",
            "c.csv": 'label,text,more\n1,"quoted, with ""quotes""",x\n0,second,y\n',
            "d.jsonl": '{"text": "from json", "label": 1}\n\n{"label": "0", "text": "more"}\n',
            "LICENCE.txt": "not data",
        }
    )
    assert [file["name"] for file in report["files"]] == ["a.csv", "c.csv", "d.jsonl", "deep/b.tsv"]
    assert report["skipped_files"] == ["LICENCE.txt"]
    assert report["read"] == 16
    found = {(row["label"], row["text"]) for row in all_rows(target)}
    assert found >= {
        ("1", "a text with, a comma"),
        ("1", 'quoted, with "quotes"'),
        ("0", "second"),
        ("1", "from json"),
        ("0", "more"),
    }


@pytest.mark.parametrize("header", ["label,text", "Text,LABEL", " label , text "])
def test_a_first_row_of_text_and_label_is_a_header(prepare, header):
    text_first = header.strip().lower().startswith("text")
    rows = [f"{header}\n"]
    rows += [f"words {i},{i % 2}\n" if text_first else f"{i % 2},words {i}\n" for i in range(10)]
    report, target = prepare({"a.csv": "".join(rows)})
    assert report["labels"] == ["0", "1"]
    assert {row["text"] for row in all_rows(target)} == {f"words {i}" for i in range(10)}


def test_a_number_becomes_a_class_by_its_threshold(prepare):
    helpful = [2, 1.0, 0.99, "1.5", "0", 0.2, 1, 0.1]
    lines = [json.dumps({"sentence": f"text {i}", "helpful": h}) for i, h in enumerate(helpful)]
    _, target = prepare(
        {"train.json": "\n".join(lines)},
        "--text-column=sentence",
        "--label-column=helpful",
        "--label-at-least=1",
    )
    by_text = {row["text"]: row["label"] for row in all_rows(target)}
    assert [by_text[f"text {i}"] for i in range(8)] == ["1", "1", "0", "1", "0", "0", "1", "0"]
    report, _ = prepare({"b.csv": filler(10)}, "--label-at-least=none", output="other")
    assert report["labels"] == ["0", "1"]


def test_duplicate_texts_are_dropped_and_contradictions_counted(prepare):
    rows = filler(20) + "0,plain text number 0\n1, plain text number 0 \n1,plain text number 1\n"
    report, target = prepare({"a.csv": rows})
    assert (report["duplicates"], report["conflicting_duplicates"]) == (3, 1)
    texts = [row["text"] for row in all_rows(target)]
    assert len(texts) == len(set(texts)) == 20
    assert {"text": "plain text number 0", "label": "0"} in all_rows(target)


def test_bad_rows_are_set_aside_with_file_row_and_reason(prepare):
    bad_csv = filler(60) + '1,\n0,   \n1\n0,a,b\n\n1,"never closed\n' + filler(60, start=60)
    bad_json = "\n".join(
        [
            '{"text": "cut o',
            '["a", 1]',
            '{"text": "no label"}',
            '{"text": 5, "label": 1}',
            '{"text": "label of a kind", "label": [1]}',
            '{"text": "half \\ud83d pair", "label": 1}',
            '{"text": "good", "label": 1}',
        ]
    )
    report, target = prepare({"a.csv": bad_csv, "b.jsonl": bad_json}, "--max-rejected=0.1")
    rejects = rejects_of(target)
    assert [(r["file"], r["row"]) for r in rejects] == [
        ("a.csv", 61),
        ("a.csv", 62),
        ("a.csv", 63),
        ("a.csv", 64),
        ("a.csv", 66),
        *(("b.jsonl", n) for n in range(1, 7)),
    ]
    assert rejects[0]["reason"] == "empty text"
    assert "1 columns instead of 2" in rejects[2]["reason"]
    assert "quotes" in rejects[4]["reason"]
    assert "'label'" in rejects[7]["reason"]
    assert report["rejected"] == 11
    assert len(all_rows(target)) == 121


def test_bytes_that_are_no_text_cost_their_own_row_only(prepare):
    content = filler(60).encode() + b"1,caf\xe9\n" + filler(20, start=60).encode()
    _, target = prepare({"a.csv": content})
    assert [(r["row"], "UTF-8" in r["reason"]) for r in rejects_of(target)] == [(61, True)]
    assert len(all_rows(target)) == 80


@pytest.mark.parametrize(
    ("encoding", "newline"),
    [("utf-8-sig", "\n"), ("utf-16", "\n"), ("utf-8", "\r\n"), ("utf-8", "\r")],
)
def test_encodings_with_a_mark_and_all_line_ends_are_read(prepare, encoding, newline):
    rows = [f"{i % 2},“schön” 你好 {i}" for i in range(10)]
    report, target = prepare({"a.csv": newline.join(rows).encode(encoding)})
    assert report["labels"] == ["0", "1"]
    assert {row["text"] for row in all_rows(target)} == {f"“schön” 你好 {i}" for i in range(10)}


def test_line_ends_inside_quotes_and_unicode_separators_stay_in_the_text(prepare):
    texts = [f"one\ntwo {i}\u2028three" for i in range(6)]
    rows = "".join(f'{i % 2},"{text}"\n' for i, text in enumerate(texts))
    lines = "\n".join(
        json.dumps({"text": f"json {text}", "label": i % 2}, ensure_ascii=False)
        for i, text in enumerate(texts)
    )
    _, target = prepare({"a.csv": rows, "b.json": lines})
    found = {row["text"] for row in all_rows(target)}
    assert found == {*texts, *(f"json {text}" for text in texts)}


def test_a_field_of_a_megabyte_is_read(prepare):
    _, target = prepare({"a.csv": filler(20) + f"1,{'word ' * 200_000}\n"})
    assert max(len(row["text"]) for row in all_rows(target)) == 999_999


REFUSED = {
    "too many rejects": (
        filler(20) + "1\n" * 3,
        [],
        "3 of 23 rows",
        "data.csv line 21: 1 columns instead of 2; all are in rejects.jsonl, with the report",
        "raise --max-rejected (a pipeline's MaxRejected)",
    ),
    "latin-1": ("".join(f"{i % 2},café {i}\n" for i in range(9)).encode("latin-1"), [], "UTF-8"),
    "semicolons": (
        filler(10).replace(",", ";"),
        [],
        "data.csv line 1: 1 columns instead of 2: the file seems to be parted by ';', part it by "
        "commas, or by tabs and name it .tsv; all",
    ),
    "semicolons and commas": ("0;b\n" + "1;b, c, d\n" * 9, [], "2: the file seems to be parted"),
    "semicolons and quotes": ('"0";"b"\n' * 9, [], "quotes do not match", "parted by ';'"),
    "semicolons below a header": (
        "kind;words\n0;b\n",
        ["--text-column=words", "--label-column=kind"],
        "data.csv line 1: the header must hold 'words', 'kind', found 'kind;words': the file seems",
    ),
    "semicolons by position": (
        "0;b\n",
        ["--text-column=1", "--label-column=0"],
        "data.csv line 1: no column '1' in 1 columns without a header: the file seems",
    ),
    "a column twice": ("text,label,text\n", [], "data.csv line 1", "holds 'text' 2 times"),
    "a pair of one column": (
        filler(20),
        ["--text-column=body", "--text-pair-column=body"],
        "--text-pair-column: 'body' is the column of the texts: name that of the second texts",
    ),
    "a pair of the text that auto stands for": (
        filler(20),
        ["--text-pair-column=text"],
        "--text-pair-column: 'text' is the column of the texts",
    ),
    "labels that are the texts": (
        filler(20),
        ["--text-column=1", "--label-column=1"],
        "--label-column: '1' is the column of the texts: name that of the labels",
    ),
    "one class": ("".join(f"1,text {i}\n" for i in range(9)), [], "only one class, '1'"),
    "rare class": (
        filler(20) + "9,once\n",
        [],
        "class '9' has 1 distinct texts (data.csv line 21)",
        "add rows or drop the class (1 such",
    ),
    "unnamed header": (
        "category,message\n" + filler(20),
        [],
        "class 'category'",
        "drop the class, or name the columns if this line is a header (1 such",
    ),
    "no rows": ("\n\n\n", [], "no rows in data.csv"),
    "named column absent": (
        "label,text\n" + filler(20),
        ["--text-column=message"],
        "'message'",
        "found 'label', 'text'",
    ),
    "named columns, no header": (filler(20), ["--label-column=category"], "'category'", "line 1"),
    "label no number": (filler(20).replace("0,", "x,"), ["--label-at-least=1"], "not a number"),
    "position beyond": (filler(20), ["--text-column=2", "--label-column=0"], "line 1", "at most 1"),
    "name beside position": (
        filler(20),
        ["--text-column=1"],
        "no column 'label'",
        "a position too",
    ),
    "no mark": (filler(20).encode("utf-16-le"), [], "data.csv line 1", "UTF-16", "save the file"),
    "delimiter": (filler(20), ["--label-delimiter=,"], "set problem: multi-label"),
    "star": ("text,a,b\n", ["--label-column=*"], "set problem: multi-label"),
    "half of tokens": (filler(20), ["--max-length=64"], "--base", "give both or neither"),
    "no base": (filler(20), ["--base=/none", "--max-length=64"], "--base /none", "Stage"),
}


def test_a_figure_of_two_classes_is_refused_before_training_on_three(prepare):
    rows = "".join(f"{i % 3},text {i}\n" for i in range(60))
    with pytest.raises(DataError, match=r"f1_binary is a figure of two classes .* have 3 classes"):
        prepare({"data.csv": rows}, "--two-classes-for=f1_binary")
    prepare({"data.csv": filler(60)}, "--two-classes-for=f1_binary", output="two")


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_split_is_refused_with_file_row_and_way_out(prepare, case):
    content, arguments, *said = case
    with pytest.raises(DataError) as caught:
        prepare({"data.csv": content}, *arguments)
    for words in said:
        assert words in str(caught.value)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_only_a_csv_parted_by_semicolons_is_said_to_be(prepare, name):
    comma = "," if name == "a.csv" else "\t"
    rows = filler(20).replace(",", comma)
    first = f"1{comma}one; two\n" if name == "a.csv" else "1;one\n"
    _, target = prepare({name: f"{first}{rows}1\n"}, "--max-rejected=0.1")
    assert rejects_of(target)[-1]["reason"] == "1 columns instead of 2"


def test_rejects_are_written_even_when_there_are_too_many(prepare, tmp_path):
    with pytest.raises(DataError, match="rejects"):
        prepare({"data.csv": filler(10) + "1\n" * 9})
    assert len(rejects_of(tmp_path / "prepared")) == 9


def test_a_directory_without_data_is_refused(prepare):
    with pytest.raises(DataError, match=r"found notes\.txt"):
        prepare({"notes.txt": "nothing here"})


@pytest.mark.parametrize(
    "arguments", [["--test-fraction=0"], ["--validation-fraction=0.6"], ["--unknown=1"]]
)
def test_arguments_out_of_range_are_refused(prepare, arguments):
    with pytest.raises(SystemExit):
        prepare({"a.csv": filler()}, *arguments)


def test_prepare_runs_from_a_zip_on_the_path_with_nothing_but_numpy(tmp_path):
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as code:
        for path in (ROOT / "training").glob("*.py"):
            code.write(path, path.name)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "data.csv").write_text("1,only one class\n" * 3)
    (tmp_path / "packages").mkdir()
    installed = Path(np.__file__).parent
    for folder in [installed, *installed.parent.glob("numpy.libs")]:
        (tmp_path / "packages" / folder.name).symlink_to(folder)
    places = [f"--{name}={tmp_path / name}" for name in (*SPLITS, "report")]
    run = subprocess.run(
        # -S: no site-packages, so that an import beyond the standard library and numpy fails.
        [sys.executable, "-S", "-m", "prepare", f"--input={tmp_path / 'raw'}", *places],
        env={**os.environ, "PYTHONPATH": f"{archive}:{tmp_path / 'packages'}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    assert run.stderr.startswith("prepare: only one class, '1'")
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(not REAL.is_dir(), reason="no public data beside the checkout")
def test_odd_csv_files_are_read_or_refused_as_their_notes_say(prepare):
    folder = REAL / "robustness" / "csv_odd"
    for name, note in json.loads((folder / "expected.json").read_text()).items():
        if not note["rows"]:
            continue
        # Other rows around them, so that a file of five can be split.
        files = {"z.csv": filler(), name: (folder / name).read_bytes()}
        if name == "latin1.csv":
            with pytest.raises(DataError, match="UTF-8"):
                prepare(files, output=name)
            continue
        _, target = prepare(files, output=name)
        found = {(row["label"], row["text"]) for row in all_rows(target)}
        if name != "header_row.csv":
            assert found >= {(label, text.strip()) for label, text in note["rows"]}, name


@pytest.mark.skipif(not REAL.is_dir(), reason="no public data beside the checkout")
@pytest.mark.parametrize(
    ("path", "arguments", "labels"),
    [
        ("movie_polarity/data.csv", [], ["0", "1"]),
        ("sms_spam/data.csv", [], ["0", "1"]),
        (
            "helpful_sentences/train.json",
            ["--text-column=sentence", "--label-column=helpful", "--label-at-least=1"],
            ["0", "1"],
        ),
        ("wiki_toxicity/toxicity.csv", ["--text-column=comment", "--label-column=toxic"], None),
    ],
)
def test_public_data_is_taken_as_it_is(prepare, path, arguments, labels):
    source = REAL / path
    report, target = prepare({source.name: source.read_bytes()}, *arguments)
    assert report["rejected"] == 0
    assert labels is None or report["labels"] == labels
    assert len(all_rows(target)) == report["read"] - report["duplicates"]
    if path == "movie_polarity/data.csv":
        with source.open(newline="", encoding="utf-8") as file:
            assert report["read"] == sum(1 for row in csv.reader(file) if row)
