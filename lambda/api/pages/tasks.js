// What each task is asked with: its inputs, the options worth a control of their own, an example.
// The rest of a task's parameters can be written as JSON; the API judges all of them, not this page.
"use strict";

const FALSE_BY_DEFAULT = { kind: "check", value: false };
const LONGEST = {
  name: "max_new_tokens",
  label: "Longest answer, in new tokens",
  kind: "number",
  value: "",
};

const TASKS = {
  "text-classification": {
    inputs: "text",
    pairs: true,
    // One bar says little: the page asks for every class, where the API's own default is the best one.
    options: [
      {
        name: "top_k",
        label: "Every label, not only the best",
        kind: "check",
        value: true,
        checked: null,
      },
    ],
    example: { text: "I was charged twice this month and nobody answers my mails." },
  },
  "zero-shot-classification": {
    inputs: "text",
    options: [
      { name: "candidate_labels", label: "Labels", kind: "labels", value: [] },
      {
        name: "hypothesis_template",
        label: "Hypothesis template",
        kind: "text",
        value: "",
        placeholder: "This example is {}.",
      },
      { name: "multi_label", label: "Several labels may hold at once", ...FALSE_BY_DEFAULT },
    ],
    example: {
      text: "The parcel should have arrived on Monday and the tracking has not moved.",
      candidate_labels: ["billing", "delivery", "account", "returns"],
    },
  },
  "token-classification": {
    inputs: "text",
    options: [
      {
        name: "aggregation_strategy",
        label: "Join tokens into entities",
        kind: "select",
        value: "simple",
        choices: ["none", "simple", "first", "average", "max"],
      },
    ],
    example: { text: "Ada Lovelace met Charles Babbage in London in 1833." },
  },
  "question-answering": {
    inputs: "question",
    options: [],
    example: {
      question: "When does the shop open on Saturdays?",
      context:
        "The shop is open from nine to six on weekdays. On Saturdays it opens at ten and closes at two.",
    },
  },
  "table-question-answering": {
    inputs: "table",
    options: [],
    example: {
      query: "How many parcels went to Oslo?",
      table: "city,parcels\nOslo,31\nBergen,18\nTurku,7",
    },
  },
  "fill-mask": {
    inputs: "text",
    hint: "With the model's mask in it, as [MASK] or <mask>.",
    options: [{ name: "top_k", label: "How many words", kind: "number", value: "" }],
    example: { text: "The parcel arrived on [MASK]." },
  },
  "feature-extraction": {
    inputs: "text",
    options: [
      {
        name: "pooling",
        label: "Pooling: one vector a text, or one a token (none)",
        kind: "select",
        value: "mean",
        choices: ["none", "mean", "cls"],
      },
      { name: "normalize", label: "Normalize to length 1", ...FALSE_BY_DEFAULT },
    ],
    example: { text: "The tracking has not moved since Monday." },
  },
  summarization: {
    inputs: "text",
    options: [LONGEST],
    example: {
      text: "The lighthouse was built in 1871 after three ships had run aground in one winter. Its lamp burned oil until 1924, when a cable brought electricity from the mainland. Since 1989 nobody lives there; a technician comes by boat twice a year.",
    },
  },
  translation: {
    inputs: "text",
    options: [LONGEST],
    example: { text: "The shop opens at ten on Saturdays." },
  },
  "text2text-generation": {
    inputs: "text",
    options: [LONGEST],
    example: { text: "Is this friendly or angry? I was charged twice and nobody answers." },
  },
  "text-generation": {
    inputs: "text",
    options: [LONGEST],
    example: { text: "Once upon a time there was a lighthouse" },
  },
};
const SAME_TASK = { "sentiment-analysis": "text-classification", ner: "token-classification" };
const ANY_TASK = { inputs: "json", options: [], example: { json: '"a text"' } };

function canonicalTask(name) {
  return /^translation/.test(name) ? "translation" : (SAME_TASK[name] ?? name);
}

function taskOf(name) {
  return TASKS[canonicalTask(name)] ?? ANY_TASK;
}

// A request that cannot be written as the form stands; shown at its field, nothing is sent.
class Unwritten extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

function fieldBox(field, id, label, control, hint) {
  return h(
    "div",
    { class: "field", "data-field": field },
    h("label", { for: id }, label),
    control,
    hint ? h("p", { class: "hint" }, hint) : null,
  );
}

