"""The playground and the documentation as the API itself serves them, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.api.hub_asks import TEXT
from tests.api.served import PREFIX, SOURCES, Served
from tests.pages.browser import Browser, Page, browser, found

LINES = '{"id": 1, "inputs": "my parcel"}\nnot json\n{"id": 3, "inputs": "my bill"}\n'


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = found()
    if path is None:
        pytest.skip("no Chromium on PATH (apt-get install chromium): the pages are not looked at")
    with browser(path, tmp_path_factory.mktemp("chromium")) as driven:
        yield driven


@pytest.fixture
def opened(chromium: Browser, served: Served) -> Iterator[Callable[[str], Page]]:
    pages: list[Page] = []

    def open_page(path: str) -> Page:
        page = chromium.page()
        pages.append(page)
        page.open(f"{served.url}{path}")
        return page

    yield open_page
    for page in pages:
        complaints, requested = page.complaints(), page.requested()
        page.close()
        assert complaints == []
        # The API, and S3 for uploads and results: one address on the local AWS.
        assert [u for u in requested if not u.startswith(served.road.endpoint_url)] == []


def signed_in(opened: Callable[[str], Page], served: Served, model: str) -> Page:
    page = opened("/")
    page.fill("#credential", served.key)
    page.click("#credentials button")
    page.until("!document.getElementById('work').hidden")
    page.fill("#model", model)
    return page


def test_the_playground_predicts_with_the_real_model(opened, served, call):
    page = signed_in(opened, served, "sorts")
    page.click("#example")
    page.click("#send")
    page.until("document.querySelector('#answer #fact-took')")
    shown = page.js("[...document.querySelectorAll('#answer .bars .name')].map(n => n.textContent)")
    labels = call("GET", "/v1/models/sorts").json()
    assert labels["state"] == "InService"
    assert len(shown) >= 1
    assert page.js("document.getElementById('answer').textContent").count(labels["version"]) == 1


def test_the_playground_asks_about_a_pair(opened, served):
    page = signed_in(opened, served, "sorts")
    page.fill("#text", "is it late")
    page.fill("#text-pair", "the parcel came")
    page.click("#send")
    page.until("document.querySelector('#answer #fact-took')")
    assert page.js("document.querySelectorAll('#answer .bars .name').length") >= 2


@pytest.mark.parametrize("model", sorted(SOURCES))
def test_each_task_is_asked_and_its_answer_or_problem_is_shown(opened, served, model):
    page = signed_in(opened, served, model)
    page.click("#example")
    page.click("#send")
    page.until(
        "document.querySelector('#answer #fact-took') || document.querySelector('#answer .problem')"
    )


def test_the_documentation_lists_every_path_of_this_deployment(opened, served, call):
    page = opened("/v1/docs")
    page.until("document.body.textContent.includes('/v1/models/sorts')")
    shown = page.js("document.body.textContent")
    for path in call("GET", "/v1/openapi.json").json()["paths"]:
        assert path in shown


def test_a_file_dropped_into_the_playground_is_worked_off(opened, served, tmp_path: Path):
    lines = tmp_path / "lines.jsonl"
    lines.write_text(LINES)
    page = signed_in(opened, served, "sorts")
    page.click("#tab-batch")
    page.upload("#file", lines)
    page.click("#start")
    page.until("document.body.textContent.includes('Completed')", seconds=90)
    assert TEXT not in page.js("document.title")


def test_an_object_in_s3_is_worked_off(opened, served: Served):
    [stack] = served.road.client("cloudformation").describe_stacks(StackName=f"{PREFIX}-storage")[
        "Stacks"
    ]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    bucket = outputs["DataBucketName"]
    served.road.client("s3").put_object(Bucket=bucket, Key="batches/in.csv", Body=b"a text\nb\n")
    page = signed_in(opened, served, "sorts")
    page.click("#tab-batch")
    page.fill("#uri", f"s3://{bucket}/batches/in.csv")
    page.click("#start")
    page.until("document.querySelector('#progress .get')", seconds=90)
    assert "2 of 2 lines" in page.text("#progress")
