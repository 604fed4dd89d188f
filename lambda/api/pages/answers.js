// Answers as a person reads them, one way for each task; each also says itself in a sentence.
"use strict";

const SHOWN_AT_FIRST = 12;

// What `show` gives: elements, and the sentence that a screen reader is told.
function showAnswer(task, inputs, answer) {
  const one = SHOWN[canonicalTask(task)];
  if (!one) return { shown: [], said: "" };
  try {
    if (!Array.isArray(inputs)) {
      const { shown, said } = one(inputs, answer, SHOWN_AT_FIRST);
      return { shown: shown.flat().filter(Boolean), said };
    }
    const each = inputs.map((input, at) => one(input, answer[at], 5));
    const list = h(
      "ol",
      { class: "each" },
      each.map(({ shown }, at) =>
        h(
          "li",
          {},
          typeof inputs[at] === "string"
            ? h("blockquote", { class: "asked", dir: "auto", title: inputs[at] }, inputs[at])
            : null,
          shown,
        ),
      ),
    );
    return { shown: [list], said: `${each.length} answers. First: ${each[0]?.said ?? ""}` };
  } catch {
    // Of a shape that this page does not know: the answer itself is below.
    return {
      shown: [h("p", { class: "soft" }, "This answer has a form of its own; see it as JSON.")],
      said: "Answered.",
    };
  }
}

const SHOWN = {
  "text-classification": (_, answer, most) =>
    bars(
      classes(answer).map(({ label, score }) => ({ name: label, score })),
      most,
    ),
  "zero-shot-classification": (_, answer, most) => {
    const found = Array.isArray(answer) ? answer[0] : answer;
    return bars(
      found.labels.map((name, at) => ({ name, score: found.scores[at] })),
      most,
    );
  },
  "fill-mask": (_, answer, most) => {
    const masks = Array.isArray(answer[0]) ? answer : [answer];
    const each = masks.map((words) =>
      bars(
        words.map((word) => ({ name: word.token_str, score: word.score, below: word.sequence })),
        most,
      ),
    );
    return { shown: each.flatMap(({ shown }) => shown), said: each[0].said };
  },
  "token-classification": (text, answer) => {
    const entities = Array.isArray(answer[0]) ? answer[0] : answer;
    return spans(text, entities);
  },
  "question-answering": ({ context }, answer) => {
    const [best, ...others] = [answer].flat();
    const passage = h(
      "p",
      { class: "passage", dir: "auto" },
      marked(context, [{ ...best, hue: 0 }]),
    );
    return {
      shown: [
        h("p", { class: "said", dir: "auto" }, best.answer || "No answer in this text"),
        h("p", { class: "soft small" }, `Score ${share(best.score)}`),
        h("div", { class: "scroll" }, passage),
        others.length
          ? bars(
              others.map((other) => ({ name: other.answer, score: other.score })),
              SHOWN_AT_FIRST,
            ).shown
          : null,
      ],
      said: `${best.answer || "No answer"}, score ${share(best.score)}`,
    };
  },
  "table-question-answering": ({ table }, answer) => {
    const found = [answer].flat()[0];
    const names = Object.keys(table);
    const hits = new Set((found.coordinates ?? []).map(([row, column]) => `${row} ${column}`));
    const rows = Array.from({ length: table[names[0]]?.length ?? 0 }, (_, row) =>
      h(
        "tr",
        {},
        names.map((name, column) =>
          h(
            "td",
            { class: hits.has(`${row} ${column}`) ? "hit" : null },
            hits.has(`${row} ${column}`)
              ? h("strong", {}, String(table[name][row]))
              : String(table[name][row]),
          ),
        ),
      ),
    );
    return {
      shown: [
        h("p", { class: "said", dir: "auto" }, found.answer),
        h(
          "div",
          {
            class: "scroll",
            tabindex: "0",
            role: "group",
            "aria-label": "The table; cells of the answer are in bold",
          },
          h(
            "table",
            {},
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                names.map((name) => h("th", { scope: "col" }, name)),
              ),
            ),
            h("tbody", {}, rows),
          ),
        ),
      ],
      said: found.answer,
    };
  },
  "feature-extraction": (_, answer) => vectors(answer),
  summarization: (_, answer) => texts(answer, "summary_text"),
  translation: (_, answer) => texts(answer, "translation_text"),
  "text2text-generation": (_, answer) => texts(answer, "generated_text"),
  "text-generation": (_, answer) => texts(answer, "generated_text"),
};

// One text gives its classes in a list; asked with `top_k` among others, in a list of lists.
function classes(answer) {
  const list = Array.isArray(answer) ? answer : [answer];
  return Array.isArray(list[0]) ? list[0] : list;
}

function share(score) {
  const percent = score * 100;
  return percent > 0 && percent < 0.05 ? "< 0.1 %" : `${percent.toFixed(1)} %`;
}