function area(id, rows, placeholder) {
  return h("textarea", { id, rows, placeholder, dir: "auto" });
}

// The inputs of a task: what to show, and how to read it into `inputs`.
const INPUTS = {
  text: {
    show: (task) => [
      fieldBox("inputs", "text", "Text", area("text", 6, "Type a text, or paste lines"), task.hint),
      h(
        "div",
        { class: "check", hidden: true, id: "lines-choice" },
        h("input", { type: "checkbox", id: "each-line" }),
        h("label", { for: "each-line" }, "Every line is a text of its own"),
      ),
      task.pairs
        ? fieldBox(
            "inputs.text_pair",
            "text-pair",
            "Second text, where the model compares two",
            area("text-pair", 2, "None"),
          )
        : null,
    ],
    fill: (example) => {
      byId("text").value = example.text;
      if (byId("text-pair")) byId("text-pair").value = "";
    },
    read() {
      const text = byId("text").value;
      if (!text.trim()) throw new Unwritten("inputs", "there is no text yet");
      const pair = byId("text-pair")?.value;
      if (pair?.trim()) return { text, text_pair: pair };
      if (!byId("each-line").checked || byId("lines-choice").hidden) return text;
      return text.split(/\r?\n/).filter((line) => line.trim());
    },
    // Only lines that are there can be told apart.
    changed() {
      const lines = byId("text")
        .value.split(/\r?\n/)
        .filter((line) => line.trim());
      const paired = Boolean(byId("text-pair")?.value.trim());
      byId("lines-choice").hidden = lines.length < 2 || paired;
      byId("lines-choice").querySelector("label").textContent =
        `Every line is a text of its own (${lines.length})`;
    },
  },
  question: {
    show: () => [
      fieldBox(
        "inputs.question",
        "question",
        "Question",
        h("input", { id: "question", dir: "auto" }),
      ),
      fieldBox(
        "inputs.context",
        "context",
        "Context",
        area("context", 7, "The text that holds the answer"),
      ),
    ],
    fill: (example) => {
      byId("question").value = example.question;
      byId("context").value = example.context;
    },
    read() {
      const [question, context] = [byId("question").value, byId("context").value];
      if (!question.trim()) throw new Unwritten("inputs.question", "there is no question yet");
      if (!context.trim()) throw new Unwritten("inputs.context", "there is no context yet");
      return { question, context };
    },
  },
  table: {
    show: () => [
      fieldBox("inputs.query", "query", "Question", h("input", { id: "query", dir: "auto" })),
      fieldBox(
        "inputs.table",
        "table",
        "Table",
        area("table", 7, "city,parcels\nOslo,31"),
        'CSV whose first row names the columns, or JSON: {"column": ["cell", …]}.',
      ),
    ],
    fill: (example) => {
      byId("query").value = example.query;
      byId("table").value = example.table;
    },
    read() {
      const query = byId("query").value;
      if (!query.trim()) throw new Unwritten("inputs.query", "there is no question yet");
      return { query, table: readTable(byId("table").value) };
    },
  },
  json: {
    show: () => [fieldBox("inputs", "json", "Inputs, as JSON", area("json", 7, '"a text"'))],
    fill: (example) => {
      byId("json").value = example.json;
    },
    read() {
      try {
        return JSON.parse(byId("json").value);
      } catch (error) {
        throw new Unwritten("inputs", `not JSON: ${error.message}`);
      }
    },
  },
};

function readTable(text) {
  const field = "inputs.table";
  if (!text.trim()) throw new Unwritten(field, "there is no table yet");
  if (text.trim().startsWith("{")) {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Unwritten(field, `not JSON: ${error.message}`);
    }
  }
  const [names, ...rows] = readCsv(text.trim());
  if (!rows.length) throw new Unwritten(field, "there is no row below the names of the columns");
  const uneven = rows.findIndex((row) => row.length !== names.length);
  if (uneven >= 0) {
    throw new Unwritten(
      field,
      `row ${uneven + 2} has ${rows[uneven].length} cells, the first has ${names.length}`,
    );
  }
  return Object.fromEntries(names.map((name, column) => [name, rows.map((row) => row[column])]));
}

