// The page: what is chosen, what is asked, what came back.
"use strict";

const page = {
  models: [], controls: [], mode: "one", language: "curl",
  asking: null, // AbortController of the prediction that is awaited
  batch: { input: null, key: null, following: null, seen: null, next: null },
};

const chosen = () => (AUTH === "iam"
  ? { name: byId("model-name").value.trim(), task: byId("task").value, kind: "", state: "" }
  : page.models.find((model) => model.name === byId("model").value));

function say(text) {
  byId("said").textContent = text;
}

// ---- who asks ----

function setUpCredentials() {
  const name = CREDENTIALS[AUTH];
  if (AUTH === "iam") {
    byId("signed").hidden = false;
    startWithoutModels();
    return;
  }
  if (name) {
    byId("credential-label").textContent = name;
    byId("credential-hint").hidden = AUTH !== "api-key";
    byId("credentials").addEventListener("submit", (event) => {
      event.preventDefault();
      const typed = byId("credential").value.trim();
      if (!typed) return byId("credential").focus();
      keepCredential(typed);
      return loadModels();
    });
    byId("forget").addEventListener("click", forget);
    if (!credential()) {
      byId("credentials").hidden = false;
      return;
    }
  }
  loadModels();
}

function forget() {
  keepCredential("");
  page.batch.following?.abort();
  page.asking?.abort();
  byId("credential").value = "";
  byId("work").hidden = byId("holder").hidden = true;
  byId("credentials").hidden = false;
  byId("answer").replaceChildren(h("p", { class: "soft empty" }, "What the model says appears here."));
  byId("progress").replaceChildren(h("p", { class: "soft empty" }, "A started batch can be followed here."));
  byId("batches").replaceChildren(h("li", {}, "Not looked up yet."));
  byId("credential").focus();
}

// ---- which model ----

async function loadModels() {
  byId("models-trouble").replaceChildren();
  try {
    const { document: found } = await call("GET", "v1/models");
    page.models = found.models;
  } catch (refusal) {
    byId("work").hidden = byId("holder").hidden = true;
    byId("models-trouble").replaceChildren(problemBox(refusal, { retry: refusal.unauthorized ? null : loadModels }));
    if (refusal.unauthorized && CREDENTIALS[AUTH]) {
      keepCredential("");
      byId("credentials").hidden = false;
      byId("credential").setAttribute("aria-invalid", "true");
      byId("credential").focus();
    }
    return;
  }
  byId("credential").removeAttribute("aria-invalid");
  byId("credentials").hidden = true;
  byId("work").hidden = byId("holder").hidden = false;
  byId("credential-state").textContent = CREDENTIALS[AUTH] ? `${CREDENTIALS[AUTH]} kept in this tab` : "Open to everyone";
  byId("forget").hidden = !CREDENTIALS[AUTH];
  const before = byId("model").value;
  byId("model").replaceChildren(...page.models.map(({ name }) => h("option", { value: name }, name)));
  const best = page.models.find((model) => model.name === before) ?? page.models.find((model) => model.state === "InService") ?? page.models[0];
  if (best) byId("model").value = best.name;
  showModel();
  byId("tab-one").focus({ preventScroll: true });
}

// Where only signed requests are taken: the page cannot ask which models there are.
function startWithoutModels() {
  byId("model").hidden = true;
  byId("model-name").hidden = false;
  document.querySelector('label[for="model"]').htmlFor = "model-name";
  byId("task-field").hidden = false;
  byId("task").replaceChildren(...Object.keys(TASKS).map((task) => h("option", { value: task }, task)));
  byId("task").addEventListener("change", showModel);
  byId("model-name").addEventListener("input", refreshCode);
  byId("work").hidden = false;
  for (const id of ["send", "start"]) byId(id).disabled = true;
  showModel();
}

