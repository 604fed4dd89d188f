// One prediction: asked, waited for, shown.
"use strict";

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
  const told = (text) => {
    waiting.textContent = text;
  };
  const started = performance.now();
  const clock = setInterval(
    () =>
      told(
        `${waiting.dataset.later ?? "Asking"} … ${Math.floor((performance.now() - started) / 1000)} s`,
      ),
    1000,
  );
  told("Asking …");
  byId("answer").replaceChildren(h("p", { class: "waiting soft" }, waiting));
  byId("send").disabled = true;
  byId("stop").hidden = false;
  try {
    const answer = await predict(request, {
      signal,
      later: () => {
        waiting.dataset.later = "Taken; the answer comes later";
      },
    });
    showPrediction(request, answer);
  } catch (error) {
    if (error.name === "AbortError")
      byId("answer").replaceChildren(h("p", { class: "soft empty" }, "Stopped waiting."));
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
    ["Version", version],
    ["Took", seconds(answer.milliseconds)],
    ["Request", answer.headers.get("x-request-id")],
  ];
  byId("answer").replaceChildren(
    ...shown,
    cut
      ? h(
          "p",
          { class: "remark" },
          `${cut === 1 ? "One text was" : `${cut} texts were`} longer than the model reads, and lost the end.`,
        )
      : "",
    h(
      "dl",
      { class: "meta" },
      facts
        .filter(([, value]) => value)
        .map(([name, value]) =>
          h("div", {}, h("dt", {}, name), h("dd", { id: `fact-${name.toLowerCase()}` }, value)),
        ),
    ),
    h(
      "details",
      {},
      h("summary", {}, "As JSON"),
      codeBlock(clipped(JSON.stringify(answer.document, null, 2)), "Answer as JSON"),
    ),
  );
  say(`${said}. ${version ? `Version ${version}, ` : ""}${seconds(answer.milliseconds)}.`);
}

// A vector of every token can be megabytes, which no one reads.
function clipped(text) {
  return text.length > 60_000
    ? `${text.slice(0, 60_000)}\n… (${text.length} characters in all)`
    : text;
}
