"""The model card as one HTML page: no script, nothing loaded, every text escaped."""

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

import card_charts
from card import Card
from card_style import STYLE

# Of more classes the table is folded away, and its rows are plain.
MOST_OPEN_CLASSES = 60

TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ card.title }}</title>
<style>{{ style | markup }}</style>
</head>
<body>
<main>
<header>
<p class="eyebrow">Model card</p>
<h1>{{ card.title }}</h1>
{% if not asked %}
<p class="verdict"><strong>No gate</strong>Nothing was asked of this model.</p>
{% elif gate.passed %}
<p class="verdict passed"><strong>Passes its gate</strong>{{ message }}</p>
{% else %}
<p class="verdict failed"><strong>Fails its gate</strong>{{ message }}</p>
{% endif %}
<dl class="facts">
{% for name, value in card.facts %}
<div{% if value | length > 20 %} class="wider"{% endif %}><dt>{{ name | sentence }}</dt>
<dd>{{ value }}</dd></div>
{% endfor %}
</dl>
</header>

<section>
<h2>How good it is</h2>
<p class="note">On {{ evaluation.rows | count }} test rows. Lines are {{ percent }} % intervals from
{{ evaluation.resamples | count }} bootstrap resamples of these rows.</p>
<table class="headlines">
<tbody>
{% for figure in card.headlines %}
<tr>
<th class="text" scope="row">{{ figure.name }}</th>
<td class="value">{{ figure.value | figure }}</td>
<td class="interval">{{ figure.confidence_interval | interval }}</td>
<td class="strip-cell">{{ whisker(figure) | markup }}</td>
</tr>
{% endfor %}
<tr aria-hidden="true"><td></td><td></td><td></td>
<td class="strip-cell">{{ axis | markup }}</td></tr>
</tbody>
</table>
{% if compared %}
<p class="note"><span class="key">this model</span><span class="key hollow">version
{{ comparison.version }}</span></p>
{% endif %}
<details{% if compared %} open{% endif %}>
<summary>All figures{% if compared %}, compared with version {{ comparison.version }} on the same
rows{% endif %}</summary>
<div class="scroll"><table>
<thead><tr><th class="text" scope="col">Figure</th><th scope="col">Value</th>
<th scope="col">{{ percent }} % interval</th><th scope="col">Standard error</th>
{% if compared %}<th scope="col">Version {{ comparison.version }}</th>
<th scope="col">Difference</th><th scope="col">{{ percent }} % interval</th>{% endif %}</tr></thead>
<tbody>
{% for figure in card.figures %}
<tr><th class="text" scope="row">{{ figure.name }}</th><td>{{ figure.value | figure }}</td>
<td class="soft">{{ figure.confidence_interval | interval }}</td>
<td class="soft">{{ figure.standard_error | figure(4) }}</td>
{% if figure.compared %}<td>{{ figure.compared.approved | figure }}</td>
<td>{{ figure.compared.difference | signed }}</td>
<td class="soft">{{ figure.compared.confidence_interval | interval(signs=True) }}</td>{% endif %}
</tr>
{% endfor %}
</tbody></table></div>
</details>
{% if comparison and not compared %}
<p class="note">Not compared with version {{ comparison.version }}: {{ comparison.skipped }}.</p>
{% endif %}
</section>

{% if card.losses or card.scores %}
<section>
<h2>How it learned</h2>
<p class="note">By training step; validation rows decide which epoch is kept{% if
card.kept_step is not none %}: it ends at the dashed line{% endif %}.</p>
<div class="grid-2">
{% for title, lines, from_zero in curves %}
<figure>
<h3>{{ title }}</h3>
{{ charts.curves(title, lines, from_zero=from_zero, marked=card.kept_step) | markup }}
<figcaption>{% for line in lines %}<span class="key k{{ loop.index }}">{{ line.name }}</span>
{% endfor %}</figcaption>
</figure>
{% endfor %}
</div>
</section>
{% endif %}