const KINDS = { "real-time": "Real-time", serverless: "Serverless", async: "Asynchronous", none: "Batches only" };
const MODEL_STATES = {
  InService: ["In service", "good"], BatchOnly: ["Batches only", "good"], NotDeployed: ["Not deployed", ""], Creating: ["Being created", "busy"],
  Updating: ["Being updated", "busy"], SystemUpdating: ["Being updated", "busy"], RollingBack: ["Rolling back", "busy"], Failed: ["Failed", "bad"],
};
const MODEL_NOTES = {
  NotDeployed: "No version of this model is in service: approve one, or deploy. Calls are answered with a problem until then.",
  BatchOnly: "This model has no endpoint; it answers batches.",
  Creating: "This model's endpoint is being created. Calls may have to wait.",
  Failed: "This model's endpoint has failed; its log has the reason.",
};

function showModel() {
  const model = chosen();
  if (!model) {
    byId("model-note").hidden = false;
    byId("model-note").textContent = "This deployment has no model yet.";
    return;
  }
  const [state, look] = MODEL_STATES[model.state] ?? [model.state, ""];
  const facts = AUTH === "iam" ? [] : [
    ["Task", model.task], ["State", h("span", { class: `state ${look}` }, state)],
    ["Version", model.version], ["Endpoint", KINDS[model.kind] === state ? null : KINDS[model.kind] ?? model.kind],
  ];
  byId("facts").replaceChildren(...facts.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  const note = MODEL_NOTES[model.state] ?? (model.kind === "async" ? "This model answers later; the page waits for it." : "");
  byId("model-note").hidden = !note;
  byId("model-note").textContent = note;
  showForm(model);
  byId("answer").replaceChildren(h("p", { class: "soft empty" }, "What the model says appears here."));
  if (model.kind === "none") choose("modes", "tab-batch");
  refreshCode();
}

function showForm(model) {
  const task = taskOf(model.task);
  byId("inputs").replaceChildren(...INPUTS[task.inputs].show(task));
  page.controls = task.options.map((option) => ({ option, ...optionControl(option) }));
  byId("options").replaceChildren(...page.controls.map(({ shown }) => shown));
  byId("parameters").value = "";
  byId("parameters").placeholder = PLACEHOLDERS[canonicalTask(model.task)] ?? "{}";
}

const PLACEHOLDERS = {
  "text-classification": '{"long_text": "chunk"}', "question-answering": '{"top_k": 3}', "text-generation": '{"do_sample": true, "seed": 7}',
  "feature-extraction": '{"truncation": true}', "token-classification": '{"ignore_labels": ["MISC"]}', "fill-mask": '{"targets": ["Monday"]}',
};

// ---- the request ----

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
  return { model: model.name, task: model.task, path: `v1/models/${encodeURIComponent(model.name)}`, body, headers };
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
    const inJson = page.mode === "one" && name.startsWith("parameters.") && name.split(/[.[]/)[1] in written;
    const box = boxes.find(({ dataset }) => dataset.field === (inJson ? "parameters" : name))
      // `parameters.candidate_labels.0` belongs to the labels, an unknown parameter to the JSON.
      ?? boxes.filter(({ dataset }) => name.startsWith(`${dataset.field}.`) || name.startsWith(`${dataset.field}[`)).sort((a, b) => b.dataset.field.length - a.dataset.field.length)[0]
      ?? boxes.find(({ dataset }) => dataset.field.split(".")[0] === name);
    if (!box) continue;
    placed.push(error);
    const control = box.querySelector("input, select, textarea");
    const id = `fault-${control.id}`;
    const told = box.dataset.field === name || name === "inputs" ? error.message : `${name}: ${error.message}`;
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

// ---- a prediction ----

async function ask() {
  if (page.asking || AUTH === "iam") return;
  let request;
  try {
    request = readRequest();
  } catch (fault) {
    if (!(fault instanceof Unwritten)) throw fault;
    showFaults([{ field: fault.field, message: fault.message }]);
    document.querySelector('#ask [aria-invalid="true"]')?.focus();
    say(fault.message);
    return;
  }
  clearFaults();
  page.asking = new AbortController();
  const { signal } = page.asking;
  const waiting = h("span");
  const told = (text) => { waiting.textContent = text; };
  const started = performance.now();
  const clock = setInterval(() => told(`${waiting.dataset.later ?? "Asking"} … ${Math.floor((performance.now() - started) / 1000)} s`), 1000);
  told("Asking …");
  byId("answer").replaceChildren(h("p", { class: "waiting soft" }, waiting));
  byId("send").disabled = true;
  byId("stop").hidden = false;
  try {
    const answer = await predict(request, {
      signal,
      later: () => { waiting.dataset.later = "Taken; the answer comes later"; },
    });
    showPrediction(request, answer);
  } catch (error) {
    if (error.name === "AbortError") byId("answer").replaceChildren(h("p", { class: "soft empty" }, "Stopped waiting."));
    else if (error instanceof Refusal) {
      const skip = showFaults(error.errors);
      byId("answer").replaceChildren(problemBox(error, { retry: ask, skip }));
      say(`${error.title}. ${error.detail}`);
    } else throw error;
  } finally {
    clearInterval(clock);
    page.asking = null;
    byId("send").disabled = false;
    byId("stop").hidden = true;
  }
}

function showPrediction(request, answer) {
  const { shown, said } = showAnswer(request.task, request.body.inputs, answer.document);
  const version = answer.headers.get("x-lectern-model-version");
  const cut = Number(answer.headers.get("x-lectern-truncated"));
  const facts = [
    ["Version", version], ["Took", seconds(answer.milliseconds)], ["Request", answer.headers.get("x-request-id")],
  ];
  byId("answer").replaceChildren(
    ...shown,
    cut ? h("p", { class: "remark" }, `${cut === 1 ? "One text was" : `${cut} texts were`} longer than the model reads, and lost the end.`) : "",
    h("dl", { class: "meta" }, facts.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { id: `fact-${name.toLowerCase()}` }, value)))),
    h("details", {}, h("summary", {}, "As JSON"), codeBlock(clipped(JSON.stringify(answer.document, null, 2)), "Answer as JSON")),
  );
  say(`${said}. ${version ? `Version ${version}, ` : ""}${seconds(answer.milliseconds)}.`);
}

