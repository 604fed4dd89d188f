"""Keeps the web pages of others out: a browser here reaches this address, and jobs run commands.

Two headers tell, which no page can set: `Origin` is whose page asks, `Host` is the name by which
the browser came (anybody can point a name of theirs at 127.0.0.1).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

Headers = Iterable[tuple[bytes, bytes]]

# Clients may put a bucket before the name. Behind a proxy they ask for AWS's names, which nobody
# else can point here; but anybody may have a page there.
_OWN_ORIGIN = re.compile(r"(.+\.)?(localhost|127\.0\.0\.1)")
_OWN_HOST = re.compile(rf"{_OWN_ORIGIN.pattern}|.+\.amazonaws\.com")


def fault(headers: Headers) -> str | None:
    """Why a request must not be answered; None when it may be."""
    given = {name.lower(): value.decode("latin-1") for name, value in headers}
    origin, host = given.get(b"origin"), given.get(b"host")
    if origin is not None and not _names(_OWN_ORIGIN, origin):
        return f"Origin: only pages of localhost may use the local AWS, got {origin[:200]!r}"
    if host is not None and not _names(_OWN_HOST, f"//{host}"):
        return f"Host: the local AWS answers to 127.0.0.1 and localhost, got {host[:200]!r}"
    return None


def refusal(reason: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The headers and body of a 403, without those by which other answers let pages in."""
    body = json.dumps({"__type": "AccessDeniedException", "message": reason}).encode()
    return [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-errortype", b"AccessDeniedException"),
    ], body


def _names(own: re.Pattern[str], url: str) -> bool:
    try:
        name = urlsplit(url).hostname
    except ValueError:
        return False
    return name is not None and own.fullmatch(name) is not None
