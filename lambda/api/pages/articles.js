// One call to read: what it takes, what it answers, and beside it what to type.
"use strict";

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

function route({ verb, path, deprecated }) {
  const pieces = path
    .split(/(\{[^}]+\})/)
    .map((piece) => (piece.startsWith("{") ? h("span", { class: "slot" }, piece) : piece));
  return h(
    "p",
    { class: "route" },
    h("span", { class: "verb" }, verb),
    pieces,
    deprecated ? h("span", { class: "tag" }, "deprecated") : null,
  );
}

function parameterList(parameters) {
  if (!parameters.length) return null;
  const places = { path: "in the path", query: "in the query", header: "header", cookie: "cookie" };
  return h(
    "div",
    {},
    h("h4", {}, "Parameters"),
    h(
      "ul",
      { class: "tree" },
      parameters.map((parameter) => {
        const schema = parameter.schema ?? Object.values(parameter.content ?? {})[0]?.schema ?? {};
        const it = flat(schema);
        return h(
          "li",
          {},
          h("code", { class: "name" }, parameter.name),
          h(
            "span",
            { class: "type" },
            `${places[parameter.in] ?? parameter.in}, ${typeText(schema)}`,
          ),
          parameter.required ? h("span", { class: "needed" }, "required") : null,
          prose(parameter.description ?? it.description),
          boundsText({
            ...it,
            ...(parameter.example === undefined ? {} : { example: parameter.example }),
          }),
          folded(below(schema), 0),
        );
      }),
    ),
  );
}

function bodyView(body) {
  const { content = {}, required, description } = resolve(body);
  return h(
    "div",
    {},
    h("h4", {}, "Body", required ? h("span", { class: "needed" }, "required") : null),
    prose(description),
    Object.entries(content).map(([type, media], at) =>
      h(
        "details",
        { open: at === 0 },
        h("summary", {}, h("code", {}, type)),
        h("div", {}, schemaView(media.schema)),
      ),
    ),
  );
}

function answersView(responses) {
  const all = Object.entries(responses ?? {}).map(([status, raw]) => ({ status, ...resolve(raw) }));
  const problems = all.filter((answer) => problemKinds(answer).length);
  const others = all.filter((answer) => !problems.includes(answer));
  return h(
    "div",
    { class: "answers" },
    h("h4", {}, "Answers"),
    others.map(answerView),
    problems.length
      ? h(
          "details",
          {},
          h("summary", {}, h("span", { class: "status bad" }, statusesOf(problems)), "problems"),
          h(
            "dl",
            {},
            problems.map((answer) =>
              h(
                "div",
                {},
                h("dt", {}, answer.status),
                h(
                  "dd",
                  {},
                  problemKinds(answer).flatMap((kind, at) => [
                    at ? ", " : "",
                    h("a", { href: `#problem-${kind}` }, kind),
                  ]),
                ),
              ),
            ),
          ),
        )
      : null,
  );
}

// As 4xx and 5xx: the summary says what sort there is, the list below which.
const statusesOf = (answers) => orList(answers.map(({ status }) => `${status[0]}xx`));

function answerView({ status, description, headers = {}, content = {} }) {
  const good = /^[23]/.test(status);
  return h(
    "details",
    {},
    h(
      "summary",
      {},
      h("span", { class: `status ${good ? "good" : "bad"}` }, status),
      inlineText(description),
    ),
    h(
      "div",
      {},
      Object.keys(headers).length
        ? h(
            "ul",
            { class: "tree" },
            Object.entries(headers).map(([name, raw]) => {
              const header = resolve(raw);
              return h(
                "li",
                {},
                h("code", { class: "name" }, name),
                h("span", { class: "type" }, `header, ${typeText(header.schema ?? {})}`),
                prose(header.description),
              );
            }),
          )
        : null,
      Object.entries(content).map(([type, media]) =>
        h("div", {}, h("p", {}, h("code", {}, type)), schemaView(media.schema)),
      ),
    ),
  );
}

const inlineText = (text) => inline((text ?? "").split("\n")[0]);

// Beside the words: the call as curl, with each example of its body, and what comes back.
function beside(operation) {
  const content = Object.entries(resolve(operation.requestBody).content ?? {});
  const examples = content.flatMap(([type, media]) =>
    examplesOf(media).map(({ name, value }) => ({
      label: name ? (content.length > 1 ? `${name} (${type})` : name) : type,
      type,
      value,
    })),
  );
  const shown = codeBlock(
    curlOf(operation, examples[0]?.type, examples[0]?.value),
    `curl for ${operation.title}`,
  );
  const parts = [shown];
  if (examples.length > 1) {
    const choice = h(
      "select",
      { "aria-label": `Example of a body for ${operation.title}` },
      examples.map(({ label }, at) => h("option", { value: at }, label)),
    );
    choice.addEventListener("change", () => {
      const { type, value } = examples[Number(choice.value)];
      shown.querySelector("pre").textContent = curlOf(operation, type, value);
    });
    parts.unshift(choice);
  }
  const [status, good] =
    Object.entries(operation.responses ?? {})
      .map(([code, raw]) => [code, resolve(raw)])
      .find(([code]) => /^2/.test(code)) ?? [];
  const [type, media] = Object.entries(good?.content ?? {})[0] ?? [];
  const [{ value } = {}] = media && /json/.test(type) ? examplesOf(media) : [];
  // Of an answer that may be anything there is nothing to show.
  if (value !== undefined && value !== null) {
    parts.push(
      h("p", { class: "soft small" }, `Answer, ${status}`),
      h(
        "div",
        { class: "code" },
        h("pre", { tabindex: "0", "aria-label": `Answer ${status}` }, asText(value)),
      ),
    );
  }
  return h("div", { class: "beside" }, h("div", {}, parts));
}

function callView(operation) {
  return h(
    "article",
    {
      id: operation.id,
      "aria-labelledby": `${operation.id}-title`,
      "data-text":
        `${operation.verb} ${operation.path} ${operation.title} ${operation.description ?? ""} ${operation.group}`.toLowerCase(),
    },
    h(
      "header",
      {},
      h(
        "h3",
        { id: `${operation.id}-title` },
        h("a", { href: `#${operation.id}` }, operation.title),
      ),
      route(operation),
    ),
    h(
      "div",
      { class: "call" },
      h(
        "div",
        {},
        prose(operation.description),
        parameterList(operation.parameters),
        operation.requestBody ? bodyView(operation.requestBody) : null,
        answersView(operation.responses),
      ),
      beside(operation),
    ),
  );
}
