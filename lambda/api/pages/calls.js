// Calls of the API: who asks, and what it answers when it refuses.
"use strict";

const CREDENTIAL = "lectern-credential";
const CREDENTIALS = { "api-key": "API key", jwt: "Access token", cognito: "Access token" };

function credential() {
  try {
    return sessionStorage.getItem(CREDENTIAL) ?? credential.typed ?? "";
  } catch {
    return credential.typed ?? "";
  }
}

function keepCredential(value) {
  credential.typed = value;
  try {
    if (value) sessionStorage.setItem(CREDENTIAL, value);
    else sessionStorage.removeItem(CREDENTIAL);
  } catch {
    // Storage may be forbidden: then it lasts as long as this page.
  }
}

function credentialHeaders() {
  const value = credential();
  if (!value || !(AUTH in CREDENTIALS)) return {};
  return AUTH === "api-key" ? { "x-api-key": value } : { authorization: `Bearer ${value}` };
}

// What the API answered instead of an answer; also what a gateway says in its own words.
class Refusal extends Error {
  constructor(status, headers, problem) {
    super(problem?.detail ?? problem?.message ?? `the API answered ${status}`);
    this.status = status;
    this.title = problem?.title ?? (status ? `Status ${status}` : "No answer");
    this.detail = problem?.detail ?? problem?.message ?? "";
    this.errors = Array.isArray(problem?.errors) ? problem.errors : [];
    this.requestId = problem?.request_id ?? headers?.get("x-request-id") ?? null;
    const seconds = Number(headers?.get("retry-after"));
    this.retryAfter = Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 3600) : null;
    this.unauthorized = status === 401 || status === 403;
  }
}

async function call(method, path, { body, contentType, headers = {}, signal } = {}) {
  const started = performance.now();
  let response, text;
  try {
    response = await fetch(BASE + path, {
      method,
      body,
      signal,
      cache: "no-store",
      credentials: "omit",
      headers: {
        accept: "application/json",
        ...credentialHeaders(),
        ...(contentType ? { "content-type": contentType } : {}),
        ...headers,
      },
    });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, null, {
      title: "The API cannot be reached",
      detail: "No answer came back: the network, the address, or a header that cannot be sent.",
    });
  }
  let document = null;
  try {
    document = JSON.parse(text);
  } catch {
    // A proxy on the way may answer with a page of its own; its status must do.
  }
  if (!response.ok) throw new Refusal(response.status, response.headers, document);
  return {
    status: response.status,
    headers: response.headers,
    document,
    text,
    milliseconds: performance.now() - started,
  };
}

function pause(seconds, signal) {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(signal.reason);
      },
      { once: true },
    );
  });
}

// A prediction, awaited: an answer that comes later is asked for until it is there.
async function predict(request, { signal, later }) {
  const started = performance.now();
  let answer = await call("POST", request.path, {
    body: JSON.stringify(request.body),
    contentType: "application/json",
    headers: request.headers,
    signal,
  });
  while (answer.status === 202) {
    const { result } = answer.document;
    later(answer.document);
    await pause(Math.min(Number(answer.headers.get("retry-after")) || 1, 30), signal);
    // A path of the API, whatever stands before it here.
    answer = await call(
      "GET",
      `v1/results/${encodeURIComponent(String(result).split("/").at(-1))}`,
      { signal },
    );
    answer.late = true;
  }
  answer.milliseconds = performance.now() - started;
  return answer;
}

// A refusal as a person wants it: what, why, which field, when to come back, what to quote.
function problemBox(refusal, { retry, skip = [] } = {}) {
  const left = refusal.errors.filter((error) => !skip.includes(error));
  const box = h(
    "div",
    { class: "problem" },
    h("h3", {}, refusal.title),
    refusal.detail ? h("p", {}, refusal.detail) : null,
    left.length
      ? h(
          "ul",
          {},
          left.map((error) =>
            h(
              "li",
              {},
              error.field ? [h("code", {}, String(error.field)), ": "] : null,
              String(error.message ?? ""),
            ),
          ),
        )
      : null,
    h(
      "p",
      { class: "soft small" },
      [
        refusal.status ? `Status ${refusal.status}` : null,
        refusal.requestId ? `request ${refusal.requestId}` : null,
      ]
        .filter(Boolean)
        .join(" · "),
    ),
  );
  // What is wrong with the request stays wrong; only what is not its fault may pass.
  const passing = refusal.status === 0 || refusal.status === 429 || refusal.status >= 500;
  if (retry && passing)
    box.append(h("p", { class: "actions" }, retryButton(retry, refusal.retryAfter)));
  return box;
}

function retryButton(retry, seconds) {
  const button = h("button", { type: "button", click: retry }, "Try again");
  if (!seconds) return button;
  const due = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((due - Date.now()) / 1000);
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left > 0) setTimeout(tick, 250);
  };
  tick();
  return button;
}

function seconds(milliseconds) {
  return milliseconds < 1000
    ? `${Math.round(milliseconds)} ms`
    : `${(milliseconds / 1000).toFixed(milliseconds < 10000 ? 2 : 1)} s`;
}
