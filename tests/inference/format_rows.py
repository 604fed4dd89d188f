"""The formats that are read and written, a row each: a request and what must come back."""

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

JSON, VERBOSE, LINES = "application/json", "application/json;verbose", "application/jsonlines"
X_TEXT, PLAIN, CSV = "application/x-text", "text/plain", "text/csv"
SHORT = "my parcel is late"
LONG = "why was the price on my bill not the price of the order " * 9
LABELS = ["courier", "refund", "my account"]
CUT = "x-amzn-sagemaker-custom-attributes"


@dataclass
class Row:
    """A request to one of the artifacts; `answers` makes the expected documents of a pipeline."""

    name: str
    content_type: str | None
    accept: str | None
    body: bytes
    answers: Callable[[Any], list]
    returned_type: str
    cut: str | None = None
    artifact: str = "classifier"


@dataclass
class Refusal:
    """A request that is answered with 400 and a fault, or with the toolkit's own words."""

    name: str
    content_type: str | None
    accept: str | None
    body: bytes
    code: str | None
    artifact: str = "classifier"


def document(**fields):
    return json.dumps(fields, ensure_ascii=False).encode()


def best(text):
    return lambda pipeline: [pipeline(text, truncation=True)]


def probabilities(*texts):
    return lambda pipeline: [{"probabilities": _scores(pipeline, text)} for text in texts]


def verbose(*texts):
    return lambda pipeline: [_verbose(pipeline, text) for text in texts]


def lines(*entries):
    """Lines of a batch: (id, text), where an id of None is none, or an error as it is."""

    def of(pipeline):
        return [
            entry
            if isinstance(entry, dict)
            else _with_id(entry[0], {"prediction": pipeline(entry[1], truncation=True)})
            for entry in entries
        ]

    return of


def zero_shot(*texts, **parameters):
    return lambda pipeline: [pipeline(text, LABELS, **parameters) for text in texts]


def error(line, code):
    return {"error": {"code": code, "fault": "client", "line": line}}


def _scores(pipeline, text):
    found = {
        entry["label"]: entry["score"] for entry in pipeline(text, top_k=None, truncation=True)
    }
    return [found[label] for label in pipeline.model.config.id2label.values()]


def _verbose(pipeline, text):
    return {
        "probabilities": _scores(pipeline, text),
        "labels": list(pipeline.model.config.id2label.values()),
        "predicted_label": pipeline(text, truncation=True)[0]["label"],
    }


def _with_id(name, outcome):
    return outcome if name is None else {"id": name, **outcome}


def _text_rows():
    umlaut = "wo ist mein Päckchen"
    one = document(inputs=SHORT)
    for charset in ("utf-8", '"UTF-8"', "iso-8859-1", "utf-16"):
        yield Row(
            f"JSON in {charset}",
            f"application/json; charset={charset}",
            JSON,
            json.dumps({"inputs": umlaut}, ensure_ascii=False).encode(charset.strip('"')),
            best(umlaut),
            JSON,
        )
    yield Row("JSON without Accept", JSON, None, one, best(SHORT), JSON)
    yield Row("JSON with a line end", JSON, "*/*", one + b"\n", best(SHORT), JSON)
    yield Row("no Content-Type", None, JSON, one, best(SHORT), JSON)
    yield Row(
        "a browser's Accept", JSON, "application/json, text/plain, */*", one, best(SHORT), JSON
    )
    weighted = "text/html, application/json;q=0.5, application/json;verbose"
    yield Row("weighted Accept", JSON, weighted, one, verbose(SHORT), VERBOSE)
    yield Row("verbose", JSON, VERBOSE, one, verbose(SHORT), VERBOSE)
    several = document(inputs=[SHORT, LONG, ""], parameters={"top_k": None})
    yield Row(
        "a list with parameters",
        JSON,
        JSON,
        several,
        lambda pipeline: [pipeline([SHORT, LONG, ""], top_k=None, truncation=True)],
        JSON,
        cut="lectern-truncated=1",
    )
    yield Row(
        "a text that is cut", PLAIN, None, LONG.encode(), best(LONG), JSON, "lectern-truncated=1"
    )
    yield Row("plain text", PLAIN, JSON, SHORT.encode(), best(SHORT), JSON)
    in_utf16 = umlaut.encode("utf-16")
    yield Row("plain text in UTF-16", f"{PLAIN};charset=utf-16", JSON, in_utf16, best(umlaut), JSON)
    yield Row("an empty text", PLAIN, JSON, b"", best(""), JSON)
    text = SHORT.encode()
    yield Row("JumpStart text without Accept", X_TEXT, None, text, probabilities(SHORT), JSON)
    yield Row("JumpStart text", X_TEXT, JSON, text, probabilities(SHORT), JSON)
    yield Row("JumpStart text, verbose", X_TEXT, VERBOSE, text, verbose(SHORT), VERBOSE)


