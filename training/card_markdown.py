"""The model card as Markdown with the front matter of the Hugging Face Hub; it holds no texts."""

import json
import re
from collections.abc import Iterable, Sequence

from card import Card
from card_html import count, figure, interval, signed

MOST_CLASSES = 200
# The Hub's names of its models, and the commits that Stage asks for with them: a package has a
# version instead, a folder nothing.
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
COMMIT = re.compile(r"[0-9a-f]{40}")
# `lectern push` puts the repository in its place.
MODEL = 'model="ORG/NAME"'
# What JSON leaves as it is, though YAML does not take it, or takes it for the end of a line.
NOT_IN_YAML = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
# The Hub's metric types for what is measured here.
HUB_METRICS = {
    "accuracy": "accuracy",
    "f1": "f1",
    "precision": "precision",
    "recall": "recall",
    "f1_micro": "f1",
    "f1_weighted": "f1",
    "f1_binary": "f1",
    "roc_auc": "roc_auc",
    "average_precision": "average_precision",
}


def render(card: Card) -> str:
    """Front matter and sections. Test texts stay in the HTML form: this one may be published."""
    sections = [
        _front_matter(card),
        f"# {_escaped(card.title)}\n\n{_verdict(card)}\n\n{_bullets(card.facts)}",
        f"## With transformers\n\n{_usage(card)}",
        f"## Figures\n\n{_figures(card)}",
        f"## {'Labels' if card.multi_label else 'Classes'}\n\n{_classes(card)}",
        f"## Training data\n\n{_training_data(card)}",
    ]
    if card.hyperparameters:
        sections.append(f"## Hyperparameters\n\n{_table(('Name', 'Value'), card.hyperparameters)}")
    if card.versions:
        sections.append(f"## Versions\n\n{_table(('Name', 'Version'), card.versions)}")
    limits = "\n".join(f"- {_escaped(limit)}" for limit in card.limits)
    sections.append(f"## Use and limits\n\n{limits}")
    return "\n\n".join(sections) + "\n"


def _front_matter(card: Card) -> str:
    lines = ["library_name: transformers", "pipeline_tag: text-classification"]
    base = str(card.base.get("id") or "")
    if HUB_ID.fullmatch(base) and COMMIT.fullmatch(str(card.base.get("revision") or "")):
        lines.append(f"base_model: {_yaml(base)}")
    lines += [
        "tags:",
        "- text-classification",
        "model-index:",
        f"- name: {_yaml(card.title)}",
        "  results:",
        "  - task:",
        "      type: text-classification",
        "      name: Text classification",
        "    dataset:",
        "      type: custom",
        f"      name: {_yaml(_data_name(card))}",
        "      split: test",
        "    metrics:",
    ]
    for shown in card.figures:
        kind = HUB_METRICS.get(shown["metric"])
        if kind is not None and shown["value"] is not None:
            lines += [
                f"    - type: {kind}",
                f"      value: {shown['value']:.6g}",
                f"      name: {_yaml(shown['name'])}",
            ]
    return "\n".join(["---", *lines, "---"])


def _data_name(card: Card) -> str:
    named = [str(file["name"]) for file in card.files if file.get("name")]
    return ", ".join(named[:5]) if named else "test rows"


def _verdict(card: Card) -> str:
    gate = card.evaluation["gate"]
    if not gate["requirements"] and gate["margin"] is None:
        return "No gate: nothing was asked of this model."
    verdict = "Passes" if gate["passed"] else "Fails"
    return f"**{verdict} its gate:** {_escaped(gate['message'])}."


def _usage(card: Card) -> str:
    text = '{"text": "A text", "text_pair": "Another"}' if card.reads_pairs else '"A text"'
    every = ", top_k=None" if card.multi_label else ""
    scores = (
        "A label is given where its score is at least the threshold listed below."
        if card.multi_label
        else "With `top_k=None` every class comes with its score."
    )
    return (
        "```python\n"
        "from transformers import pipeline\n\n"
        f'classify = pipeline("text-classification", {MODEL})\n'
        f"answer = classify({text}, truncation=True{every})\n"
        "```\n\n"
        f"`truncation=True` cuts long texts as in training; without it they may fail. {scores}"
    )


def _figures(card: Card) -> str:
    evaluation = card.evaluation
    comparison = evaluation["comparison"]
    note = (
        f"{evaluation['rows']:,} test rows; {100 * evaluation['confidence']:g} % intervals and "
        f"standard errors from {evaluation['resamples']:,} bootstrap resamples."
    )
    header = ["Figure", "Value", "Interval", "Standard error"]
    rows = [
        [
            shown["name"],
            figure(shown["value"]),
            interval(shown["confidence_interval"]),
            figure(shown["standard_error"], 4),
        ]
        for shown in card.figures
    ]
    if comparison and "metrics" in comparison:
        header += [f"Version {comparison['version']}", "Difference", "Interval of the difference"]
        for row, shown in zip(rows, card.figures, strict=True):
            compared = shown["compared"]
            row += [
                figure(compared["approved"]),
                signed(compared["difference"]),
                interval(compared["confidence_interval"], signs=True),
            ]
    elif comparison:
        note += f" Not compared with version {comparison['version']}: {comparison['skipped']}."
    return f"{_escaped(note)}\n\n{_table(header, rows)}"


def _classes(card: Card) -> str:
    threshold = ["Threshold"] if card.multi_label else []
    header = ["Name", "Test rows", "Precision", "Recall", "F1", *threshold, "ROC-AUC"]
    rows = [
        [
            row["label"],
            count(row["support"]),
            *(figure(row[name]) for name in ("precision", "recall", "f1")),
            *([figure(row["threshold"])] if card.multi_label else []),
            figure(row["roc_auc"]),
        ]
        for row in card.classes[:MOST_CLASSES]
    ]
    left_out = len(card.classes) - len(rows)
    note = f"\n\nThe {left_out:,} strongest are left out." if left_out else ""
    return f"Weakest first.\n\n{_table(header, rows)}{note}"


def _training_data(card: Card) -> str:
    parts = []
    if card.data:
        parts.append(_bullets(card.data))
    if card.files:
        rows = [
            [str(file.get(name) or "–") for name in ("name", "split", "rows", "sha256")]
            for file in card.files
        ]
        parts.append(_table(("File", "Split", "Rows", "SHA-256"), rows))
    if not parts:
        parts.append("The model artifact does not say.")
    if card.continued_from:
        digest = card.continued_from.get("digest")
        trained = f", trained on {_escaped(digest)}" if digest else ""
        parts.append(f"Continued from an earlier model{trained}.")
    return "\n\n".join(parts)


def _bullets(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {_escaped(name)}: {_escaped(value)}" for name, value in facts)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(cell if i == 1 else _escaped(cell) for cell in line)} |"
        for i, line in enumerate(lines)
    )


def _escaped(text: str) -> str:
    """As plain text in Markdown: no markup, no HTML, one line."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(str(text).split()))


def _yaml(text: str) -> str:
    # A JSON string is a YAML one, but for the two halves in which JSON may write an emoji.
    return NOT_IN_YAML.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False)
    )
