// Batches: lines that go with the request or, from INLINE_BYTES on, by a presigned upload; then followed.
"use strict";

const LINES_TYPE = "application/jsonlines";
const OVER = new Set(["Completed", "Failed", "Stopped"]);
const STATE_NAMES = {
  AwaitingUpload: "Awaiting the upload",
  InProgress: "In progress",
  Completed: "Completed",
  Failed: "Failed",
  Stopped: "Stopped",
};
const STATE_LOOKS = {
  Completed: "good",
  Failed: "bad",
  Stopped: "bad",
  InProgress: "busy",
  AwaitingUpload: "busy",
};

const number = (value) => value.toLocaleString("en-US");
const sized = (bytes) =>
  bytes < 1000
    ? `${bytes} bytes`
    : bytes < 1e6
      ? `${(bytes / 1e3).toFixed(1)} kB`
      : `${(bytes / 1e6).toFixed(1)} MB`;

function duration(milliseconds) {
  const whole = Math.round(milliseconds / 1000);
  return whole < 60
    ? `${whole} s`
    : whole < 3600
      ? `${Math.floor(whole / 60)} min ${whole % 60} s`
      : `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function looksLikeJson(line) {
  return /^\s*[{[]/.test(line ?? "");
}

function textsAsLines(text) {
  return text
    .split(/\r?\n/)
    .filter((line) => line.trim())
    .map((line) => `${JSON.stringify({ inputs: line })}\n`)
    .join("");
}

// What a file, an address or pasted lines become: a body, its content type, a sentence about it.
async function readLines(file, uri, pasted) {
  if (file) {
    const name = file.name;
    if (/\.csv$/i.test(name)) return described(file, "text/csv", name, "rows");
    if (/\.(jsonl|ndjson|jsonlines)$/i.test(name))
      return described(file, LINES_TYPE, name, "lines");
    const head = await file.slice(0, 4096).text();
    if (looksLikeJson(head)) return described(file, LINES_TYPE, name, "lines");
    const body = new Blob([textsAsLines(await file.text())]);
    return described(body, LINES_TYPE, name.replace(/(\.\w+)?$/, ".jsonl"), "texts");
  }
  if (uri) {
    const body = JSON.stringify({ input: uri });
    const contentType = "application/json";
    return { body, contentType, uri, bytes: body.length, summary: "read from S3" };
  }
  if (!pasted.trim()) return null;
  const body = looksLikeJson(pasted) ? pasted : textsAsLines(pasted);
  return described(new Blob([body]), LINES_TYPE, "lines.jsonl", "lines");
}

async function described(body, contentType, file, unit) {
  // Larger ones are not read here: the API counts them.
  const count =
    body.size <= INLINE_BYTES && contentType !== "text/csv"
      ? (await body.text()).split("\n").filter((line) => line.trim()).length
      : null;
  const one = count === 1 ? unit.replace(/s$/, "") : unit;
  const summary = [
    count === null ? null : `${number(count)} ${one}`,
    sized(body.size),
    body.size > INLINE_BYTES ? "sent by upload" : "sent with the call",
  ];
  return {
    body,
    contentType,
    file,
    bytes: body.size,
    count,
    summary: summary.filter(Boolean).join(", "),
  };
}

// XMLHttpRequest, since fetch does not tell how far an upload is.
function upload(target, body, told, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(target.method ?? "PUT", target.url);
    for (const [name, value] of Object.entries(target.headers ?? {}))
      request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => told(event.loaded / (event.total || 1)));
    const failed = (detail) =>
      reject(new Refusal(request.status, null, { title: "The upload failed", detail }));
    request.addEventListener("load", () =>
      request.status < 300
        ? resolve()
        : failed("S3 refused the file: the address may have expired."),
    );
    request.addEventListener("error", () =>
      failed("S3 could not be reached, or does not accept uploads from this page (CORS)."),
    );
    request.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(body);
  });
}

// What is shown of the batch that is followed; `update` takes each document as it comes.
function batchView(document, { stop, now = Date.now }) {
  const state = h("span", { class: "state" });
  const counts = h("span");
  const bar = h("progress", { "aria-label": "Lines done" });
  const facts = h("dl", { class: "meta" });
  const actions = h("div", { class: "row" });
  const stopButton = h("button", { type: "button", click: stop }, "Stop batch");
  const remarks = h("div");
  const root = h(
    "div",
    { class: "following" },
    h("p", { class: "headline" }, state, counts),
    bar,
    remarks,
    actions,
    facts,
  );

  const update = (current, sent) => {
    const over = OVER.has(current.state);
    state.className = `state ${STATE_LOOKS[current.state] ?? ""}`;
    state.textContent = STATE_NAMES[current.state] ?? current.state;
    const { lines } = current;
    const done = current.done ?? 0;
    counts.textContent =
      sent !== undefined && current.state === "AwaitingUpload"
        ? `${Math.round(sent * 100)} % sent`
        : lines
          ? `${number(done)} of ${number(lines)} lines`
          : over
            ? ""
            : "counting lines";
    bar.hidden = over && current.state !== "Completed";
    if (sent !== undefined && current.state === "AwaitingUpload") {
      bar.max = 1;
      bar.value = sent;
    } else if (lines) {
      bar.max = lines;
      bar.value = current.state === "Completed" ? lines : done;
    } else bar.removeAttribute("value");
    if (current.state === "Completed" && !lines) {
      bar.max = 1;
      bar.value = 1;
    }

    remarks.replaceChildren(
      ...[
        current.reason ? h("p", { class: "remark" }, current.reason) : null,
        current.errors
          ? h(
              "p",
              { class: "remark" },
              `${number(current.errors)} ${current.errors === 1 ? "line has" : "lines have"} an error, told in its place in the result.`,
            )
          : null,
      ].filter(Boolean),
    );

    const result =
      current.result_url &&
      safeLink(current.result_url, "Download the result", {
        class: "get",
        download: `${current.id}.jsonl`,
      });
    // Replaced only when it changes: a button that a person is about to press stays what it is.
    const wanted = over ? result : stopButton;
    if (actions.firstChild !== wanted) actions.replaceChildren(...(wanted ? [wanted] : []));
    const ended = current.finished ? Date.parse(current.finished) : over ? null : now();
    const started = Date.parse(current.started ?? current.created ?? "");
    const rows = [
      ["Batch", current.id],
      ["Model", current.model],
      ["Time", ended && started && ended >= started ? duration(ended - started) : null],
      [
        "Result until",
        current.result_expires ? new Date(current.result_expires).toLocaleString() : null,
      ],
    ];
    facts.replaceChildren(
      ...rows
        .filter(([, value]) => value)
        .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    );
    return over;
  };
  update(document);
  return { root, update };
}
