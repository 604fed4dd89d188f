"""The readers on files of every shape: what a record is, and what a broken one costs."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from rows import Columns, DataError, Row
from rows_delimited import named_records, read_delimited
from rows_json import CHUNK, is_array, objects, read_json
from rows_text import RECORD_CHARACTERS

REAL = Path(__file__).parents[3] / "shared" / "data" / "robustness"
MORE = RECORD_CHARACTERS + 1


def read(tmp_path, name, content, columns=None):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    read = read_json if "json" in path.suffix else read_delimited
    return list(read(path, name, columns or Columns(), sha256()))


def kept(found):
    return [(number, row.labels[0], row.text) for number, row in found if isinstance(row, Row)]


def reasons(found):
    return [(number, row) for number, row in found if isinstance(row, str)]


def test_a_quote_that_never_closes_costs_its_line_only(tmp_path):
    more = f"1,more of it{'.' * 100}\n"
    content = '1,first\n0,"never closed\n' + more * 12_000
    assert len(content) > RECORD_CHARACTERS
    found = read(tmp_path, "a.csv", content)
    assert reasons(found) == [
        (2, f"quotes do not match in more than {RECORD_CHARACTERS:,} characters")
    ]
    assert len(kept(found)) == 12_001
    assert [number for number, *_ in kept(found)] == [1, *range(3, 12_003)]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_line_longer_than_a_record_costs_itself_only(tmp_path, name):
    lines = ['{"label": 1, "text": "one"}', "x" * (3 * MORE), '{"label": 0, "text": "two"}']
    if name == "a.csv":
        lines = ["1,one", f"1,{'x' * (3 * MORE)}", "0,two"]
    found = read(tmp_path, name, "\n".join(lines) + "\n")
    assert kept(found) == [(1, "1", "one"), (3, "0", "two")]
    assert [number for number, _ in reasons(found)] == [2]
    assert f"more than {RECORD_CHARACTERS:,} characters" in reasons(found)[0][1]


def test_quotes_in_tsv_that_match_nothing_are_part_of_the_text(tmp_path):
    content = (
        '"So what" she said\t1\tx\n'
        '"an opening quote\t2\tx\n'
        'and a closing one"\t3\tx\n'
        '"quoted as it should be"\t4\tx\n'
        '"over\ntwo lines"\t5\tx\n'
        '"never closed\t6\tx\n'
    )
    found = read(tmp_path, "a.tsv", content, Columns(text="0", label="1"))
    assert kept(found) == [
        (1, "1", '"So what" she said'),
        (2, "2", '"an opening quote'),
        (3, "3", 'and a closing one"'),
        (4, "4", "quoted as it should be"),
        (5, "5", "over\ntwo lines"),
        (7, "6", '"never closed'),
    ]


LISTS = {
    "[0, 1]": ("0", "1"),
    "[1.0]": ("1",),
    "['a', 'b']": ("a", "b"),
    """['a', "it's"]""": ("a", "it's"),
    '["a' + "' 'b" + '"]': ("a' 'b",),
    " [] ": (),
    "[ 0 27]\n": ("0", "27"),
    "[0. 27.]": ("0", "27"),
}


@pytest.mark.parametrize("delimiter", [None, ","])
@pytest.mark.parametrize("cell", LISTS)
def test_a_cell_in_brackets_is_a_list_of_labels(tmp_path, cell, delimiter):
    columns = Columns(multi_label=True, label_delimiter=delimiter)
    quoted = cell.replace('"', '""')
    [(_, row)] = read(tmp_path, "a.csv", f'labels,text\n"{quoted}",words\n', columns)
    assert row.labels == LISTS[cell]


@pytest.mark.parametrize(
    "cell",
    ["[a, b]", "['a' 'b']", "[0 1 ... 5]", "[" * 100_000 + "]", f"[{'-' * 9_999}1]"],
    ids=lambda cell: cell[:12],
)
def test_brackets_around_something_else_cost_their_row(tmp_path, cell):
    columns = Columns(text="1", label="0", multi_label=True)
    found = read(tmp_path, "a.csv", f'"[0]",one\n"{cell}",two\n', columns)
    [(number, reason)] = reasons(found)
    assert number == 2
    assert reason.startswith(f"the labels are '{cell}'"[:75])
    assert (
        'write them as ["a", "b"], or without brackets and parted by the label delimiter' in reason
    )


@pytest.mark.parametrize("text", ["\u200b", "\x00", "\u00a0\u2003\u200b", "\u2028", "\ufeff\u00ad"])
def test_a_text_without_a_visible_character_is_empty(tmp_path, text):
    lines = [
        json.dumps({"text": t, "label": 1}) for t in (text, f"{text}a{text}", f"{text}.", "\ue000")
    ]
    found = read(tmp_path, "a.jsonl", "\n".join(lines))
    assert reasons(found) == [(1, "empty text")]
    assert len(kept(found)) == 3


@pytest.mark.parametrize(
    ("header", "columns", "twice"),
    [
        ("text,label,Text", Columns(), "'text', 'label', 'Text' holds 'text' 2 times"),
        ("b,a,b,b", Columns(text="a", label="b"), "'b', 'a', 'b', 'b' holds 'b' 3 times"),
    ],
)
def test_a_header_that_holds_a_column_twice_is_refused(tmp_path, header, columns, twice):
    with pytest.raises(DataError, match=f"line 1: the header {twice}: rename all but one"):
        read(tmp_path, "a.csv", f"{header}\n1,2,3,4\n", columns)


def test_a_header_may_hold_what_is_not_read_twice(tmp_path):
    found = read(tmp_path, "a.csv", "id,text,label,id\n7,words,1,8\n")
    assert kept(found) == [(2, "1", "words")]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_an_array_is_read_element_by_element(tmp_path, indent, ascii_only):
    rows = [{"text": f"text ] }} “{i}” " + "y" * (i % 97) + ".", "label": i} for i in range(3_000)]
    content = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    assert len(content) > 4 * CHUNK
    found = read(tmp_path, "a.json", content)
    assert kept(found) == [(i + 1, str(i), row["text"]) for i, row in enumerate(rows)]
    assert is_array(tmp_path / "a.json")


def test_an_array_whose_whitespace_and_elements_straddle_chunks_is_read(tmp_path):
    element = '{"text": "%s", "label": 7}'
    for shift in range(-3, 4):
        gap = " " * (CHUNK + shift)
        long = element % ("z" * (2 * CHUNK + shift))
        found = read(tmp_path, "a.json", f"\n[{gap}{element % 'a'}{gap},{long}, 12345{gap}]{gap}\n")
        assert [number for number, *_ in kept(found)] == [1, 2], shift
        assert reasons(found) == [(3, "not a JSON object")]


def test_an_empty_array_has_no_rows(tmp_path):
    assert read(tmp_path, "a.json", "[ \n ]\n") == []


ONE = '{"text": "a", "label": 1}'
BROKEN = {
    "cut off": (f"[{ONE},\n{ONE}", "element 2 (line 2)", "ends before the array does"),
    "no comma": (f"[{ONE}\n\n{ONE}]", "element 1 (line 3)", "'{' after an element"),
    "bad value": (f"[{ONE},\n {{'text': 1}}]", "element 2 (line 2)", "double quotes"),
    "more behind": (f"[{ONE}]\n{ONE}", "more after the array's end"),
    "nested": (f"[{ONE}, {'[' * 100_000}]", "element 2", "nested too deep"),
    "too long": (f'[{ONE}, "{"x" * 4 * MORE}"]', "element 2", f"{RECORD_CHARACTERS:,} characters"),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
def test_a_broken_array_is_refused_where_it_breaks(tmp_path, case):
    content, *said = case
    with pytest.raises(DataError) as caught:
        read(tmp_path, "a.json", content)
    for words in ("a.json", *said):
        assert words in str(caught.value)


def test_bytes_that_are_no_text_cost_their_element_only(tmp_path):
    found = read(tmp_path, "a.json", f"[{ONE}, {ONE[:-14]}".encode() + b'\xe9", "label": 1}]')
    assert kept(found) == [(1, "1", "a")]
    assert "UTF-8" in reasons(found)[0][1]


def test_a_file_that_cannot_be_opened_is_refused_by_its_name(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DataError, match=r"a\.csv cannot be read"):
        list(named_records(tmp_path / "a.csv", "a.csv", Columns()))


@pytest.mark.skipif(not REAL.is_dir(), reason="no public data beside the checkout")
@pytest.mark.parametrize("name", sorted(p.stem for p in REAL.glob("csv-spectrum/csvs/*.csv")))
def test_the_csv_spectrum_is_read_as_its_json_says(name):
    path = REAL / "csv-spectrum" / "csvs" / f"{name}.csv"
    expected = json.loads((REAL / "csv-spectrum" / "json" / f"{name}.json").read_text())
    header = list(expected[0])
    columns = Columns(text=header[0], label=header[-1])
    found = [
        dict(zip(names, cells, strict=True))
        for _, cells, names in named_records(path, name, columns)
    ]
    if name.endswith("_crlf"):
        # Line ends within quotes stay as the file has them.
        found = [{k: v.replace("\r\n", "\n") for k, v in row.items()} for row in found]
        expected = [{k: v.replace("\r\n", "\n") for k, v in row.items()} for row in expected]
    assert found == expected


@pytest.mark.skipif(not REAL.is_dir(), reason="no public data beside the checkout")
@pytest.mark.parametrize("path", sorted(REAL.glob("jsonl_odd/*.jsonl")), ids=lambda path: path.name)
def test_odd_json_lines_are_rows_or_rejects_line_by_line(path):
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip(b" \t\r\xef\xbb\xbf")]
    found = list(objects(path, path.name))
    assert len(found) == len(lines)
    for (_, record), line in zip(found, lines, strict=True):
        try:
            expected = json.loads(line.removeprefix(b"\xef\xbb\xbf").decode())
        except (ValueError, RecursionError):
            expected = None
        if isinstance(expected, dict):
            assert record == expected
        else:
            assert record == "not a JSON object on one line"