function bars(rows, most) {
  // Logits (function_to_apply: none) are no shares: they are shown as they are, against the largest.
  const shares = rows.every(({ score }) => score >= 0 && score <= 1.000001);
  const largest = shares ? 1 : Math.max(...rows.map(({ score }) => Math.abs(score)));
  const value = (score) => (shares ? share(score) : score.toFixed(3).replace("-", "−"));
  const items = rows.map(({ name, score, below }) => {
    const fill = h("span", { class: "fill" });
    fill.style.width = `${Math.max(0, (score / largest) * 100)}%`;
    return h(
      "li",
      {},
      h("span", { class: "name", dir: "auto" }, name || "(empty)"),
      h("span", { class: "track", "aria-hidden": "true" }, fill),
      h("span", { class: "value" }, value(score)),
      below ? h("span", { class: "below", dir: "auto" }, below) : null,
    );
  });
  const list = h("ol", { class: "bars" }, items.slice(0, most));
  const shown = [list];
  if (items.length > most) {
    const all = h(
      "button",
      {
        type: "button",
        class: "plain small",
        click: () => {
          list.append(...items.slice(most));
          all.remove();
        },
      },
      `Show all ${items.length}`,
    );
    shown.push(all);
  }
  const best = rows.reduce((a, b) => (b.score > a.score ? b : a), rows[0]);
  return { shown, said: best ? `${best.name}, ${value(best.score)}` : "No label" };
}

// Positions in an answer count code points, as Python does; JavaScript's own count UTF-16 units.
function marked(text, parts) {
  const points = Array.from(text);
  const pieces = [];
  let at = 0;
  for (const { start, end, hue, name } of [...parts].sort((a, b) => a.start - b.start)) {
    if (start < at || end <= start) continue;
    pieces.push(points.slice(at, start).join(""));
    pieces.push(
      h(
        "mark",
        { class: `hue${hue}` },
        points.slice(start, end).join(""),
        name ? [" ", h("small", {}, name)] : null,
      ),
    );
    at = end;
  }
  return [...pieces, points.slice(at).join("")];
}

function spans(text, entities) {
  const kindOf = (entity) => entity.entity_group ?? entity.entity;
  const plain = (kind) => String(kind).replace(/^[BI]-/, "");
  const kinds = [...new Set(entities.map((entity) => plain(kindOf(entity))))];
  const shown = [];
  if (
    entities.length &&
    entities.every(({ start, end }) => Number.isInteger(start) && Number.isInteger(end))
  ) {
    shown.push(
      h(
        "p",
        { class: "passage tall", dir: "auto" },
        marked(
          text,
          entities.map((entity) => ({
            ...entity,
            name: kindOf(entity),
            hue: kinds.indexOf(plain(kindOf(entity))) % 3,
          })),
        ),
      ),
    );
  }
  if (entities.length) {
    shown.push(
      h(
        "details",
        {},
        h("summary", {}, `${entities.length} with their scores`),
        bars(
          entities.map((entity) => ({
            name: `${entity.word} · ${kindOf(entity)}`,
            score: entity.score,
          })),
          50,
        ).shown,
      ),
    );
  } else shown.push(h("p", { class: "soft" }, "Nothing found in this text."));
  const said = entities
    .slice(0, 5)
    .map((entity) => `${entity.word}: ${kindOf(entity)}`)
    .join(", ");
  return { shown, said: `${entities.length} found. ${said}` };
}

function vectors(answer) {
  const shape = [];
  let first = answer;
  while (Array.isArray(first)) {
    shape.push(first.length);
    if (!Array.isArray(first[0])) break;
    [first] = first;
  }
  const length = Math.hypot(...first);
  const [least, most] = [Math.min(...first), Math.max(...first)];
  const figure = (number) => number.toPrecision(3).replace("-", "−");
  const facts = h(
    "dl",
    { class: "meta" },
    [
      ["Shape", shape.join(" × ")],
      ["Length", figure(length)],
      ["Least", figure(least)],
      ["Most", figure(most)],
      ["Begins", first.slice(0, 4).map(figure).join("  ")],
    ].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
  const said = `A vector of ${first.length} numbers, length ${figure(length)}`;
  return { shown: [strip(first, said), facts], said };
}

// A vector as a row of strokes around zero.
function strip(numbers, label) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const largest = Math.max(...numbers.map(Math.abs)) || 1;
  const set = (element, attributes) =>
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  set(svg, {
    class: "strip",
    viewBox: `0 0 ${numbers.length} 2`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": label,
  });
  const zero = document.createElementNS(space, "line");
  set(zero, { x1: 0, x2: numbers.length, y1: 1, y2: 1, "vector-effect": "non-scaling-stroke" });
  const strokes = document.createElementNS(space, "path");
  set(strokes, {
    d: numbers.map((value, at) => `M${at + 0.5} 1v${(-value / largest).toFixed(3)}`).join(""),
    "stroke-width": 0.7,
  });
  svg.append(zero, strokes);
  return svg;
}

function texts(answer, name) {
  const list = [answer].flat(2);
  return {
    shown: list.map((one) => h("blockquote", { class: "said", dir: "auto" }, one[name])),
    said: list[0][name],
  };
}
