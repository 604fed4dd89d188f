"""What a handler reports when it cannot answer, so that the caller learns whose fault it was."""

import json
import re
from collections.abc import Sequence
from typing import Literal

# From the root, from here, from home, or of a URL; "and/or" is none.
_PATH = re.compile(
    r"(?:[a-z][a-z0-9]*:/|(?<![\w.])[.~]{0,2})(?:/[\w.~@+-]+)*?/(?P<name>[\w.@+-]*)(?![\w.~@+/-])"
)


class Fault(Exception):
    """Its text is one JSON object, since the serving toolkit passes on nothing but the text.

    The toolkit makes a 400 of every exception: `fault` tells a bad request from a bad model.
    `field` is the field of the request that is wrong, `allowed` the values that it may have.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        fault: Literal["client", "server"] = "client",
        field: str | None = None,
        allowed: Sequence[str] | None = None,
    ) -> None:
        super().__init__(code, message, fault)
        self.code = code
        self.message = message
        self.fault = fault
        self.field = field
        self.allowed = allowed

    @property
    def document(self) -> dict[str, object]:
        """The object that a caller gets, as an answer or on the line of a batch."""
        document: dict[str, object] = {
            "code": self.code,
            "fault": self.fault,
            "message": self.message,
        }
        if self.field is not None:
            document["field"] = self.field
        if self.allowed is not None:
            document["allowed"] = list(self.allowed)
        return document

    def __str__(self) -> str:
        return json.dumps(self.document)


def without_paths(text: str) -> str:
    """The first line of `text`, with the file's name in place of each path."""
    first, *_ = text.strip().splitlines() or [""]
    return _PATH.sub(lambda path: path["name"] or "a directory", first[:1000])[:300]
