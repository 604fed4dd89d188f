"""What the function answers for the pages, without a browser."""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.lambda_bundle import FUNCTIONS, function_zip
from tests.functions.stand_ins import function

PARTS = FUNCTIONS / "api" / "pages"


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AUTH", "PAGES"):
        monkeypatch.delenv(name, raising=False)
    with function("api"):
        import pages

        yield pages


def _both(pages: Any) -> list[Any]:
    return [pages.playground(None), pages.documentation(None)]


def test_the_policy_allows_what_the_page_holds_and_nothing_else(pages: Any) -> None:
    for answer in _both(pages):
        policy = dict(
            part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; ")
        )
        for kind in ("script", "style"):
            held = re.findall(rf"<{kind}>(.*?)</{kind}>", answer.body, re.DOTALL)
            hashes = [
                base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in held
            ]
            assert policy[f"{kind}-src"] == " ".join(f"'sha256-{digest}'" for digest in hashes)
            assert len(held) >= 2
        assert (
            policy["default-src"]
            == policy["base-uri"]
            == policy["form-action"]
            == policy["frame-ancestors"]
            == "'none'"
        )
        assert answer.content_type == "text/html; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_loads_nothing(pages: Any) -> None:
    for answer in _both(pages):
        assert re.findall(r'(?:src|href|action|poster)="(?!data:|#)[^"]*"', answer.body) == []
        assert "@import" not in answer.body
        assert re.search(r"\burl\(", answer.body) is None
        assert re.search(r"\son\w+=\"", answer.body) is None
        assert re.search(r"\sstyle=\"", answer.body) is None


def test_scripts_never_build_markup_from_text() -> None:
    for script in PARTS.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        for door in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "</script",
            "<!--",
        ):
            assert door not in text, f"{script.name}: {door}"


def test_every_part_is_in_a_page() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in PARTS.glob("*.html"))
    assert {part.name for part in PARTS.iterdir() if part.suffix != ".html"} == set(
        re.findall(r'"([a-z]+\.(?:js|css))"', pages)
    )


def test_a_page_is_told_who_may_ask_and_which_pages_there_are(
    pages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert '<meta name="lectern-auth" content="api-key">' in pages.playground(None).body
    assert (
        '<meta name="lectern-pages" content="playground documentation">'
        in pages.playground(None).body
    )
    monkeypatch.setenv("AUTH", 'jwt"><script>')
    monkeypatch.setenv("PAGES", "playground")
    assert (
        '<meta name="lectern-auth" content="jwt&quot;&gt;&lt;script&gt;">'
        in pages.playground(None).body
    )
    assert '<meta name="lectern-pages" content="playground">' in pages.playground(None).body


def test_the_bundle_holds_the_pages_and_is_the_same_twice() -> None:
    with function_zip("api") as first, function_zip("api") as second:
        assert Path(first).read_bytes() == Path(second).read_bytes()
        names = set(zipfile.ZipFile(first).namelist())
    assert {f"pages/{part.name}" for part in PARTS.iterdir()} <= names