{% if card.confusion %}
<section>
<h2>What it confuses</h2>
<p class="note">True classes in rows, answers in columns. The stronger the tint, the larger the
share of the true class.</p>
<div class="scroll">{{ charts.heat_map(card.labels, card.confusion) | markup }}</div>
<p class="note"><span class="key">right</span><span class="key k2">wrong</span></p>
</section>
{% elif card.pairs %}
<section>
<h2>What it confuses</h2>
<p class="note">The most frequent confusions of its {{ card.labels | length | count }} classes.</p>
<div class="scroll"><table>
<thead><tr><th class="text" scope="col">True class</th><th class="text" scope="col">Answer</th>
<th scope="col">Rows</th><th scope="col">Of the true class</th></tr></thead>
<tbody>
{% for pair in card.pairs %}
<tr><td class="text">{{ pair.true }}</td><td class="text">{{ pair.predicted }}</td>
<td>{{ pair.rows | count }}</td><td>{{ pair.share | percent }}</td></tr>
{% endfor %}
</tbody></table></div>
</section>
{% endif %}

<section>
<h2>What its probabilities mean</h2>
<div class="grid-2">
<figure>
<h3>Reliability</h3>
{{ charts.reliability(evaluation.calibration.bins, "Reliability") | markup }}
<figcaption>Across: {{ evaluation.calibration.of }}. Up: how often it came true. On the dashed line,
0.8 means eight of ten. Expected calibration error
{{ evaluation.metrics.ece.value | figure }}.</figcaption>
</figure>
{% if not card.multi_label %}
<figure>
<h3>{{ card.histograms[0].name }}</h3>
{{ charts.histogram(card.histograms[0], small=False) | markup }}
<figcaption>{% for name, members, _ in card.histograms[0].groups %}<span
 class="key k{{ loop.index }}">{{ name }}, {{ members | count }} rows</span>{% endfor %}
Each as shares of its own rows.</figcaption>
</figure>
{% endif %}
</div>
{% if card.multi_label %}
<h3 class="part">Probability of each label</h3>
<p class="note"><span class="key">rows with the label</span><span class="key k2">rows without</span>
Each as shares of its own rows; dashed: the threshold.
{% if card.left_out_histograms %}
The {{ card.histograms | length }} most frequent of {{ card.labels | length | count }} labels.
{% endif %}</p>
<div class="grid-3">
{% for histogram in card.histograms %}
<figure><h3>{{ histogram.name }}</h3>{{ charts.histogram(histogram, small=True) | markup }}</figure>
{% endfor %}
</div>
{% endif %}
</section>

<section>
<h2>{{ "Label by label" if card.multi_label else "Class by class" }}</h2>
<p class="note">Weakest first.</p>
{% if folded %}<details><summary>All {{ card.classes | length | count }}</summary>{% endif %}
<div class="scroll"><table>
<thead><tr><th class="text" scope="col">{{ "Label" if card.multi_label else "Class" }}</th>
<th scope="col">Test rows</th><th scope="col">Precision</th><th scope="col">Recall</th>
<th scope="col">F1</th>{% if card.multi_label %}<th scope="col">Threshold</th>{% endif %}
<th scope="col">ROC-AUC</th><th scope="col">Average precision</th></tr></thead>
<tbody>
{% for row in card.classes %}
<tr><td class="text">{{ row.label }}</td><td>{{ row.support | count }}</td>
<td>{{ row.precision | figure }}</td><td>{{ row.recall | figure }}</td>
<td>{{ row.f1 | figure }}</td>{% if card.multi_label %}<td>{{ row.threshold | figure }}</td>
{% endif %}<td>{{ row.roc_auc | figure }}</td><td>{{ row.average_precision | figure }}</td></tr>
{% endfor %}
</tbody></table></div>
{% if folded %}</details>{% endif %}
</section>

{% if card.mistakes %}
<section>
<h2>Where it is surest and wrong</h2>
<p class="note">Rows of the test data; long texts are cut.</p>
<ol class="mistakes">
{% for mistake in card.mistakes %}
<li><blockquote>{{ mistake.text }}</blockquote>
<p>true <b>{{ mistake.true }}</b> · predicted <b>{{ mistake.predicted }}</b> ·
{{ mistake.probability | figure }}{% if card.multi_label %} for {{ mistake.about }}{% endif %}</p>
</li>
{% endfor %}
</ol>
</section>
{% endif %}

