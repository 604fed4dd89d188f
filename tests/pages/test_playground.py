"""The playground in a real browser, against the stub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pages.browser import Page
from tests.pages.conftest import FAINT, KEY, NAMELESS, WIDER, Stub

NewPage = Callable[..., Page]
BARS = (
    "[...document.querySelectorAll('#answer .bars li')].map((li) => [li.querySelector('.name').textContent,"
    " li.querySelector('.fill').getBoundingClientRect().width / li.querySelector('.track').getBoundingClientRect().width,"
    " li.querySelector('.value').textContent])"
)
ANSWERED = "document.querySelector('#answer #fact-took')"


@pytest.fixture
def play(new_page: NewPage, stub: Stub) -> Callable[..., Page]:
    """The playground with a key, a model chosen and its example filled in."""

    def start(model: str = "tickets", base: str | None = None, **how: Any) -> Page:
        page = new_page(**how)
        page.open(f"{base or stub.local}/")
        page.fill("#credential", KEY)
        page.click("#credentials button")
        page.until("!document.getElementById('work').hidden")
        page.fill("#model", model)
        page.click("#example")
        return page

    return start


def asked(stub: Stub) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{stub.origin}/stub/requests") as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


def predict(page: Page) -> None:
    page.click("#send")
    page.until(ANSWERED)


def run(page: Page, language: str, command: list[str], **environment: str) -> str:
    """What the code on the page prints when it really runs."""
    page.click(f"#tab-{language}")
    done = subprocess.run(
        [*command, page.js("document.getElementById('snippet').textContent")],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "LECTERN_API_KEY": KEY, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_prediction_shows_each_label_as_a_bar_of_its_score(play: Callable[..., Page]) -> None:
    page = play()
    predict(page)
    names, widths, values = zip(*page.js(BARS), strict=True)
    assert names == ("billing", "account", "delivery", "technical", "returns")
    assert values == ("92.5 %", "3.9 %", "2.0 %", "1.2 %", "0.4 %")
    assert widths == pytest.approx((0.9247, 0.0391, 0.0202, 0.0117, 0.0043), abs=0.01)
    assert page.text("#fact-version") == "3"
    assert page.text("#fact-took").endswith((" ms", " s"))
    assert "billing, 92.5 %. Version 3" in page.js("document.getElementById('said').textContent")


def test_labels_of_zero_shot_are_edited_and_sent(play: Callable[..., Page], stub: Stub) -> None:
    page = play("open")
    page.click("[aria-label='Remove account']")
    page.click("#option-candidate_labels")
    page.type("praise")
    page.key("Enter")
    page.type("refund")
    page.key(",")
    page.fill("#option-hypothesis_template", "This is about {}.")
    page.click("#option-multi_label")
    predict(page)
    labels = ["billing", "delivery", "returns", "praise", "refund"]
    assert json.loads(asked(stub)[-1]["body"])["parameters"] == {
        "candidate_labels": labels, "hypothesis_template": "This is about {}.", "multi_label": True,
    }  # fmt: skip
    assert [name for name, *_ in page.js(BARS)] == labels
    page.click("#option-candidate_labels")
    page.key("Backspace")
    assert page.js("document.querySelectorAll('.chip').length") == 4


SEEN = {
    "people": "Ada Lovelace PER met Charles Babbage PER in London LOC in 1833.",
    "facts": "On Saturdays it opens at ten and closes at two.",
    "ledger": "Bergen 18",
    "words": "The parcel arrived on Tuesday.",
    "vectors": "384",
    "digest": "A lighthouse from 1871",
    "tongues": "Das Geschäft öffnet",
    "stories": "there was a lighthouse that had not been lit",
}


def test_every_task_has_inputs_and_an_answer_to_look_at(play: Callable[..., Page]) -> None:
    page = play()
    for model, seen in SEEN.items():
        page.fill("#model", model)
        page.click("#example")
        predict(page)
        assert seen in " ".join(page.text("#answer").split())
        assert page.js(NAMELESS) == []


def test_positions_in_a_text_count_code_points(play: Callable[..., Page]) -> None:
    page = play("people")
    page.fill("#text", "👩‍🚀🚀 Ada Lovelace")
    predict(page)
    assert page.js("document.querySelector('mark').firstChild.textContent") == "Ada Lovelace"


def test_lines_are_texts_of_their_own_when_a_person_says_so(
    play: Callable[..., Page], stub: Stub
) -> None:
    page = play()
    page.fill("#text", "first\n\nsecond <b>\nthird")
    page.click("#each-line")
    predict(page)
    assert json.loads(asked(stub)[-1]["body"])["inputs"] == ["first", "second <b>", "third"]
    assert page.js("document.querySelectorAll('#answer .each > li').length") == 3


def test_markup_in_texts_and_labels_stays_text(play: Callable[..., Page]) -> None:
    page = play()
    page.fill(
        "#text",
        "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>",
    )
    predict(page)
    assert page.js(BARS)[0][0].startswith("<img src=x onerror=")
    assert page.js("document.querySelectorAll('main img, main script').length") == 0
    page.click("#tab-python")
    assert "<script>" in page.text("#snippet")
    assert page.js("document.title") == "Lectern playground"


def test_an_answer_that_comes_later_is_waited_for(play: Callable[..., Page], stub: Stub) -> None:
    page = play("stories")
    page.click("#send")
    page.until("document.querySelector('.waiting')?.textContent.includes('comes later')")
    page.until(ANSWERED)
    assert page.text("#fact-version") == "1"
    assert asked(stub)[-1]["path"].startswith("/v1/results/")
    assert page.js("parseFloat(document.getElementById('fact-took').textContent)") >= 1.2


def test_waiting_can_be_stopped(play: Callable[..., Page]) -> None:
    page = play("stories")
    page.click("#send")
    page.until("document.querySelector('.waiting')")
    page.click("#stop")
    page.until("document.getElementById('answer').textContent === 'Stopped waiting.'")
    assert page.js("document.getElementById('send').disabled") is False


def test_a_refused_parameter_is_told_at_its_field(play: Callable[..., Page]) -> None:
    page = play()
    page.click("#advanced summary")
    page.fill("#parameters", '{"top_k": "three", "unheard": 1}')
    page.click("#send")
    assert "Invalid request" in page.text(".problem")
    assert "request stub-request" in page.text(".problem")
    fault = page.text("[data-field=parameters] .fault")
    assert "must be a whole number from 1" in fault
    assert "parameters.unheard: not a parameter" in fault
    assert page.js("document.getElementById('parameters').getAttribute('aria-invalid')") == "true"
    assert page.js(
        "document.getElementById(document.getElementById('parameters').getAttribute('aria-describedby')) !== null"
    )
    page.fill("#parameters", "{oops")
    page.click("#send")
    page.until(
        "document.querySelector('[data-field=parameters] .fault').textContent.startsWith('not JSON')"
    )
    page.fill("#parameters", "")
    predict(page)
    assert page.js("document.querySelectorAll('.fault, .problem').length") == 0


def test_a_busy_model_is_asked_again_when_it_said(play: Callable[..., Page]) -> None:
    page = play()
    page.fill("#text", "busy")
    page.click("#send")
    page.until("document.querySelector('.problem button')?.textContent.startsWith('Try again in')")
    assert page.js("document.querySelector('.problem button').disabled") is True
    page.fill("#text", "free again")
    page.until("document.querySelector('.problem button').disabled === false", 5)
    page.click(".problem button")
    page.until(ANSWERED)


def test_a_batch_is_followed_to_its_result(play: Callable[..., Page], stub: Stub) -> None:
    page = play()
    page.click("#tab-batch")
    page.fill("#lines", "\n".join(['{"inputs": "one"}', "no json", *['{"inputs": "more"}'] * 18]))
    page.until("document.getElementById('batch-summary').textContent.startsWith('20 lines')")
    page.click("#start")
    page.until(
        "(([done, of]) => done > 0 && done < of)((document.querySelector('.headline')?.textContent.match(/\\d+/g) ?? []).map(Number))"
    )
    page.until("document.querySelector('#progress .get')")
    assert "Completed" in page.text("#progress")
    assert "20 of 20 lines" in page.text("#progress")
    assert "1 line has an error" in page.text("#progress")
    assert page.js("document.querySelector('#progress progress').position") == 1
    with urllib.request.urlopen(page.js("document.querySelector('#progress .get').href")) as result:
        assert len(result.read().splitlines()) == 20
    page.until("document.getElementById('batches').textContent.includes('Completed')")
    sent = next(one for one in reversed(asked(stub)) if one["method"] == "POST")
    assert sent["headers"]["content-type"] == "application/jsonlines"
    assert len(sent["headers"]["idempotency-key"]) >= 32


def test_a_large_file_goes_by_upload_and_a_batch_is_stopped(
    play: Callable[..., Page], stub: Stub, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("a long text to read\n" * 220_000)
    page = play()
    page.click("#tab-batch")
    page.upload("#file", rows)
    page.until("document.getElementById('batch-summary').textContent.includes('sent by upload')")
    page.click("#start")
    page.until("document.querySelector('.headline')?.textContent.includes('220,000 lines')")
    assert any(url.startswith(f"{stub.bucket}/uploads/") for url in page.requested())
    assert json.loads(
        next(one for one in reversed(asked(stub)) if one["method"] == "POST")["body"]
    ) == {"upload": {"content_type": "text/csv"}}
    page.click("#progress button")
    page.until("document.querySelector('#progress .state').textContent === 'Stopped'")
    assert "the batch was stopped" in page.text("#progress")
    page.until("document.getElementById('batches').textContent.includes('Stopped')")


def test_a_batch_may_read_an_object_in_s3(play: Callable[..., Page], stub: Stub) -> None:
    page = play()
    page.click("#tab-batch")
    page.fill("#uri", "bucket/batches/lines.jsonl")
    page.click("#start")
    page.until("document.querySelector('[data-field=input] .fault')")
    assert page.text("[data-field=input] .fault") == "must be an s3:// URI"
    assert page.js("document.getElementById('lines').disabled") is True
    page.fill("#uri", " s3://bucket/batches/lines.jsonl ")
    page.click("#start")
    page.until("document.querySelector('#progress .get')")
    assert page.js("document.querySelectorAll('.fault').length") == 0
    sent = next(one for one in reversed(asked(stub)) if one["method"] == "POST")
    assert json.loads(sent["body"]) == {"input": "s3://bucket/batches/lines.jsonl"}
    assert "Save the lines" not in page.text("#code-note")
    assert json.loads(run(page, "curl", ["sh", "-c"]))["model"] == "tickets"
    assert "'model': 'tickets'" in run(page, "python", [sys.executable, "-c"])
    assert page.js(NAMELESS) == []


def test_two_texts_are_a_pair(play: Callable[..., Page], stub: Stub) -> None:
    page = play()
    page.fill("#text", "is it\nlate")
    page.click("#each-line")
    page.fill("#text-pair", "the parcel came")
    assert page.js("document.getElementById('lines-choice').hidden") is True
    predict(page)
    pair = {"text": "is it\nlate", "text_pair": "the parcel came"}
    assert json.loads(asked(stub)[-1]["body"])["inputs"] == pair
    assert page.js(BARS)[0][0] == "billing"
    assert "billing" in run(page, "client", [sys.executable, "-c"])
    assert json.loads(asked(stub)[-1]["body"])["inputs"] == pair
    assert page.js(NAMELESS) == []
    page.fill("#text-pair", " ")
    predict(page)
    assert json.loads(asked(stub)[-1]["body"])["inputs"] == ["is it", "late"]
    page.fill("#model", "open")
    assert page.js("document.getElementById('text-pair')") is None


def test_curl_and_python_from_the_page_run_as_they_stand(
    play: Callable[..., Page], stub: Stub
) -> None:
    page = play()
    page.fill("#text", 'it\'s "quoted" $HOME `id` \\ and\nover lines 🚀 \u2028')
    curl = json.loads(run(page, "curl", ["sh", "-c"]))
    assert curl[0]["label"] == "billing"
    assert json.loads(asked(stub)[-1]["body"])["inputs"] == page.js(
        "document.getElementById('text').value"
    )
    assert "'label': 'billing'" in run(page, "python", [sys.executable, "-c"])
    assert json.loads(asked(stub)[-1]["body"])["inputs"] == page.js(
        "document.getElementById('text').value"
    )
    assert "billing" in run(page, "client", [sys.executable, "-c"])
    assert asked(stub)[-1]["path"] == "/hf/models/tickets"
    assert KEY not in page.js(
        "[...document.querySelectorAll('pre')].map((pre) => pre.textContent).join()"
    )


def test_zero_shot_from_the_page_runs_in_the_inference_client(
    play: Callable[..., Page], stub: Stub
) -> None:
    page = play("open")
    assert "delivery" in run(page, "client", [sys.executable, "-c"])
    assert json.loads(asked(stub)[-1]["body"])["parameters"]["candidate_labels"][1] == "delivery"


def test_a_batch_from_the_page_runs_in_a_shell(
    play: Callable[..., Page], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = play()
    page.click("#tab-batch")
    monkeypatch.chdir(tmp_path)
    Path("lines.jsonl").write_text('{"inputs": "one"}\n')
    assert json.loads(run(page, "curl", ["sh", "-c"]))["state"] == "InProgress"
    assert "InProgress" in run(page, "python", [sys.executable, "-c"])


def test_the_key_is_kept_for_the_tab_only_and_can_be_forgotten(
    new_page: NewPage, stub: Stub
) -> None:
    page = new_page()
    page.open(f"{stub.local}/")
    page.fill("#credential", "wrong")
    page.click("#credentials button")
    assert "Invalid API key" in page.text(".problem")
    assert page.js("sessionStorage.length") == 0
    page.fill("#credential", KEY)
    page.key("Enter")
    page.until("!document.getElementById('work').hidden")
    assert page.js("JSON.stringify({...sessionStorage})") == json.dumps(
        {"lectern-credential": KEY}, separators=(",", ":")
    )
    assert page.js("localStorage.length + document.cookie.length") == 0
    assert KEY not in page.js("location.href + document.body.innerText")
    page.open(f"{stub.local}/?again")
    page.until("!document.getElementById('work').hidden")
    page.click("#forget")
    assert page.js("sessionStorage.length") == 0
    assert page.js("document.activeElement.id") == "credential"


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_page_finds_its_api_with_and_without_the_last_slash(
    new_page: NewPage, stub: Stub, slash: str
) -> None:
    page = new_page()
    page.open(stub.aws + slash)
    page.fill("#credential", KEY)
    page.key("Enter")
    page.until("!document.getElementById('work').hidden")
    assert f"{stub.aws}/v1/models" in page.requested()
    assert page.js("document.getElementById('docs-link').href") == f"{stub.aws}/v1/docs"


def test_a_token_is_sent_as_bearer_where_tokens_are_asked_for(
    new_page: NewPage, stub: Stub
) -> None:
    page = new_page()
    page.open(f"{stub.origin}/jwt/")
    assert page.text("#credential-label") == "Access token"
    page.fill("#credential", KEY)
    page.key("Enter")
    page.until("!document.getElementById('work').hidden")
    assert asked(stub)[-1]["headers"]["authorization"] == f"Bearer {KEY}"
    assert "authorization: Bearer $LECTERN_TOKEN" in page.text("#snippet")


def test_an_open_api_asks_for_nothing_and_a_signed_one_offers_code(
    new_page: NewPage, stub: Stub
) -> None:
    page = new_page()
    page.open(f"{stub.origin}/open/")
    page.until("!document.getElementById('work').hidden")
    assert '-H "x-api-key' not in page.text("#snippet")
    signed = new_page()
    signed.open(f"{stub.origin}/iam/")
    assert "AWS credentials" in signed.text("#signed")
    signed.fill("#model-name", "topics")
    assert "--aws-sigv4" in signed.text("#snippet")
    assert "/v1/models/topics" in signed.text("#snippet")
    signed.click("#tab-python")
    compile(signed.text("#snippet"), "snippet", "exec")


def test_all_of_it_works_from_the_keyboard(play: Callable[..., Page]) -> None:
    page = play()
    page.js("document.getElementById('text').focus()")
    page.key("Enter", ctrl=True)
    page.until(ANSWERED)
    page.js("document.getElementById('tab-one').focus()")
    page.key("ArrowRight")
    assert page.js("document.activeElement.id") == "tab-batch"
    assert page.js("document.getElementById('panel-batch').hidden") is False
    page.key("Tab")
    assert page.js("document.activeElement.id") == "file"
    assert page.js("getComputedStyle(document.activeElement).outlineStyle") != "none"


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_and_edge_can_be_told_from_its_ground(
    play: Callable[..., Page], dark: bool
) -> None:
    page = play("open", dark=dark)
    predict(page)
    page.js("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
    assert page.js(FAINT) == []
    page.fill("#model", "people")
    page.click("#example")
    predict(page)
    assert page.js(FAINT) == []
    page.fill("#text", "broken")
    page.click("#send")
    page.until("document.querySelector('.problem')")
    assert page.js(FAINT) == []
    page.click("#tab-batch")
    page.fill("#lines", "one\ntwo")
    page.click("#start")
    page.until("document.querySelector('#progress .get')")
    assert page.js(FAINT) == []


def test_a_chosen_theme_stays_and_the_systems_is_followed_again(
    play: Callable[..., Page], stub: Stub
) -> None:
    page = play()
    light = page.js("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    dark = page.js("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    page.open(f"{stub.local}/?again")
    assert page.js("getComputedStyle(document.body).backgroundColor") == dark
    page.click("#theme")
    assert page.js("localStorage.length") == 0


def test_a_phone_needs_no_sideways_scrolling(play: Callable[..., Page]) -> None:
    page = play(width=390, height=844)
    for model in ("tickets", "open", "people", "facts", "ledger", "words", "vectors"):
        page.fill("#model", model)
        page.click("#example")
        predict(page)
        assert (model, page.js(WIDER)) == (model, 0)
    page.click("#tab-batch")
    page.fill("#lines", "one\ntwo")
    page.click("#start")
    page.until("document.querySelector('#progress .get')")
    assert page.js(WIDER) == 0
    assert page.js(NAMELESS) == []
