"""The documentation page in a real browser, against a description with every turn that one can take."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.lambda_bundle import FUNCTIONS
from tests.pages.browser import Browser, Page
from tests.pages.conftest import FAINT, KEY, NAMELESS, WIDER, Stub, opened_pages

NewPage = Callable[..., Page]
SAMPLE = json.loads(Path(__file__).with_name("openapi_sample.json").read_text(encoding="utf-8"))
OPERATIONS = {
    (verb.upper(), path, operation["operationId"])
    for path, item in SAMPLE["paths"].items()
    for verb, operation in item.items()
    if verb in ("get", "post", "delete")
}


@pytest.fixture(scope="module")
def page(chromium: Browser, stub: Stub) -> Iterator[Page]:
    """The page, opened once: reading changes nothing."""
    with opened_pages(chromium, stub) as make:
        yield opened(make(), f"{stub.local}/v1/docs")


def opened(page: Page, address: str) -> Page:
    page.open(address)
    page.until("document.querySelector('article')")
    return page


def test_every_operation_is_there_with_its_parameters_and_answers(page: Page) -> None:
    shown = page.js(
        "[...document.querySelectorAll('article')].map((it) => [it.querySelector('.verb').textContent,"
        " it.querySelector('.route').textContent, it.id])"
    )
    assert {
        (verb, route.removeprefix(verb).removesuffix("deprecated"), name)
        for verb, route, name in shown
    } == OPERATIONS
    assert {name for *_, name in OPERATIONS} == set(
        page.js("[...document.querySelectorAll('[data-call]')].map((it) => it.dataset.call)")
    )
    predict = page.js("document.getElementById('predict').textContent")
    for part in (
        "Prefer",
        "Accept",
        "text/plain",
        "candidate_labels",
        "long_text",
        "x-lectern-model-version",
        "504",
    ):
        assert part in predict
    everything = page.js("document.body.textContent")
    for slip in ("undefined", "[object", "NaN", "$ref"):
        assert slip not in page.js("document.querySelector('main').textContent"), slip
    assert "As Node above." in everything
    assert page.js(NAMELESS) == []


def test_nested_fields_say_their_types_bounds_and_needs(page: Page) -> None:
    text = page.js(
        "[...document.querySelectorAll('#predict .tree > li')].map((it) => it.textContent.replace(/\\s+/g, ' '))"
    )
    assert any(item.startswith("top_kinteger or null") for item in text)
    assert any(
        item.startswith('function_to_apply"sigmoid", "softmax", "none" or null') for item in text
    )
    assert any(item.startswith("candidate_labels") and "required" in item for item in text)
    model = page.js("document.getElementById('getModel').textContent")
    assert "matches ^[a-z][a-z0-9-]*$" in model
    assert "version" in model  # of the second part of an allOf


def test_the_filter_leaves_what_matches(page: Page) -> None:
    page.fill("#filter", "batch delete")
    assert page.js(
        "[...document.querySelectorAll('article:not([hidden])')].map((it) => it.id)"
    ) == ["stopBatch"]
    assert page.text("#matched") == f"1 of {len(OPERATIONS)} calls"
    page.fill("#filter", "")
    assert page.js("document.querySelectorAll('article:not([hidden])').length") == len(OPERATIONS)


def test_a_link_leads_to_its_call_and_a_problem(new_page: NewPage, stub: Stub) -> None:
    page = opened(new_page(), f"{stub.local}/v1/docs#stopBatch")
    page.until("Math.abs(document.getElementById('stopBatch').getBoundingClientRect().top) < 300")
    page.js("location.hash = '#problem-busy'")
    page.until("document.getElementById('problem-busy').getBoundingClientRect().top < innerHeight")
    kinds = page.js(
        "[...document.querySelectorAll('#problems tbody th')].map((it) => it.textContent)"
    )
    assert {f"urn:lectern:problem:{kind}" for kind in kinds} == set(
        SAMPLE["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    )


@pytest.mark.parametrize("call", ["listModels", "getModel", "predict", "startBatch", "listBatches"])
def test_the_curl_line_of_a_call_runs_as_it_stands(page: Page, call: str) -> None:
    line = page.js(f"document.querySelector('#{call} .beside pre').textContent")
    done = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, timeout=20, check=True,
        env={**os.environ, "LECTERN_API_KEY": KEY},
    )  # fmt: skip
    assert "urn:lectern:problem" not in done.stdout
    assert json.loads(done.stdout)


def test_an_open_call_needs_no_key(page: Page) -> None:
    assert "x-api-key" not in page.text("#health .beside pre")
    assert "GET /v1/health" in page.text("#authentication")


def test_another_example_of_a_body_changes_the_line(page: Page) -> None:
    page.fill("#predict select", "1")
    assert "candidate_labels" in page.text("#predict .beside pre")


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_told_from_its_ground(new_page: NewPage, stub: Stub, dark: bool) -> None:
    page = opened(new_page(dark=dark), f"{stub.local}/v1/docs")
    page.js("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
    assert page.js(FAINT) == []


def test_a_phone_needs_no_sideways_scrolling(new_page: NewPage, stub: Stub) -> None:
    page = opened(new_page(width=390, height=844), f"{stub.local}/v1/docs")
    page.js("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
    assert page.js(WIDER) == 0


def test_the_page_finds_its_description_behind_any_base(new_page: NewPage, stub: Stub) -> None:
    for address in (f"{stub.aws}/v1/docs", f"{stub.aws}/v1/docs#health"):
        page = opened(new_page(), address)
        assert f"{stub.aws}/v1/openapi.json" in page.requested()
        assert page.js("document.getElementById('playground-link').href") == f"{stub.aws}/"


@pytest.mark.skipif(not (FUNCTIONS / "api" / "openapi.py").exists(), reason="there is none yet")
def test_the_functions_own_description_is_shown_whole(new_page: NewPage, stub: Stub) -> None:
    with urllib.request.urlopen(f"{stub.origin}/own/v1/openapi.json") as answer:
        document = json.load(answer)
    names = [
        operation["operationId"]
        for item in document["paths"].values()
        for verb, operation in item.items()
        if verb in ("get", "post", "delete")
    ]
    page = opened(new_page(), f"{stub.origin}/own/v1/docs")
    page.js("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
    shown = page.js("[...document.querySelectorAll('article')].map((it) => it.id)")
    assert sorted(shown) == sorted(names)
    text = page.js("document.querySelector('main').innerText")
    assert not [slip for slip in ("undefined", "[object", "NaN", "$ref") if slip in text]
    assert page.js("document.querySelectorAll('#problems tbody tr').length") >= 15
    assert page.js(NAMELESS) == []