// A vector of every token can be megabytes, which no one reads.
function clipped(text) {
  return text.length > 60_000 ? `${text.slice(0, 60_000)}\n… (${text.length} characters in all)` : text;
}

// ---- a batch ----

async function readBatch() {
  const [file] = byId("file").files;
  page.batch.input = await readLines(file, byId("lines").value);
  // Another input is another batch; the same one, sent again after a failure, is not.
  page.batch.key = null;
  byId("batch-summary").textContent = page.batch.input?.summary ?? "";
  byId("lines").disabled = Boolean(file);
  refreshCode();
}

async function startBatch() {
  clearFaults();
  const { batch } = page;
  await readBatch.pending;
  if (!batch.input || !batch.input.bytes) {
    showFaults([{ field: "lines", message: "there are no lines yet: choose a file, or paste some" }]);
    byId("lines").focus();
    return;
  }
  const { body, contentType, bytes } = batch.input;
  const model = chosen();
  const path = `v1/models/${encodeURIComponent(model.name)}/batches`;
  const controller = following();
  batch.key ??= { model: model.name, key: newKey() };
  if (batch.key.model !== model.name) batch.key = { model: model.name, key: newKey() };
  const headers = { "idempotency-key": batch.key.key };
  byId("start").disabled = true;
  byId("progress").replaceChildren(h("p", { class: "waiting soft" }, "Sending …"));
  try {
    const { signal } = controller;
    if (bytes <= INLINE_BYTES) {
      const { document: started } = await call("POST", path, { body, contentType, headers, signal });
      byId("start").disabled = false;
      await follow(started, controller);
    } else {
      const asked = JSON.stringify({ upload: { content_type: contentType } });
      const { document: started } = await call("POST", path, { body: asked, contentType: "application/json", headers, signal });
      const view = showBatch(started, controller);
      if (started.upload) await upload(started.upload, body, (sent) => view.update(started, sent), signal);
      byId("start").disabled = false;
      await follow(started, controller, view);
    }
  } catch (error) {
    showBatchTrouble(error, startBatch);
  } finally {
    byId("start").disabled = false;
  }
}

