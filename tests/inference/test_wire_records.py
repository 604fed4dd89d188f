"""Bodies to records: nothing crashes, nothing is dropped, each in its place."""

import csv
import io
import json
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fault import Fault
from wire.csv_rows import read_rows
from wire.records import read_many, read_one

ROBUSTNESS = Path(__file__).parents[3] / "shared" / "data" / "robustness"
SPECTRUM = ROBUSTNESS / "csv-spectrum"
beside_the_checkout = pytest.mark.skipif(
    not ROBUSTNESS.is_dir(), reason="no collection of odd data beside the checkout"
)
LINES, CSV = "application/jsonlines", "text/csv"
quick = settings(derandomize=True, deadline=None, max_examples=200)
# What splits lines for one reader or another, and what CSV and JSON quote.
texts = st.text(st.sampled_from('abé,"\n\r \t\u2028\u2029\x85\x0b\x00😀\\;') | st.characters())
encodable = texts.filter(
    lambda text: text.isascii() or text.encode(errors="ignore").decode() == text
)


# Where it need not, the module quotes only the line ends that it writes itself.
WRITERS = [("\r\n", csv.QUOTE_MINIMAL), *((end, csv.QUOTE_ALL) for end in ("\r\n", "\n", "\r"))]


def rows(text):
    return [row if isinstance(row, str) else row.code for _, row in read_rows(text)]


def lines(body, content_type=LINES, charset="utf-8"):
    return list(read_many(body, content_type, charset))


def outcome(record):
    return record.document.code if isinstance(record.document, Fault) else record.document


@quick
@given(st.lists(encodable, max_size=8), st.sampled_from(WRITERS))
@example(["", "a\r", '"', ",", "\n"], WRITERS[0])
def test_what_python_s_csv_module_writes_is_read_back(column, written):
    line_end, quoting = written
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator=line_end, quoting=quoting).writerows([t] for t in column)
    assert rows(buffer.getvalue()) == column
    assert rows(buffer.getvalue().removesuffix(line_end)) == column


@quick
@given(st.text('ab,"\r\n', max_size=60))
def test_rows_of_any_text_start_at_rising_lines_and_lose_none(text):
    found = list(read_rows(text))
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    ends = len(text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n"))
    assert bool(found) == bool(text)
    assert all(1 <= number <= ends for number in numbers)
    if '"' not in text:
        assert numbers == list(range(1, ends + 1)) if text else not numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("one", ["one"]),
        ("one\ntwo\n", ["one", "two"]),
        ('"a, b"\r\n"say ""hi"""\r\n', ["a, b", 'say "hi"']),
        ('"two\nlines"\nthree', ["two\nlines", "three"]),
        ('""\n\nlate\n', ["", "invalid_csv", "late"]),
        ("two,columns\nlate", ["invalid_csv", "late"]),
        ('two,"col\numns"\nlate', ["invalid_csv", "late"]),
        # A line that is one field may hold quotes, as Excel and Python read it.
        ('he said "hi"\nlate', ['he said "hi"', "late"]),
        ('a "b", c\nlate', ["invalid_csv", "late"]),
        # Broken quotes cost the line that they stand on.
        ('"broken" quote\nlate', ["invalid_csv", "late"]),
        ('"never closed\nlate\nrefund', ["invalid_csv", "late", "refund"]),
        ('"never closed\n"closed"\nlate', ["invalid_csv", "closed", "late"]),
        ('x\n"', ["x", "invalid_csv"]),
    ],
)
def test_rows_are_read_as_rfc_4180_has_them(text, expected):
    assert rows(text) == expected


def test_a_row_is_numbered_by_the_line_that_it_starts_on():
    text = 'one\n"two\r\nthree\nfour"\n"broken" x\nsix,six\n'
    assert [number for number, _ in read_rows(text)] == [1, 2, 5, 6]


@pytest.mark.parametrize("line", ['"', '"""a', 'a","x', '"a ""b', '","', '"x",a"b', '"\r'])
def test_broken_quotes_cannot_make_reading_slow(line):
    # Read again from every line, 40,000 of them would take minutes.
    started = time.perf_counter()
    list(read_rows(f"{line}\n" * 40_000))
    assert time.perf_counter() - started < 5


def test_a_byte_that_is_no_text_spoils_its_own_row_only():
    body = b"late\ncaf\xe9\nrefund\n"
    assert [outcome(r) for r in lines(body, CSV)] == [
        {"inputs": "late"},
        "invalid_input",
        {"inputs": "refund"},
    ]
    assert [outcome(r) for r in lines(b'{"inputs": "caf\xe9"}\n{"inputs": "b"}')] == [
        "invalid_input",
        {"inputs": "b"},
    ]
    assert outcome(lines(body, CSV, "iso8859-1")[1]) == {"inputs": "café"}


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_a_single_body_that_is_no_text_is_the_client_s_fault(content_type):
    with pytest.raises(Fault, match="not valid utf-8") as caught:
        read_one(b'{"inputs": "caf\xe9"}', content_type, "utf-8")
    assert (caught.value.code, caught.value.fault) == ("invalid_input", "client")


@pytest.mark.parametrize(
    "charset", ["utf-8", "utf-16", "utf-16-le", "utf-32", "shift_jis", "gb18030"]
)
def test_lines_are_read_in_the_charset_that_the_caller_names(charset):
    body = '{"inputs": "日本"}\n{"inputs": "b"}\n'.encode(charset)
    assert [r.document["inputs"] for r in lines(body, charset=charset)] == ["日本", "b"]


def test_a_body_that_is_cut_inside_a_character_is_the_client_s_fault():
    with pytest.raises(Fault) as caught:
        lines("ab".encode("utf-16")[:-1], CSV, "utf-16")
    assert (caught.value.code, caught.value.fault) == ("invalid_input", "client")


