"""Content types that are read: the media type of a body and the charset of its text."""

import codecs
import re

from fault import Fault

JSON = "application/json"
JSON_LINES = ("application/jsonlines", "application/x-jsonlines")
# The JumpStart name, whose readers expect JumpStart's answers.
X_TEXT = "application/x-text"
TEXT = (X_TEXT, "text/plain")
CSV = "text/csv"
READ = (JSON, *JSON_LINES, *TEXT, CSV)

# Python's codecs that are escapes of ASCII rather than charsets, some of them slow on purpose.
_NO_CHARSETS = {"unicode_escape", "raw_unicode_escape", "punycode", "idna", "undefined"}
_PARTS = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*")+')


def parse(text: str) -> tuple[str, dict[str, str]]:
    """A media type or range in lower case, and its parameters; one without a value maps to ""."""
    name, *parameters = [part.strip() for part in _PARTS.findall(text)] or [""]
    pairs = (parameter.partition("=") for parameter in parameters if parameter)
    return name.lower(), {
        key.strip().lower(): value.strip().strip('"').lower() for key, _, value in pairs
    }


def read_content_type(header: str | None) -> tuple[str, str]:
    """Return the media type's name and the charset of the body; a body without one is JSON."""
    name, parameters = parse(header or JSON)
    if name not in READ:
        raise Fault(
            "unsupported_content_type",
            f"Content-Type: '{name[:60]}' is not read here: use one of {', '.join(READ)}",
            field="Content-Type",
            allowed=READ,
        )
    return name, _charset(parameters.get("charset") or "utf-8")


def _charset(name: str) -> str:
    try:
        if not re.fullmatch(r"[\w.:-]{1,40}", name, re.ASCII):
            raise LookupError(name)
        charset = codecs.lookup(name).name
        # Python has codecs from bytes to bytes too; decoding refuses those.
        b" ".decode(charset, "ignore")
    except (LookupError, UnicodeError):
        charset = "undefined"
    if charset.replace("-", "_") in _NO_CHARSETS:
        raise Fault(
            "unsupported_content_type",
            f"Content-Type: charset '{name[:40]}' is not known here: use utf-8",
            field="Content-Type",
        )
    return charset