// Only where the browser has it, which is on https and on this machine.
function newKey() {
  return crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// One batch is followed at a time.
function following() {
  page.batch.following?.abort();
  page.batch.following = new AbortController();
  return page.batch.following;
}

function showBatch(document_, controller) {
  const view = batchView(document_, {
    stop: async (event) => {
      const button = event.currentTarget;
      button.disabled = true;
      try {
        const { document: stopped } = await call("DELETE", `v1/batches/${encodeURIComponent(document_.id)}`);
        if (view.update(stopped)) controller.abort();
        say(`Batch ${STATE_NAMES[stopped.state] ?? stopped.state}`);
        listBatches();
      } catch (error) {
        button.disabled = false;
        if (error instanceof Refusal) view.root.append(problemBox(error));
      }
    },
  });
  byId("progress").replaceChildren(view.root);
  return view;
}

async function follow(first, controller, shown) {
  const view = shown ?? showBatch(first, controller);
  const { signal } = controller;
  let current = first;
  listBatches();
  say(`Batch ${current.id} started`);
  // A second at first, five in the end: batches take minutes on AWS.
  for (let wait = 1; !view.update(current); wait = Math.min(wait * 1.15, 5)) {
    await pause(wait, signal);
    try {
      current = (await call("GET", `v1/batches/${encodeURIComponent(first.id)}`, { signal })).document;
    } catch (error) {
      // A busy moment does not end the batch: it is asked for again.
      if (!(error instanceof Refusal) || ![0, 429, 502, 503, 504].includes(error.status)) throw error;
      await pause(error.retryAfter ?? 5, signal);
    }
  }
  page.batch.key = null;
  say(`Batch ${STATE_NAMES[current.state] ?? current.state}. ${current.errors ? `${current.errors} lines have an error.` : ""}`);
  listBatches();
}

function showBatchTrouble(error, retry) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Refusal)) throw error;
  const skip = showFaults(error.errors);
  byId("progress").replaceChildren(problemBox(error, { retry, skip }));
  say(`${error.title}. ${error.detail}`);
}

async function listBatches(token) {
  const more = typeof token === "string";
  let found;
  try {
    found = (await call("GET", `v1/batches?limit=8${more ? `&next_token=${encodeURIComponent(token)}` : ""}`)).document;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    byId("batches").replaceChildren(h("li", {}, `${error.title}. ${error.detail}`));
    return;
  }
  const rows = found.batches.map((batch) => h("li", {},
    h("button", { type: "button", class: "plain small", click: () => followAgain(batch), "aria-label": `Follow ${batch.id}` }, batch.id),
    h("span", {}, batch.lines ? `${number(batch.lines)} lines` : ""),
    h("span", { class: `state ${STATE_LOOKS[batch.state] ?? ""}` }, STATE_NAMES[batch.state] ?? batch.state)));
  if (more) byId("batches").append(...rows);
  else byId("batches").replaceChildren(...(rows.length ? rows : [h("li", {}, "None yet.")]));
  page.batch.next = found.next_token ?? null;
  byId("more").hidden = !page.batch.next;
}

async function followAgain(batch) {
  const controller = following();
  try {
    const { document: current } = await call("GET", `v1/batches/${encodeURIComponent(batch.id)}`, { signal: controller.signal });
    await follow(current, controller);
  } catch (error) {
    showBatchTrouble(error, () => followAgain(batch));
  }
}

// ---- the call as code ----

// Until something is typed, the code asks for the task's example.
function exampleRequest(model) {
  const { inputs: kind, example } = taskOf(model.task);
  const inputs = { text: () => example.text, json: () => JSON.parse(example.json),
    question: () => ({ question: example.question, context: example.context }),
    table: () => ({ query: example.query, table: readTable(example.table) }) }[kind]();
  const body = example.candidate_labels ? { inputs, parameters: { candidate_labels: example.candidate_labels } } : { inputs };
  return { model: model.name, task: model.task, path: `v1/models/${encodeURIComponent(model.name)}`, body, headers: {} };
}