def test_a_byte_order_mark_is_no_text():
    assert read_one(b"\xef\xbb\xbfhi", "text/plain", "utf-8") == {"inputs": "hi"}
    assert read_one("\ufeff{}", "application/json", "utf-8") == {}
    assert rows_of(b"\xef\xbb\xbflate\n") == ["late"]
    assert outcome(lines(b'\xef\xbb\xbf{"a": 1}')[0]) == {"a": 1}


def rows_of(body):
    return [record.document["inputs"] for record in lines(body, CSV)]


def test_an_empty_body_has_no_records():
    for nothing in (None, b"", "", bytearray()):
        assert lines(nothing) == []
        assert lines(nothing, CSV) == []
        assert read_one(nothing, "text/plain", "utf-8") == {"inputs": ""}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
ids = texts | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


@quick
@given(
    st.lists(st.tuples(ids, json_values), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_lines_come_back_in_order_with_their_ids(entries, line_end, ascii_only, ends):
    written = [
        json.dumps({"id": name, "inputs": value}, ensure_ascii=ascii_only)
        for name, value in entries
    ]
    body = line_end.join(written) + (line_end if ends else "")
    try:
        body = body.encode()
    except UnicodeEncodeError:  # half of a surrogate pair can travel in an escape only
        return
    records = lines(body)
    if not entries and ends:
        assert [outcome(r) for r in records] == ["invalid_json"]
        return
    assert [r.identity for r in records] == [{"id": name} for name, _ in entries]
    assert [r.document for r in records] == [{"inputs": value} for _, value in entries]
    assert [r.line for r in records] == list(range(1, len(entries) + 1))


@quick
@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from([b"{", b'"', b"\n", b"\xff", b"[1]", b'{"id": 1}', b"\xf0\x9f"])
    ).map(b"".join)
)
def test_arbitrary_bytes_get_a_record_for_every_line(body):
    records = lines(body)
    assert len(records) == len(body.split(b"\n")) - body.endswith(b"\n") if body else not records
    assert all(isinstance(r.document, dict | Fault) for r in records)
    for record in lines(body, CSV):
        assert isinstance(record.document, dict | Fault)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"inputs": "cut o', "invalid_json"),
        (b'{"inputs": "a"} {"inputs": "b"}', "invalid_json"),
        (b'{"inputs": NaN}', "invalid_json"),
        (b'{"inputs": 1e999}', "invalid_json"),
        (b'{"inputs": ' + b"9" * 5000 + b"}", "invalid_json"),
        (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json"),
        (b'"a text"', "invalid_input"),
        (b'["a text"]', "invalid_input"),
        (b"5", "invalid_input"),
        (b"null", "invalid_input"),
        (b"  ", "invalid_json"),
        (b'{"id": [1], "inputs": "a"}', "invalid_input"),
        (b'{"id": true, "inputs": "a"}', "invalid_input"),
        (b'{"id": null, "inputs": "a"}', "invalid_input"),
        (b"", "invalid_json"),
    ],
)
def test_a_line_that_is_no_document_is_a_fault_of_its_own(line, code):
    good = b'{"id": 1, "inputs": "a"}'
    first, bad, last = lines(good + b"\n" + line + b"\n" + good)
    assert (first.line, bad.line, last.line) == (1, 2, 3)
    assert outcome(bad) == code
    assert outcome(first) == outcome(last) == {"inputs": "a"}
    with pytest.raises(Fault) as caught:
        read_one(line, "application/json", "utf-8")
    assert (caught.value.code, caught.value.fault) == (code, "client")


def test_nothing_but_a_line_feed_ends_a_line():
    body = '{"inputs": "a\u2028b\u2029c\u0085d\x0be"}\n{"inputs":\r"refund"}'.replace(
        "\x0b", "\\u000b"
    )
    assert [r.document["inputs"] for r in lines(body.encode())] == [
        "a\u2028b\u2029c\u0085d\x0be",
        "refund",
    ]


@beside_the_checkout
@pytest.mark.parametrize("path", sorted(SPECTRUM.glob("csvs/*.csv")), ids=lambda path: path.stem)
def test_the_csv_spectrum_is_read_as_its_json_has_it(path):
    # Its files have a header and several columns, so the cells are read one by one.
    header, *expected = _cells(path)
    text = path.read_bytes().decode()
    recovered = rows(text)
    assert len(recovered) == len(expected) + 1
    assert recovered == ["invalid_csv"] * len(recovered)
    one_column = "".join(f"{_quoted(cell)}\r\n" for row in [header, *expected] for cell in row)
    assert rows(one_column) == [cell for row in [header, *expected] for cell in row]


def _cells(path):
    documents = json.loads((SPECTRUM / "json" / f"{path.stem}.json").read_text())
    return [list(documents[0]), *(list(document.values()) for document in documents)]


def _quoted(cell):
    return '"' + cell.replace('"', '""') + '"'


@beside_the_checkout
@pytest.mark.parametrize(
    "path", sorted(ROBUSTNESS.glob("csv_odd/*.?sv")), ids=lambda path: path.name
)
def test_odd_csv_files_have_as_many_rows_as_they_should(path):
    # They hold a label and a text, so every whole row has two columns.
    expected = json.loads((path.parent / "expected.json").read_text())[path.name]["rows"]
    records = lines(path.read_bytes(), CSV)
    two_columns = [r for r in records if "got 2" in getattr(r.document, "message", "")]
    if expected is not None and "utf16" not in path.name and "header" not in path.name:
        assert len(two_columns) == len(expected)
    if path.name == "utf16le_bom.csv":
        records = lines(path.read_bytes(), CSV, "utf-16")
        assert sum("got 2" in r.document.message for r in records) == len(expected)
