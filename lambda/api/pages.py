"""The two pages of the API, a playground and the documentation, each answered as one document.

A page is written as HTML with its style sheets and scripts beside it in `pages/`; they are put in
when it is first asked for, and its policy lets the browser run exactly these and load nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
from functools import cache
from pathlib import Path

from exchange import Answer, Request

FOLDER = Path(__file__).resolve().parent / "pages"
HTML = "text/html; charset=utf-8"
# `stylesheet` and `script` as the pages write them; both name a file of the folder.
_PART = re.compile(
    r'<link rel="stylesheet" href="(?P<style>[a-z]+\.css)">'
    r'|<script src="(?P<script>[a-z]+\.js)"></script>'
)
# Where a browser may send to: the API itself, S3 by presigned URLs, and the local AWS's S3.
_CONNECT = "'self' https: http://127.0.0.1:* http://localhost:*"


def playground(_: Request) -> Answer:
    """The page on which a person tries the models."""
    return _page("playground.html", os.environ.get("AUTH", "api-key"), _pages())


def documentation(_: Request) -> Answer:
    """The page that shows `/v1/openapi.json` to a person."""
    return _page("docs.html", os.environ.get("AUTH", "api-key"), _pages())


def _pages() -> str:
    # So that a page does not offer the other one where a setting left it out.
    return os.environ.get("PAGES", "playground documentation")


@cache
def _page(name: str, auth: str, pages: str) -> Answer:
    """The page with its parts in it; `auth` and `pages` are told to its scripts."""
    hashes: dict[str, list[str]] = {"style": [], "script": []}

    def put_in(part: re.Match[str]) -> str:
        kind = part.lastgroup or ""
        content = "\n" + (FOLDER / part[kind]).read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
        return f"<{kind}>{content}</{kind}>"

    page = _PART.sub(put_in, (FOLDER / name).read_text(encoding="utf-8"))
    page = page.replace("{{auth}}", html.escape(auth)).replace("{{pages}}", html.escape(pages))
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(hashes["script"]),
        "style-src": " ".join(hashes["style"]),
        "img-src": "data:",
        "connect-src": _CONNECT,
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        # A deployment may bring another page, and nothing of this one is worth keeping for long.
        "Cache-Control": "public, max-age=300",
    }
    return Answer(page, content_type=HTML, headers=headers)
