"""Content types and content negotiation, as RFC 9110 has it."""

import pytest

from fault import Fault
from wire.accept import Shape, forms, negotiate
from wire.media import read_content_type

JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"


def chosen(accept, content_type=JSON, *, has_classes=True):
    return str(negotiate(accept, forms(content_type, has_classes=has_classes)))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (JSON, "utf-8")),
        ("", (JSON, "utf-8")),
        ("application/json", (JSON, "utf-8")),
        ("Application/JSON ; Charset=UTF-8", (JSON, "utf-8")),
        ('application/json;charset="iso-8859-1"', (JSON, "iso8859-1")),
        ('text/csv; header="a;b"; charset=utf-16', (CSV, "utf-16")),
        ("application/json;charset=", (JSON, "utf-8")),
        ("application/x-jsonlines; charset=Shift_JIS", ("application/x-jsonlines", "shift_jis")),
    ],
)
def test_the_type_and_charset_of_a_body_are_read(header, expected):
    assert read_content_type(header) == expected


@pytest.mark.parametrize(
    "header",
    [
        "application/x-npy",
        "application/x-pickle",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "image/png",
        "text/html",
        "json",
        ";charset=utf-8",
        "application/json, text/csv",
    ],
)
def test_other_types_are_refused_with_the_ones_that_are_read(header):
    with pytest.raises(Fault) as caught:
        read_content_type(header)
    assert (caught.value.code, caught.value.fault) == ("unsupported_content_type", "client")
    assert caught.value.field == "Content-Type"
    assert JSON in caught.value.allowed
    assert "application/x-npy" not in caught.value.allowed


@pytest.mark.parametrize(
    "charset", ["klingon", "zlib", "base64", "rot13", "hex", "unicode_escape", "idna", "..", "a b"]
)
def test_what_is_no_charset_is_refused(charset):
    with pytest.raises(Fault, match="use utf-8") as caught:
        read_content_type(f"text/plain; charset={charset}")
    assert caught.value.code == "unsupported_content_type"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("*", JSON),
        ("application/json", JSON),
        ("application/json; charset=utf-8", JSON),
        ("Application/JSON ; Verbose", "application/json;verbose"),
        ("application/json, text/plain, */*", JSON),
        ("text/html, application/*;q=0.8", JSON),
        ("text/html, image/gif, *; q=.2, */*; q=.2", JSON),
        ("application/jsonlines", LINES),
        # The weight decides, wherever it stands.
        ("application/json;q=0.5, application/json;verbose", "application/json;verbose"),
        ("application/json;verbose;q=0.9, application/json", JSON),
        ("application/json;verbose;q=0.5, application/json;q=0.6", JSON),
        ("application/jsonlines;q=0.9, application/json;q=0.8", LINES),
        # The most specific range gives a form its weight.
        ("application/json;q=0.1, */*", LINES),
        ("application/*;q=0.9, application/json;q=0.1, */*;q=0.2", LINES),
        ("*/*, application/json;q=0", LINES),
        # Between equal weights, what is named closer wins, then what is named first.
        ("application/json, application/json;verbose", "application/json;verbose"),
        ("*/*, application/json;verbose", "application/json;verbose"),
        ("application/jsonlines, application/json", LINES),
        ("application/json, application/jsonlines", JSON),
        # Not a weight at all, or one out of bounds.
        ("application/json;q=much", JSON),
        ("application/json;q=nan", JSON),
        ("application/json;q=7", JSON),
        ('application/json;profile="a, b;q=0"', JSON),
    ],
)
def test_the_best_acceptable_form_is_chosen(accept, expected):
    assert chosen(accept) == expected


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/x-npy",
        "*/json",
        "*/*;q=0",
        "application/json;q=-1",
        "text/csv",
        "application/json;é",
        ",",
    ],
)
def test_where_nothing_is_acceptable_the_allowed_forms_are_named(accept):
    with pytest.raises(Fault) as caught:
        chosen(accept)
    assert (caught.value.code, caught.value.fault) == ("not_acceptable", "client")
    assert caught.value.field == "Accept"
    assert {JSON, "application/json;verbose"} <= set(caught.value.allowed)


def test_a_task_without_classes_has_no_verbose_answer():
    with pytest.raises(Fault) as caught:
        chosen("application/json;verbose", has_classes=False)
    assert caught.value.allowed == [JSON, LINES, "application/x-jsonlines"]
    assert chosen("application/json;verbose, application/json;q=0.1", has_classes=False) == JSON
    with pytest.raises(Fault, match="text/csv"):
        chosen("text/csv", CSV, has_classes=False)


@pytest.mark.parametrize(
    ("content_type", "accept", "has_classes", "shape", "bare"),
    [
        (JSON, JSON, True, Shape.PIPELINE, False),
        ("text/plain", JSON, True, Shape.PIPELINE, False),
        ("application/x-text", JSON, True, Shape.PROBABILITIES, False),
        ("application/x-text", "*/*", True, Shape.PROBABILITIES, False),
        ("application/x-text", JSON, False, Shape.PIPELINE, False),
        ("application/x-text", "application/json;verbose", True, Shape.VERBOSE, False),
        (LINES, LINES, True, Shape.PIPELINE, False),
        (CSV, JSON, True, Shape.PIPELINE, False),
        (CSV, CSV, True, Shape.PROBABILITIES, True),
        (CSV, "text/*", True, Shape.PROBABILITIES, True),
        (CSV, "text/csv;verbose", True, Shape.VERBOSE, True),
    ],
)
def test_what_an_answer_holds_follows_from_both_headers(
    content_type, accept, has_classes, shape, bare
):
    form = negotiate(accept, forms(content_type, has_classes=has_classes))
    assert (form.shape, form.bare) == (shape, bare)