<section>
<h2>What it was trained on</h2>
{% if card.data %}
<dl class="facts">
{% for name, value in card.data %}
<div{% if name == "digest" %} class="wide"{% endif %}><dt>{{ name | sentence }}</dt>
<dd>{% if name == "digest" %}<code>{{ value }}</code>{% else %}{{ value }}{% endif %}</dd></div>
{% endfor %}
</dl>
{% endif %}
{% if card.files %}
<div class="scroll"><table>
<thead><tr><th class="text" scope="col">File</th><th class="text" scope="col">Split</th>
<th scope="col">Rows</th><th class="text" scope="col">SHA-256</th></tr></thead>
<tbody>
{% for file in card.files %}
<tr><td class="text">{{ file.name | default("–", true) }}</td>
<td class="text">{{ file.split | default("–", true) }}</td>
<td>{{ file.rows | default(none) | count }}</td>
<td class="text whole"><code>{{ file.sha256 | default("–", true) }}</code></td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}
{% if not card.data and not card.files %}
<p class="note">The model artifact does not say.</p>
{% endif %}
</section>

{% if card.hyperparameters or card.versions or card.continued_from %}
<section>
<h2>How it was trained</h2>
{% if card.continued_from %}
<p class="note">Continued from an earlier model{% if card.continued_from.get("digest") %},
trained on <code>{{ card.continued_from.get("digest") }}</code>{% endif %}.</p>
{% endif %}
<div class="grid-2">
{% for title, rows in (("Hyperparameters", card.hyperparameters), ("Versions", card.versions)) %}
{% if rows %}
<figure><h3>{{ title }}</h3>
<table><tbody>
{% for name, value in rows %}
<tr><td class="text">{{ name }}</td><td class="long">{{ value }}</td></tr>
{% endfor %}
</tbody></table></figure>
{% endif %}
{% endfor %}
</div>
</section>
{% endif %}

<section>
<h2>Use and limits</h2>
<ul class="limits">
{% for limit in card.limits %}
<li>{{ limit }}</li>
{% endfor %}
</ul>
</section>
</main>
</body>
</html>
"""


def render(card: Card) -> str:
    """The whole page."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "figure": figure,
        "interval": interval,
        "signed": signed,
        "count": count,
        "percent": lambda share: f"{100 * share:.1f} %",
        "sentence": _sentence,
        "markup": Markup,
    }
    evaluation = card.evaluation
    gate, comparison = evaluation["gate"], evaluation["comparison"]
    bounds = [f["confidence_interval"] for f in card.headlines]
    bounds += [[b, b] for f in card.headlines if (b := _before(f)) is not None]
    low, high = card_charts.range_of(bounds)
    curves = (
        ("Loss", card.losses, True),
        ("Validation figures", card.scores, False),
    )
    return environment.from_string(TEMPLATE).render(
        card=card,
        style=STYLE,
        evaluation=evaluation,
        gate=gate,
        message=Markup("<br>").join(
            part[:1].upper() + part[1:] for part in gate["message"].split("; ")
        ),
        asked=bool(gate["requirements"] or gate["margin"]),
        comparison=comparison,
        compared=bool(comparison and "metrics" in comparison),
        percent=f"{100 * evaluation['confidence']:g}",
        charts=card_charts,
        curves=[curve for curve in curves if curve[1]],
        axis=card_charts.axis(low, high),
        whisker=lambda f: card_charts.whisker(
            f["value"], f["confidence_interval"], _before(f), low, high
        ),
        folded=len(card.classes) > MOST_OPEN_CLASSES,
    )


def figure(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def interval(bounds: list[float] | None, *, signs: bool = False) -> str:
    if bounds is None:
        return "–"
    low, high = (signed(bound) if signs else figure(bound) for bound in bounds)
    return f"{low} to {high}"


def signed(value: float | None) -> str:
    if value is None:
        return "–"
    text = f"{value:+.3f}"
    return "0.000" if text[1:] == "0.000" else text.replace("-", "−")


def count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _before(shown: dict) -> float | None:
    return shown["compared"]["approved"] if shown["compared"] else None
