"""How schemathesis writes bodies of the media types that it does not know."""

import csv
import io
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-text", "application/jsonlines", "application/x-ndjson")
def as_it_is(_: Any, value: Any) -> bytes:
    return _encoded(str(value))


@schemathesis.serializer("text/csv")
def rows_or_anything(_: Any, value: Any) -> bytes:
    """As it is, which may be no CSV, or as two texts or a pair of them; its length decides."""
    text = str(value)
    half = len(text) // 2
    rows = {1: [[text[:half]], [text[half:]]], 2: [[text[:half], text[half:]]]}.get(len(text) % 3)
    if rows is None:
        return _encoded(text)
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    return _encoded(written.getvalue())


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogatepass")
