// A batch on the page: started, followed to its end, stopped; and the batches there were.
"use strict";

async function readBatch() {
  const [file] = byId("file").files;
  const uri = byId("uri").value.trim();
  page.batch.input = await readLines(file, uri, byId("lines").value);
  // Another input is another batch; the same one, sent again after a failure, is not.
  page.batch.key = null;
  byId("batch-summary").textContent = page.batch.input?.summary ?? "";
  byId("uri").disabled = Boolean(file);
  byId("lines").disabled = Boolean(file || uri);
  refreshCode();
}

async function startBatch() {
  clearFaults();
  const { batch } = page;
  await readBatch.pending;
  if (!batch.input || !batch.input.bytes) {
    showFaults([
      { field: "lines", message: "there are no lines yet: choose a file, or paste or name some" },
    ]);
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
      const { document: started } = await call("POST", path, {
        body,
        contentType,
        headers,
        signal,
      });
      byId("start").disabled = false;
      await follow(started, controller);
    } else {
      const asked = JSON.stringify({ upload: { content_type: contentType } });
      const { document: started } = await call("POST", path, {
        body: asked,
        contentType: "application/json",
        headers,
        signal,
      });
      const view = showBatch(started, controller);
      if (started.upload)
        await upload(started.upload, body, (sent) => view.update(started, sent), signal);
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
  return (
    crypto.randomUUID?.() ??
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
      byte.toString(16).padStart(2, "0"),
    ).join("")
  );
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
        const { document: stopped } = await call(
          "DELETE",
          `v1/batches/${encodeURIComponent(document_.id)}`,
        );
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
      current = (await call("GET", `v1/batches/${encodeURIComponent(first.id)}`, { signal }))
        .document;
    } catch (error) {
      // A busy moment does not end the batch: it is asked for again.
      if (!(error instanceof Refusal) || ![0, 429, 502, 503, 504].includes(error.status))
        throw error;
      await pause(error.retryAfter ?? 5, signal);
    }
  }
  page.batch.key = null;
  say(
    `Batch ${STATE_NAMES[current.state] ?? current.state}. ${current.errors ? `${current.errors} lines have an error.` : ""}`,
  );
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
    found = (
      await call(
        "GET",
        `v1/batches?limit=8${more ? `&next_token=${encodeURIComponent(token)}` : ""}`,
      )
    ).document;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    byId("batches").replaceChildren(h("li", {}, `${error.title}. ${error.detail}`));
    return;
  }
  const rows = found.batches.map((batch) =>
    h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: "plain small",
          click: () => followAgain(batch),
          "aria-label": `Follow ${batch.id}`,
        },
        batch.id,
      ),
      h("span", {}, batch.lines ? `${number(batch.lines)} lines` : ""),
      h(
        "span",
        { class: `state ${STATE_LOOKS[batch.state] ?? ""}` },
        STATE_NAMES[batch.state] ?? batch.state,
      ),
    ),
  );
  if (more) byId("batches").append(...rows);
  else byId("batches").replaceChildren(...(rows.length ? rows : [h("li", {}, "None yet.")]));
  page.batch.next = found.next_token ?? null;
  byId("more").hidden = !page.batch.next;
}

async function followAgain(batch) {
  const controller = following();
  try {
    const { document: current } = await call("GET", `v1/batches/${encodeURIComponent(batch.id)}`, {
      signal: controller.signal,
    });
    await follow(current, controller);
  } catch (error) {
    showBatchTrouble(error, () => followAgain(batch));
  }
}
