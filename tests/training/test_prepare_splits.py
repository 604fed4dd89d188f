"""Files that are given for validation or test, and what duplicates across splits come to."""

import json

import pytest

from lectern.rows import split_of as split_of_command
from rows import DataError
from rows_files import split_of

SPLITS = ("train", "validation", "test")


def texts_of(directory, split):
    lines = (directory / split / "rows.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


def rows(name, count, start=0):
    return "".join(f"{i % 2},{name} {i}\n" for i in range(start, start + count))


OF_NAME = {
    "train.csv": "train",
    "dev.tsv": "validation",
    "VALID.json": "validation",
    "val/part-1.csv": "validation",
    "validation/deep/test.csv": "validation",
    "test.json": "test",
    "test/a.csv": "test",
    "Test/dev/train.csv": "test",
    "train/test.csv": "train",
    "data/test.csv": "test",
    "data/more/dev/train.csv": "validation",
    "data/train-00000-of-00001.jsonl": "train",
    "test-00000-of-00001.jsonl": "test",
    "data/Validation-00003-of-00012.jsonl": "validation",
    "data/test-0-of-1.csv": "train",
    "test_more.csv": "train",
    "test-more/a.csv": "train",
    "anything.jsonl": "train",
    "anything-00000-of-00001.jsonl": "train",
}


@pytest.mark.parametrize("name", OF_NAME)
def test_the_outermost_folder_of_such_a_name_or_the_stem_names_the_split(name):
    assert split_of(name) == OF_NAME[name]


@pytest.mark.parametrize("name", OF_NAME)
def test_the_command_knows_the_split_by_the_rule_of_prepare(name):
    assert (split_of_command(name) or "train") == split_of(name)


def test_given_splits_are_kept_whole_and_in_order(prepare):
    files = {"train/a.csv": rows("a", 20), "train/b.csv": rows("b", 4), "dev.csv": rows("v", 7)}
    report, target = prepare({**files, "test/t.csv": rows("t", 5)})
    assert texts_of(target, "train") == [f"a {i}" for i in range(20)] + [f"b {i}" for i in range(4)]
    assert texts_of(target, "validation") == [f"v {i}" for i in range(7)]
    assert texts_of(target, "test") == [f"t {i}" for i in range(5)]
    assert report["drawn"] == {}
    assert [(file["name"], file["split"]) for file in report["files"]] == [
        ("dev.csv", "validation"),
        ("test/t.csv", "test"),
        ("train/a.csv", "train"),
        ("train/b.csv", "train"),
    ]


def test_a_split_that_is_not_given_is_drawn_from_train(prepare):
    report, target = prepare({"train.csv": rows("a", 100), "test.csv": rows("t", 10)})
    assert report["rows"] == {"train": 90, "validation": 10, "test": 10}
    assert report["classes"]["1"] == {"train": 45, "validation": 5, "test": 5}
    assert texts_of(target, "test") == [f"t {i}" for i in range(10)]
    assert all(text.startswith("a ") for text in texts_of(target, "validation"))
    assert report["drawn"] == {"validation": 0.1}


def test_with_one_split_drawn_a_class_needs_two_rows(prepare):
    files = {"train.csv": rows("a", 20) + "2,once\n", "test.csv": rows("t", 4)}
    with pytest.raises(DataError, match=r"train\.csv line 21\), train and validation need one"):
        prepare(files)
    files["train.csv"] += "2,twice\n"
    report, _ = prepare(files, output="two")
    assert report["classes"]["2"] == {"train": 1, "validation": 1, "test": 0}
    assert report["missing_labels"]["test"] == ["2"]


def test_a_text_in_two_splits_stays_in_test_before_validation_before_train(prepare, capsys):
    files = {
        "train.csv": rows("a", 20) + "0,in all\n1,in train and validation\n0,in train and test\n",
        "validation.csv": rows("v", 4) + "0,in all\n1,in train and validation\n",
        "test.csv": rows("t", 4) + "0,in all\n1,in train and test\n0,t 0\n",
    }
    report, target = prepare(files)
    assert texts_of(target, "test")[4:] == ["in all", "in train and test"]
    assert texts_of(target, "validation")[4:] == ["in train and validation"]
    assert texts_of(target, "train") == [f"a {i}" for i in range(20)]
    assert (report["duplicates"], report["conflicting_duplicates"]) == (5, 1)
    by_split = {
        (part["dropped_from"], part["kept_in"]): (part["rows"], part["conflicting"])
        for part in report["duplicates_by_split"]
    }
    assert by_split == {
        ("train", "validation"): (1, 0),
        ("train", "test"): (2, 1),
        ("validation", "test"): (1, 0),
        ("test", "test"): (1, 0),
    }
    assert "2 texts of train are in test and kept there" in capsys.readouterr().out


def test_a_label_that_train_has_not_is_refused_with_its_file_and_row(prepare):
    files = {"train.csv": rows("a", 20), "test.csv": rows("t", 4) + "7,new\n8,newer\n"}
    with pytest.raises(DataError) as caught:
        prepare(files)
    for words in ("label '7' is in test (test.csv line 5)", "train has no row of it", "2 such"):
        assert words in str(caught.value)


@pytest.mark.parametrize("name", ["csv", "tsv"])
def test_a_header_of_every_split_that_is_not_known_is_told_as_one(prepare, name):
    splits = {"train": 20, "validation": 6, "test": 6}
    files = {
        f"{split}.{name}": f"label,sentence\n{rows(split, count)}".replace(
            ",", {"csv": ",", "tsv": "\t"}[name]
        )
        for split, count in splits.items()
    }
    with pytest.raises(
        DataError, match=rf"label 'label' is in test \(test\.{name} line 1\)"
    ) as caught:
        prepare(files)
    assert "take it out of test, or name the columns if this line is a header" in str(caught.value)


def test_only_the_first_line_is_said_to_be_a_header(prepare):
    first = json.dumps({"text": "x", "label": 9})
    for at, test in enumerate(
        [{"test.csv": rows("t", 4) + "9,x\n"}, {"test.jsonl": f"{first}\n{first}\n"}]
    ):
        with pytest.raises(DataError, match="label '9' is in test") as caught:
            prepare({"train.csv": rows("a", 20), **test}, output=f"at-{at}")
        assert "header" not in str(caught.value)


def test_rows_of_an_array_are_told_by_element(prepare):
    array = [{"text": f"text {i}", "label": i % 2} for i in range(4)] + [{"text": "x", "label": 9}]
    files = {"train.csv": rows("a", 20), "test.json": json.dumps(array)}
    with pytest.raises(DataError, match=r"label '9' is in test \(test\.json element 5\)"):
        prepare(files)


def test_a_label_whose_training_rows_are_all_in_test_too_is_refused(prepare):
    files = {"train.csv": rows("a", 20) + "9,same\n", "test.csv": rows("t", 4) + "9,same\n"}
    with pytest.raises(DataError, match="train has no row of it: add some that are not in test"):
        prepare(files)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"test.csv": rows("t", 20)}, "no training data: 'test.csv' are by their names for test"),
        ({"train.csv": rows("a", 20), "dev.csv": "\n"}, "no rows in dev.csv"),
        ({"train.csv": rows("a", 9), "test.csv": rows("t", 4), "dev.csv": "1,t 1\n"}, "also in"),
    ],
)
def test_a_split_without_rows_is_refused(prepare, files, said):
    with pytest.raises(DataError, match=said):
        prepare(files)