// RFC 4180: quotes around what holds a comma, a quote or a line end; quotes within are doubled.
function readCsv(text) {
  const rows = [[""]];
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const [letter, row] = [text[at], rows.at(-1)];
    if (quoted) {
      if (letter !== '"') row[row.length - 1] += letter;
      else if (text[at + 1] === '"') {
        row[row.length - 1] += '"';
        at += 1;
      } else quoted = false;
    } else if (letter === '"' && row.at(-1) === "") quoted = true;
    else if (letter === ",") row.push("");
    else if (letter === "\n") rows.push([""]);
    else if (letter !== "\r") row[row.length - 1] += letter;
  }
  return rows.map((row) => row.map((cell) => cell.trim()));
}

// One option of a task: its control, and how to read it; `undefined` leaves it to the API's default.
function optionControl(option) {
  const id = `option-${option.name}`;
  const field = `parameters.${option.name}`;
  switch (option.kind) {
    case "check": {
      const box = h("input", { type: "checkbox", id });
      box.checked = option.value;
      const read = () => (box.checked ? ("checked" in option ? option.checked : true) : undefined);
      const shown = h(
        "div",
        { class: "field", "data-field": field },
        h("div", { class: "check" }, box, h("label", { for: id }, option.label)),
      );
      return { shown, read };
    }
    case "select": {
      const select = h(
        "select",
        { id },
        option.choices.map((choice) => h("option", { value: choice }, choice)),
      );
      select.value = option.value;
      return { shown: fieldBox(field, id, option.label, select), read: () => select.value };
    }
    case "number": {
      const input = h("input", { id, inputmode: "numeric", placeholder: "the model's own" });
      const read = () => {
        if (!input.value.trim()) return undefined;
        const number = Number(input.value);
        if (!Number.isFinite(number)) throw new Unwritten(field, "must be a number");
        return number;
      };
      return { shown: fieldBox(field, id, option.label, input), read };
    }
    case "labels":
      return labelsControl(option, id, field);
    default: {
      const input = h("input", { id, placeholder: option.placeholder, dir: "auto" });
      return {
        shown: fieldBox(field, id, option.label, input),
        read: () => input.value || undefined,
      };
    }
  }
}

// Labels as chips: Enter or a comma adds what is typed, Backspace in the empty field takes the last.
function labelsControl(option, id, field) {
  let labels = [];
  const input = h("input", {
    id,
    placeholder: "Add a label",
    autocapitalize: "off",
    dir: "auto",
    enterkeyhint: "done",
  });
  const adder = h("li", { class: "adder" }, input);
  const chips = h("ul", { class: "chips" }, adder);

  const change = (next) => {
    labels = [...new Set(next.map((label) => label.trim()).filter(Boolean))];
    // The field itself stays where it is, since moving it would take the focus away.
    chips.querySelectorAll(".chip").forEach((old) => old.remove());
    adder.before(...labels.map(chip));
    chips.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const chip = (label) =>
    h(
      "li",
      { class: "chip" },
      h("span", { dir: "auto" }, label),
      h(
        "button",
        {
          type: "button",
          "aria-label": `Remove ${label}`,
          click: () => {
            change(labels.filter((other) => other !== label));
            input.focus();
          },
        },
        "×",
      ),
    );
  const add = () => {
    if (!input.value.trim()) return;
    const added = input.value.split(/[,\n]/);
    input.value = "";
    change([...labels, ...added]);
  };
  input.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" && !event.ctrlKey && !event.metaKey) || event.key === ",") {
      event.preventDefault();
      add();
    } else if (event.key === "Backspace" && !input.value && labels.length)
      change(labels.slice(0, -1));
  });
  input.addEventListener("paste", (event) => {
    const pasted = event.clipboardData?.getData("text") ?? "";
    if (!/[,\n]/.test(pasted)) return;
    event.preventDefault();
    change([...labels, ...pasted.split(/[,\n]/)]);
  });
  input.addEventListener("blur", add);
  const shown = fieldBox(field, id, option.label, chips, "Enter or a comma ends a label.");
  const read = () => {
    const typed = [...labels, input.value.trim()].filter(Boolean);
    if (!typed.length) throw new Unwritten(field, "there is no label yet");
    return typed;
  };
  return { shown, read, set: change };
}