function refreshCode() {
  const model = chosen();
  if (!model) return;
  const name = page.language;
  let text;
  let note = SNIPPET_NOTES[AUTH] ?? "";
  if (page.mode === "batch") {
    const input = page.batch.input ?? { file: "lines.jsonl", contentType: LINES_TYPE, bytes: 0 };
    text = BATCH_SNIPPETS[name]({ path: `v1/models/${encodeURIComponent(model.name)}/batches`, ...input });
  } else {
    try {
      text = PREDICTION_SNIPPETS[name](readRequest());
    } catch (fault) {
      if (!(fault instanceof Unwritten)) throw fault;
      text = PREDICTION_SNIPPETS[name](exampleRequest(model));
      note = `An example, since ${fault.message}. ${note}`;
    }
  }
  byId("snippet").textContent = text;
  if (page.mode === "batch" && page.batch.input && !byId("file").files.length) note += ` Save the lines as ${page.batch.input.file}.`;
  byId("code-note").textContent = note;
}

// ---- tabs, keys, and what listens ----

function choose(listId, id) {
  for (const tab of byId(listId).querySelectorAll('[role="tab"]')) {
    const isChosen = tab.id === id;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
  }
  if (listId === "modes") {
    page.mode = id === "tab-batch" ? "batch" : "one";
    byId("panel-one").hidden = page.mode !== "one";
    byId("panel-batch").hidden = page.mode !== "batch";
    if (page.mode === "batch" && AUTH !== "iam") listBatches();
  } else {
    page.language = id.replace("tab-", "");
    byId("code").setAttribute("aria-labelledby", id);
  }
  refreshCode();
}

function watchTabs(listId) {
  const tabs = [...byId(listId).querySelectorAll('[role="tab"]')];
  tabs.forEach((tab, at) => {
    tab.addEventListener("click", () => choose(listId, tab.id));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = tabs.at(to % tabs.length);
      choose(listId, next.id);
      next.focus();
    });
  });
}

function fillExample() {
  const task = taskOf(chosen().task);
  INPUTS[task.inputs].fill(task.example);
  for (const { option, set } of page.controls) if (set && option.name in task.example) set(task.example[option.name]);
  INPUTS[task.inputs].changed?.();
  refreshCode();
}

function watchDrop() {
  const drop = byId("drop");
  const over = (event) => {
    event.preventDefault();
    drop.classList.add("over");
  };
  drop.addEventListener("dragover", over);
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (!event.dataTransfer.files.length) return;
    byId("file").files = event.dataTransfer.files;
    byId("file").dispatchEvent(new Event("change"));
  });
}

function watch() {
  watchThemeButton(byId("theme"));
  watchTabs("modes");
  watchTabs("languages");
  watchDrop();
  if (meta("lectern-pages").includes("documentation")) {
    byId("docs-link").href = `${BASE}v1/docs`;
    byId("docs-link").hidden = false;
  }
  byId("keys").textContent = /Mac|iP(hone|ad)/.test(navigator.platform) ? "⌘ ↵ predicts" : "Ctrl ↵ predicts";
  byId("code").append(copyButton("code", () => byId("snippet").textContent));
  byId("model").addEventListener("change", showModel);
  byId("example").addEventListener("click", fillExample);
  byId("stop").addEventListener("click", () => page.asking?.abort());
  byId("ask").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  byId("ask").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask(); }
  });
  byId("ask").addEventListener("input", () => {
    INPUTS[taskOf(chosen().task).inputs].changed?.();
    refreshCode();
  });
  byId("batch").addEventListener("submit", (event) => { event.preventDefault(); startBatch(); });
  for (const [id, kind] of [["file", "change"], ["lines", "input"]]) {
    byId(id).addEventListener(kind, () => { readBatch.pending = readBatch(); });
  }
  byId("refresh").addEventListener("click", () => listBatches());
  byId("more").addEventListener("click", () => listBatches(page.batch.next));
}

watch();
setUpCredentials();
