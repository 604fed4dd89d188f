// The form of the chosen model: shown, filled with an example, read into a request, told its faults.
"use strict";

function showForm(model) {
  const task = taskOf(model.task);
  byId("inputs").replaceChildren(...INPUTS[task.inputs].show(task).filter(Boolean));
  page.controls = task.options.map((option) => ({ option, ...optionControl(option) }));
  byId("options").replaceChildren(...page.controls.map(({ shown }) => shown));
  byId("parameters").value = "";
  byId("parameters").placeholder = PLACEHOLDERS[canonicalTask(model.task)] ?? "{}";
}

const PLACEHOLDERS = {
  "text-classification": '{"long_text": "chunk"}',
  "question-answering": '{"top_k": 3}',
  "text-generation": '{"do_sample": true, "seed": 7}',
  "feature-extraction": '{"truncation": true}',
  "token-classification": '{"ignore_labels": ["MISC"]}',
  "fill-mask": '{"targets": ["Monday"]}',
};

function fillExample() {
  const task = taskOf(chosen().task);
  INPUTS[task.inputs].fill(task.example);
  for (const { option, set } of page.controls)
    if (set && option.name in task.example) set(task.example[option.name]);
  INPUTS[task.inputs].changed?.();
  refreshCode();
}

// Until something is typed, the code asks for the task's example.
function exampleRequest(model) {
  const { inputs: kind, example } = taskOf(model.task);
  const inputs = {
    text: () => example.text,
    json: () => JSON.parse(example.json),
    question: () => ({ question: example.question, context: example.context }),
    table: () => ({ query: example.query, table: readTable(example.table) }),
  }[kind]();
  const body = example.candidate_labels
    ? { inputs, parameters: { candidate_labels: example.candidate_labels } }
    : { inputs };
  return {
    model: model.name,
    task: model.task,
    path: `v1/models/${encodeURIComponent(model.name)}`,
    body,
    headers: {},
  };
}

function readRequest() {
  const model = chosen();
  const task = taskOf(model.task);
  const inputs = INPUTS[task.inputs].read();
  const parameters = {};
  for (const { option, read } of page.controls) {
    const value = read();
    if (value !== undefined) parameters[option.name] = value;
  }
  Object.assign(parameters, readParameters());
  const body = Object.keys(parameters).length ? { inputs, parameters } : { inputs };
  const headers = byId("respond-async").checked ? { prefer: "respond-async" } : {};
  return {
    model: model.name,
    task: model.task,
    path: `v1/models/${encodeURIComponent(model.name)}`,
    body,
    headers,
  };
}

function readParameters() {
  const text = byId("parameters").value.trim();
  if (!text) return {};
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Unwritten("parameters", `not JSON: ${error.message}`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Unwritten("parameters", 'must be an object, as {"name": value}');
  }
  return value;
}

function writtenParameters() {
  try {
    return readParameters();
  } catch {
    return {};
  }
}

// Shows each error at its field; returns those that found a place.
function showFaults(errors) {
  clearFaults();
  const form = byId(page.mode === "one" ? "ask" : "batch");
  const boxes = [...form.querySelectorAll("[data-field]")];
  const written = writtenParameters();
  const placed = [];
  for (const error of errors) {
    const name = String(error.field ?? "");
    // What the JSON sets is corrected there, even where a control of the same name stands beside it.
    const inJson =
      page.mode === "one" && name.startsWith("parameters.") && name.split(/[.[]/)[1] in written;
    const box =
      boxes.find(({ dataset }) => dataset.field === (inJson ? "parameters" : name)) ??
      // `parameters.candidate_labels.0` belongs to the labels, an unknown parameter to the JSON.
      boxes
        .filter(
          ({ dataset }) =>
            name.startsWith(`${dataset.field}.`) || name.startsWith(`${dataset.field}[`),
        )
        .sort((a, b) => b.dataset.field.length - a.dataset.field.length)[0] ??
      boxes.find(({ dataset }) => dataset.field.split(".")[0] === name);
    if (!box) continue;
    placed.push(error);
    const control = box.querySelector("input, select, textarea");
    const id = `fault-${control.id}`;
    const told =
      box.dataset.field === name || name === "inputs" ? error.message : `${name}: ${error.message}`;
    const before = box.querySelector(".fault");
    if (before) before.append(h("br"), String(told));
    else box.append(h("p", { class: "fault", id }, String(told)));
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", id);
    box.closest("details")?.setAttribute("open", "");
  }
  return placed;
}

function clearFaults() {
  document.querySelectorAll(".fault").forEach((fault) => fault.remove());
  document.querySelectorAll("#work [aria-invalid]").forEach((control) => {
    control.removeAttribute("aria-invalid");
    if (control.id !== "file") control.removeAttribute("aria-describedby");
  });
}
