// The page: what is chosen, what is asked, what came back.
"use strict";

const page = {
  models: [],
  controls: [],
  mode: "one",
  language: "curl",
  asking: null, // AbortController of the prediction that is awaited
  batch: { input: null, key: null, following: null, seen: null, next: null },
};

const chosen = () =>
  AUTH === "iam"
    ? { name: byId("model-name").value.trim(), task: byId("task").value, kind: "", state: "" }
    : page.models.find((model) => model.name === byId("model").value);

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
  byId("answer").replaceChildren(
    h("p", { class: "soft empty" }, "What the model says appears here."),
  );
  byId("progress").replaceChildren(
    h("p", { class: "soft empty" }, "A started batch can be followed here."),
  );
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
    byId("models-trouble").replaceChildren(
      problemBox(refusal, { retry: refusal.unauthorized ? null : loadModels }),
    );
    if (refusal.unauthorized && CREDENTIALS[AUTH]) {
      keepCredential("");
      byId("credentials").hidden = false;
      byId("credential").setAttribute("aria-invalid", "true");
      byId("credential").focus();
    }
    return;
  }
  byId("credential").removeAttribute("aria-invalid");
  const typing = byId("credentials").contains(document.activeElement);
  byId("credentials").hidden = true;
  byId("work").hidden = byId("holder").hidden = false;
  byId("credential-state").textContent = CREDENTIALS[AUTH]
    ? `${CREDENTIALS[AUTH]} kept in this tab`
    : "Open to everyone";
  byId("forget").hidden = !CREDENTIALS[AUTH];
  const before = byId("model").value;
  byId("model").replaceChildren(
    ...page.models.map(({ name }) => h("option", { value: name }, name)),
  );
  const best =
    page.models.find((model) => model.name === before) ??
    page.models.find((model) => model.state === "InService") ??
    page.models[0];
  if (best) byId("model").value = best.name;
  showModel();
  // The form that had the focus is gone; where there was none, the focus stays alone.
  if (typing) byId("model").focus({ preventScroll: true });
}

// Where only signed requests are taken: the page cannot ask which models there are.
function startWithoutModels() {
  byId("model").hidden = true;
  byId("model-name").hidden = false;
  document.querySelector('label[for="model"]').htmlFor = "model-name";
  byId("task-field").hidden = false;
  byId("task").replaceChildren(
    ...Object.keys(TASKS).map((task) => h("option", { value: task }, task)),
  );
  byId("task").addEventListener("change", showModel);
  byId("model-name").addEventListener("input", refreshCode);
  byId("work").hidden = false;
  for (const id of ["send", "start"]) byId(id).disabled = true;
  showModel();
}

const KINDS = {
  "real-time": "Real-time",
  serverless: "Serverless",
  async: "Asynchronous",
  none: "Batches only",
};
const MODEL_STATES = {
  InService: ["In service", "good"],
  BatchOnly: ["Batches only", "good"],
  NotDeployed: ["Not deployed", ""],
  Creating: ["Being created", "busy"],
  Updating: ["Being updated", "busy"],
  SystemUpdating: ["Being updated", "busy"],
  RollingBack: ["Rolling back", "busy"],
  Failed: ["Failed", "bad"],
};
const MODEL_NOTES = {
  NotDeployed:
    "No version of this model is in service: approve one, or deploy. Calls are answered with a problem until then.",
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
  const facts =
    AUTH === "iam"
      ? []
      : [
          ["Task", model.task],
          ["State", h("span", { class: `state ${look}` }, state)],
          ["Version", model.version],
          ["Endpoint", KINDS[model.kind] === state ? null : (KINDS[model.kind] ?? model.kind)],
        ];
  byId("facts").replaceChildren(
    ...facts
      .filter(([, value]) => value)
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
  const note =
    MODEL_NOTES[model.state] ??
    (model.kind === "async" ? "This model answers later; the page waits for it." : "");
  byId("model-note").hidden = !note;
  byId("model-note").textContent = note;
  showForm(model);
  byId("answer").replaceChildren(
    h("p", { class: "soft empty" }, "What the model says appears here."),
  );
  if (model.kind === "none") choose("modes", "tab-batch");
  refreshCode();
}

// ---- the call as code ----

function refreshCode() {
  const model = chosen();
  if (!model) return;
  const name = page.language;
  let text;
  let note = SNIPPET_NOTES[AUTH] ?? "";
  if (page.mode === "batch") {
    const input = page.batch.input ?? { file: "lines.jsonl", contentType: LINES_TYPE, bytes: 0 };
    text = BATCH_SNIPPETS[name]({
      path: `v1/models/${encodeURIComponent(model.name)}/batches`,
      ...input,
    });
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
  if (page.mode === "batch" && page.batch.input?.file && !byId("file").files.length)
    note += ` Save the lines as ${page.batch.input.file}.`;
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
  byId("keys").textContent = /Mac|iP(hone|ad)/.test(navigator.platform)
    ? "⌘ ↵ predicts"
    : "Ctrl ↵ predicts";
  byId("code").append(copyButton("code", () => byId("snippet").textContent));
  byId("model").addEventListener("change", showModel);
  byId("example").addEventListener("click", fillExample);
  byId("stop").addEventListener("click", () => page.asking?.abort());
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  byId("ask").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      ask();
    }
  });
  byId("ask").addEventListener("input", () => {
    INPUTS[taskOf(chosen().task).inputs].changed?.();
    refreshCode();
  });
  byId("batch").addEventListener("submit", (event) => {
    event.preventDefault();
    startBatch();
  });
  for (const [id, kind] of [
    ["file", "change"],
    ["uri", "input"],
    ["lines", "input"],
  ]) {
    byId(id).addEventListener(kind, () => {
      readBatch.pending = readBatch();
    });
  }
  byId("refresh").addEventListener("click", () => listBatches());
  byId("more").addEventListener("click", () => listBatches(page.batch.next));
}

watch();
setUpCredentials();
