"""Content types that the handler reads, and the answer that an Accept header asks for."""

import codecs
from dataclasses import dataclass, field

from fault import Fault

JSON = "application/json"
JSON_LINES = ("application/jsonlines", "application/x-jsonlines")
TEXT = ("application/x-text", "text/plain")
CSV = "text/csv"
READ = (JSON, *JSON_LINES, *TEXT, CSV)


@dataclass(frozen=True)
class MediaType:
    """One media type or range, in lower case; a parameter without a value maps to ""."""

    name: str
    parameters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "MediaType":
        name, *parameters = (part.strip().lower() for part in text.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters if parameter)
        return cls(name, {key.strip(): value.strip(' "') for key, _, value in pairs})

    @property
    def quality(self) -> float:
        try:
            return float(self.parameters.get("q", "1"))
        except ValueError:
            return 1.0


def read_content_type(header: str | None) -> tuple[str, str]:
    """Return the media type's name and the charset of the body."""
    media = MediaType.parse(header or JSON)
    if media.name not in READ:
        raise Fault(
            "unsupported_content_type",
            f"content type '{media.name}' is not read here: use one of {', '.join(READ)}",
        )
    charset = media.parameters.get("charset") or "utf-8"
    try:
        return media.name, codecs.lookup(charset).name
    except LookupError:
        raise Fault(
            "unsupported_content_type", f"charset '{charset}' is unknown: use utf-8"
        ) from None


def wants_verbose(accept: str | None, content_type: str) -> bool:
    """Tell whether the best acceptable answer is `;verbose`; raise where none is acceptable.

    Bodies of many records are answered in JSON lines, whichever of the names asks for it.
    """
    produced = [JSON, *JSON_LINES]
    if content_type == CSV:
        produced.append(CSV)
    ranges = [MediaType.parse(part) for part in (accept or "*/*").split(",") if part.strip()]
    for media in sorted(ranges, key=lambda media: -media.quality):
        matches = media.name in produced or media.name in ("*/*", "application/*")
        if matches and media.quality > 0:
            return "verbose" in media.parameters
    raise Fault(
        "not_acceptable",
        f"'{accept}' cannot be answered: accept {JSON}, or {JSON};verbose for all probabilities",
    )
