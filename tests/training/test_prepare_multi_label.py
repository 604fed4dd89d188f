"""Prepare on rows with any number of labels: one-hot columns, lists, delimited text."""

import json
from pathlib import Path

import pytest

from rows import DataError

REAL = Path(__file__).parents[3] / "shared" / "data"
SPLITS = ("train", "validation", "test")
MULTI = "--problem=multi-label"


def labels_by_text(directory):
    found = {}
    for split in SPLITS:
        for line in (directory / split / "rows.jsonl").read_text().splitlines():
            row = json.loads(line)
            found[row["text"]] = row["labels"]
    return found


def rejects_of(directory):
    lines = (directory / "report" / "rejects.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def wanted(count=30):
    """Labels of each text; every sixth has none."""
    of_remainder = [[], ["a"], ["b"], ["a", "b"], ["b", "c"], ["c"]]
    return {f"text {i}": of_remainder[i % 6] for i in range(count)}


def one_hot(text, labels, names="abc"):
    return f"{text},{','.join(str(int(name in labels)) for name in names)}\n"


FORMS = {
    "columns": (
        "a.csv",
        "".join(one_hot(*row) for row in wanted().items()),
        "--label-column=a,b,c",
    ),
    "every 0/1 column": (
        "a.csv",
        "".join(one_hot(*row) for row in wanted().items()),
        "--label-column=*",
    ),
    "fields": (
        "a.jsonl",
        "".join(
            json.dumps({"text": t, "a": "a" in ls, "b": float("b" in ls), "c": str(int("c" in ls))})
            + "\n"
            for t, ls in wanted().items()
        ),
        "--label-column=*",
    ),
    "lists": (
        "a.jsonl",
        "".join(json.dumps({"text": t, "labels": ls}) + "\n" for t, ls in wanted().items()),
        "--label-column=auto",
    ),
    "lists under label": (
        "a.json",
        json.dumps([{"text": t, "label": ls} for t, ls in wanted().items()], indent=2),
        "--label-column=auto",
    ),
    "delimited": (
        "a.csv",
        "text,labels\n" + "".join(f"{t},{' ;'.join(ls)}\n" for t, ls in wanted().items()),
        "--label-delimiter=;",
    ),
    "lists in cells": (
        "a.csv",
        "text,labels\n" + "".join(f'{t},"{ls}"\n' for t, ls in wanted().items()),
        "--label-column=labels",
    ),
    "delimited, by position": (
        "a.tsv",
        "".join(f"{t}\t{','.join(ls)}\tid {t}\n" for t, ls in wanted().items()),
        "--text-column=0",
        "--label-column=1",
        "--label-delimiter=,",
    ),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_labels(prepare, form):
    name, content, *arguments = form
    if "--label-column=a,b,c" in arguments or (name == "a.csv" and "*" in arguments[0]):
        content = "text,a,b,c\n" + content
    report, target = prepare({name: content}, MULTI, *arguments)
    assert labels_by_text(target) == wanted()
    assert (report["problem"], report["labels"], report["rejected"]) == (
        "multi-label",
        ["a", "b", "c"],
        0,
    )
    assert sum(report["without_labels"].values()) == 5
    assert sum(report["classes"]["b"].values()) == 15


def test_a_star_leaves_out_columns_with_other_values(prepare, capsys):
    rows = "".join(f"{i},text {i},{i % 2},{i % 3},{(i + 1) % 2},0\n" for i in range(30))
    report, _ = prepare({"a.csv": "id,text,x,grade,y,never\n" + rows}, MULTI, "--label-column=*")
    assert report["labels"] == ["x", "y"]
    assert report["unused_labels"] == ["never"]
    assert "less than 95% of the values are 0 or 1: grade\n" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"of 'id', 'text' none does: name the label columns"):
        prepare({"b.csv": "id,text\n7,word\n"}, MULTI, "--label-column=*", output="none")


def test_a_star_takes_a_column_with_few_odd_values_and_their_rows_are_rejected(prepare, capsys):
    rows = "".join(f"text {i},{i % 2},{(i + 1) % 2},{i % 2}\n" for i in range(38))
    odd = "blank,,1,7\nodd,-1,1,8\nodd too,1,-1,9\n"
    report, target = prepare(
        {"a.csv": f"text,x,y,z\n{rows}{odd}"}, MULTI, "--label-column=*", "--max-rejected=0.1"
    )
    # Of the values that are there, x has 1 odd in 40, y 1 in 41, z 3 in 41.
    assert report["columns"]["one_hot"] == ["x", "y"]
    assert [(r["row"], r["reason"]) for r in rejects_of(target)] == [
        (40, "column 'x' is missing, not 0 or 1"),
        (41, "column 'x' is '-1', not 0 or 1"),
        (42, "column 'y' is '-1', not 0 or 1"),
    ]
    told = capsys.readouterr().out
    assert "label columns that * stands for: x, y\n" in told
    assert "  left out, less than 95% of the values are 0 or 1: z\n" in told


def test_a_star_counts_the_fields_that_objects_have(prepare, capsys):
    rows = [{"text": f"text {i}", "x": i % 2, "y": (i + 1) % 2} for i in range(40)]
    rows[3] |= {"x": None}
    rows[4] |= {"grade": 3, "note": None}
    del rows[5]["y"]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    report, target = prepare({"a.jsonl": content}, MULTI, "--label-column=*", "--max-rejected=0.1")
    assert report["columns"]["one_hot"] == ["x", "y"]
    reasons = [r["reason"] for r in rejects_of(target)]
    assert reasons == [
        "column 'x' is missing, not 0 or 1",
        "no field 'y', found 'text', 'x'",
    ]
    assert "left out" not in capsys.readouterr().out


def test_what_a_star_stands_for_is_told_when_too_many_rows_are_rejected(prepare, capsys):
    rows = "".join(f"text {i},{i % 2},{'' if i % 3 else 1}\n" for i in range(40))
    with pytest.raises(DataError, match="column 'y' is missing"):
        prepare({"a.csv": f"text,x,y\n{rows}"}, MULTI, "--label-column=*")
    assert "label columns that * stands for: x, y\n" in capsys.readouterr().out


def test_a_cell_that_is_no_0_or_1_costs_its_row(prepare):
    rows = "".join(f"text {i},{i % 2},{['1.0', 'TRUE', '0', 'false'][i % 4]}\n" for i in range(40))
    content = "text,a,b\n" + rows + "odd,1,2\nlacking,,1\n"
    report, target = prepare({"a.csv": content}, MULTI, "--label-column=a,b")
    assert sum(report["classes"]["b"].values()) == 20
    assert [(r["row"], r["reason"]) for r in rejects_of(target)] == [
        (42, "column 'b' is '2', not 0 or 1"),
        (43, "column 'a' is missing, not 0 or 1"),
    ]


def test_a_threshold_turns_scores_of_columns_into_labels(prepare):
    rows = "".join(f"text {i},{i / 40},{1 - i / 40}\n" for i in range(40))
    arguments = (MULTI, "--label-column=a,b", "--label-at-least=0.5")
    _, target = prepare({"a.csv": "text,a,b\n" + rows}, *arguments)
    found = labels_by_text(target)
    assert (found["text 3"], found["text 20"], found["text 30"]) == (["b"], ["a", "b"], ["a"])


def test_a_list_in_a_single_label_problem_is_rejected_with_the_way_out(prepare):
    rows = [{"text": f"text {i}", "label": i % 2} for i in range(40)]
    rows.append({"text": "more", "label": [1, 0]})
    _, target = prepare({"a.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    assert "set problem: multi-label" in rejects_of(target)[0]["reason"]


def test_labels_of_few_rows_stay_in_train_and_are_listed(prepare):
    rows = [{"text": f"text {i}", "labels": ["ab"[i % 2]]} for i in range(40)]
    rows += [{"text": "once", "labels": ["a", "rare"]}]
    rows += [{"text": f"twice {i}", "labels": ["b", "scarce"]} for i in range(2)]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    for seed in range(8):
        report, _ = prepare({"a.jsonl": content}, MULTI, f"--seed={seed}", output=f"at-{seed}")
        assert report["classes"]["rare"] == {"train": 1, "validation": 0, "test": 0}
        assert report["classes"]["scarce"] == {"train": 2, "validation": 0, "test": 0}
        few = ["rare", "scarce"]
        assert report["missing_labels"] == {"train": [], "validation": few, "test": few}


def test_train_has_a_row_of_every_label_whatever_the_seed(prepare):
    # "wide" is never a row's rarest label, so no stratum of its own keeps it in train: of each of
    # the four strata one row in three stays there, and by itself often none of those has it.
    rows = [{"text": f"{s} {i}", "labels": [s]} for s in "pqrs" for i in range(2)]
    rows += [{"text": f"wide {s}", "labels": [s, "wide"]} for s in "pqrs"]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    for seed in range(30):
        report, _ = prepare({"a.jsonl": content}, MULTI, f"--seed={seed}", output=f"at-{seed}")
        assert report["missing_labels"]["train"] == [], seed


def test_the_rarest_labels_have_their_share_of_every_split(prepare):
    rows = [
        {"text": f"text {i}", "labels": ["common", *(["rare"] if i % 20 == 0 else [])]}
        for i in range(400)
    ]
    rows += [{"text": f"other {i}", "labels": ["other"]} for i in range(100)]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    report, _ = prepare({"a.jsonl": content}, MULTI)
    assert report["classes"]["rare"] == {"train": 14, "validation": 2, "test": 4}
    assert report["rows"] == {"train": 350, "validation": 50, "test": 100}


REFUSED = {
    "one label": ("text,a,b\nx,1,0\ny,0,0\n", ["--label-column=a,b"], "only one label, 'a'"),
    "no label": ("text,a,b\nx,0,0\ny,0,0\n", ["--label-column=a,b"], "no label in 2 rows"),
    "column absent": ("text,a\nx,1\n", ["--label-column=a,b"], "data.csv line 1", "'b'"),
    "labels that are the texts": (
        "text,a\nx,1\n",
        ["--label-column=a,text"],
        "--label-column: 'text' is the column of the texts",
    ),
    "named twice": ("text,a\nx,1\n", ["--label-column=a,a"], "each name once"),
    "threshold of one": ("text,label\nx,1\n", ["--label-at-least=1"], "name several label columns"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_learnt_is_refused_with_the_way_out(prepare, case):
    content, arguments, *said = case
    with pytest.raises(DataError) as caught:
        prepare({"data.csv": content}, MULTI, *arguments)
    for words in said:
        assert words in str(caught.value)


PUBLIC = {
    "goemotions/train.tsv": (
        ["--text-column=0", "--label-column=1", "--label-delimiter=,"],
        14_000,
        28,
        0,
    ),
    "goemotions/train_multihot.csv": (["--label-column=*"], 14_000, 28, 0),
    "nlupp/banking.jsonl": ([], 1_542, 48, 0),
    "nlupp/banking.json": (["--label-column=intents"], 1_542, 48, 71),
    "jigsaw_sample/toxic_comments.csv": (
        ["--text-column=comment_text", "--label-column=*"],
        200,
        6,
        0,
    ),
}


@pytest.mark.skipif(not REAL.is_dir(), reason="no public data beside the checkout")
@pytest.mark.parametrize("path", PUBLIC)
def test_public_data_is_taken_as_it_lies(prepare, path):
    arguments, read, labels, rejected = PUBLIC[path]
    report, _ = prepare({Path(path).name: (REAL / path).read_bytes()}, MULTI, *arguments)
    assert (report["read"], len(report["labels"]), report["rejected"]) == (read, labels, rejected)
    assert report["missing_labels"]["train"] == []