def _line_rows():
    csv = f'{SHORT}\r\n"two\nlines, ""quoted"""\r\nrefund\r\n'.encode()
    texts = (SHORT, 'two\nlines, "quoted"', "refund")
    plain = lines(*((None, text) for text in texts))
    yield Row("CSV without Accept", CSV, None, csv, plain, JSON)
    yield Row("CSV as JSON lines", CSV, LINES, csv, plain, LINES)
    yield Row("CSV", CSV, CSV, csv, probabilities(*texts), CSV)
    yield Row("CSV, verbose", CSV, "text/csv;verbose", csv, verbose(*texts), "text/csv;verbose")
    yield Row(
        "CSV with bad rows",
        "text/csv; charset=utf-8",
        JSON,
        b'late\ntwo,columns\n\n"broken" quote\ncaf\xe9\nrefund',
        lines(
            (None, "late"),
            error(2, "invalid_csv"),
            error(3, "invalid_csv"),
            error(4, "invalid_csv"),
            error(5, "invalid_input"),
            (None, "refund"),
        ),
        JSON,
    )
    many = b'{"id": 1, "inputs": "late"}\n{"id": 2, "inpu\n{"id": "c", "inputs": "refund"}\n'
    expected = lines((1, "late"), error(2, "invalid_json"), ("c", "refund"))
    yield Row("JSON lines", LINES, LINES, many, expected, LINES)
    yield Row("JSON lines by the older name", "application/x-jsonlines", JSON, many, expected, JSON)
    yield Row("JSON lines without Accept", LINES, None, many, expected, JSON)
    single = b'{"id": "a", "inputs": "late"}\n'
    yield Row("a single JSON line", LINES, LINES, single, lines(("a", "late")), LINES)
    yield Row("no line at all", LINES, LINES, b"", lines(), LINES)
    yield Row(
        "JSON lines, verbose",
        LINES,
        "application/jsonlines;verbose",
        b'{"id": 5, "inputs": "late"}',
        lambda pipeline: [{"id": 5, "prediction": _verbose(pipeline, "late")}],
        "application/jsonlines;verbose",
    )
    yield Row(
        "a line that is cut",
        LINES,
        LINES,
        document(inputs=LONG),
        lambda pipeline: [{"prediction": pipeline(LONG, truncation=True), "truncated": 1}],
        LINES,
    )


def _zero_shot_rows():
    def row(name, body, answers, content_type=JSON, accept=None, returned_type=JSON):
        return Row(name, content_type, accept, body, answers, returned_type, artifact="nli")

    parameters = {
        "candidate_labels": LABELS,
        "hypothesis_template": "about {}",
        "multi_label": True,
    }
    yield row(
        "zero-shot",
        document(inputs=SHORT, parameters=parameters),
        zero_shot(SHORT, hypothesis_template="about {}", multi_label=True),
    )
    flat = document(sequences=SHORT, candidate_labels=LABELS, multi_class=True)
    yield row("zero-shot in JumpStart's form", flat, zero_shot(SHORT, multi_label=True))
    commas = {"candidate_labels": ", ".join(LABELS)}
    yield row(
        "zero-shot, labels with commas",
        document(inputs=SHORT, parameters=commas),
        zero_shot(SHORT),
    )
    both = document(inputs=SHORT, parameters=commas) + b"\n" + flat
    yield row(
        "zero-shot lines",
        both,
        lambda pipeline: [
            {"prediction": pipeline(SHORT, LABELS)},
            {"prediction": pipeline(SHORT, LABELS, multi_label=True)},
        ],
        LINES,
        LINES,
        LINES,
    )


def _refusals():
    one = document(inputs=SHORT)
    pickled = pickle.dumps({"inputs": SHORT})
    for content_type in ("application/x-npy", "application/x-pickle", "application/octet-stream"):
        yield Refusal(content_type, content_type, JSON, pickled, "unsupported_content_type")
    yield Refusal(
        "an unknown charset", "text/plain;charset=zlib", JSON, b"a", "unsupported_content_type"
    )
    for accept in ("text/html", "application/x-npy", "*/*;q=0", "text/csv"):
        yield Refusal(f"Accept {accept}", JSON, accept, one, "not_acceptable")
    # Echoed as it is, it would end the model server's worker.
    yield Refusal("Accept beyond ASCII", JSON, "application/json;ü", one, "not_acceptable")
    yield Refusal("no JSON", JSON, JSON, b'{"inputs": "cut o', "invalid_json")
    yield Refusal("no body", JSON, JSON, b"", "invalid_json")
    yield Refusal("two documents", JSON, JSON, one + b"\n" + one, "invalid_json")
    yield Refusal("no inputs", JSON, JSON, document(input=SHORT), "invalid_input")
    angle = document(inputs=SHORT, parameters={"<&>'=\u2028": 1})
    yield Refusal("an unknown parameter", JSON, JSON, angle, "invalid_parameter")
    whole = document(inputs=LONG, parameters={"truncation": False})
    yield Refusal("too long, not to be cut", JSON, JSON, whole, "too_long")
    # The toolkit decodes two types itself, and speaks for itself where it cannot.
    yield Refusal("no UTF-8", JSON, JSON, b'{"inputs": "caf\xe9"}', None)
    yield Refusal("no UTF-8, declared", f"{JSON};charset=utf-8", JSON, b'"\xe9"', "invalid_input")
    yield Refusal("no labels", X_TEXT, None, SHORT.encode(), "invalid_parameter", "nli")
    template = {"candidate_labels": LABELS, "hypothesis_template": "{0.__class__}"}
    body = document(inputs=SHORT, parameters=template)
    yield Refusal("a template with more than a gap", JSON, None, body, "invalid_parameter", "nli")
    yield Refusal("a model that did not load", JSON, JSON, one, "model_not_loaded", "broken")
    yield Refusal("any type to it", "a/b", "c/d", b"\x80", "model_not_loaded", "broken")


ROWS = [*_text_rows(), *_line_rows(), *_zero_shot_rows()]
REFUSALS = [*_refusals()]
