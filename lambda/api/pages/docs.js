// The API's own description, v1/openapi.json, as a page to read.
"use strict";

// ---- who asks ----

function authentication() {
  const schemes = Object.entries(spec.document.components?.securitySchemes ?? {});
  const open = operations()
    .filter((operation) => operation.security?.length === 0)
    .map(({ verb, path }) => `${verb} ${path}`);
  const ways = {
    apiKey: (scheme) => ["Send it in the ", scheme.in, " ", h("code", {}, scheme.name), "."],
    http: (scheme) => [
      "Send it as ",
      h("code", {}, `authorization: ${scheme.scheme === "basic" ? "Basic" : "Bearer"} …`),
      ".",
    ],
    openIdConnect: (scheme) => [
      "Send a token of ",
      h("code", {}, scheme.openIdConnectUrl ?? "the issuer"),
      " as a bearer token.",
    ],
    oauth2: () => ["Send an access token as a bearer token."],
  };
  const example = {
    "api-key": `export ${KEY_VARIABLE}=…`,
    jwt: `export ${TOKEN_VARIABLE}=…`,
    cognito: `export ${TOKEN_VARIABLE}=…`,
  }[AUTH];
  return h(
    "section",
    { id: "authentication", "aria-labelledby": "authentication-title" },
    h("h2", { id: "authentication-title" }, "Authentication"),
    schemes.length
      ? h(
          "ul",
          { class: "tree" },
          schemes.map(([name, raw]) => {
            const scheme = resolve(raw);
            return h(
              "li",
              {},
              h("span", { class: "name" }, name),
              h(
                "span",
                { class: "type" },
                (ways[scheme.type] ?? (() => [scheme.type ?? ""]))(scheme),
              ),
              prose(scheme.description),
            );
          }),
        )
      : h("div", { class: "prose" }, h("p", {}, "Nobody has to say who they are.")),
    example
      ? [
          h("p", { class: "soft small" }, "The examples below read it from the environment:"),
          codeBlock(example, "export"),
        ]
      : null,
    open.length
      ? h(
          "p",
          { class: "soft small" },
          "Open to everyone: ",
          open.flatMap((route, at) => [at ? ", " : "", h("code", {}, route)]),
          ".",
        )
      : null,
  );
}

// ---- all problems ----

function problemsView(all) {
  const kinds = new Map();
  const add = (kind, status, operation) => {
    const known = kinds.get(kind) ?? { statuses: new Set(), calls: new Map() };
    if (status) known.statuses.add(status);
    if (operation) known.calls.set(operation.id, operation);
    kinds.set(kind, known);
  };
  for (const operation of all) {
    for (const [status, raw] of Object.entries(operation.responses ?? {})) {
      for (const kind of problemKinds(resolve(raw))) add(kind, status, operation);
    }
  }
  // Kinds that a schema names and no answer does.
  for (const schema of Object.values(spec.document.components?.schemas ?? {})) {
    const type = flat(flat(schema).properties?.type ?? {});
    for (const kind of [type.const, ...(type.enum ?? [])]) {
      if (typeof kind === "string" && kind.startsWith(PROBLEM))
        add(kind.slice(PROBLEM.length), "", null);
    }
  }
  if (!kinds.size) return null;
  const schema = Object.entries(spec.document.components?.schemas ?? {}).find(([, raw]) => {
    const type = flat(flat(raw).properties?.type ?? {});
    return [type.const, ...(type.enum ?? []), type.pattern].some(
      (value) => typeof value === "string" && value.includes("urn:lectern:problem"),
    );
  });
  const rows = [...kinds]
    .sort(([, a], [, b]) => [...a.statuses].join().localeCompare([...b.statuses].join()))
    .map(([kind, { statuses, calls }]) =>
      h(
        "tr",
        { id: `problem-${kind}` },
        h("td", {}, [...statuses].join(", ") || "–"),
        h("th", { scope: "row" }, h("code", {}, kind)),
        h("td", {}, answeredBy(calls, all.length)),
      ),
    );
  return h(
    "section",
    { id: "problems", "aria-labelledby": "problems-title" },
    h("h2", { id: "problems-title" }, "Problems"),
    h(
      "div",
      { class: "prose" },
      h(
        "p",
        {},
        "Every error is ",
        h("code", {}, "application/problem+json"),
        "; its ",
        h("code", {}, "type"),
        " is ",
        h("code", {}, `${PROBLEM}KIND`),
        ", and ",
        h("code", {}, "request_id"),
        " is what to quote.",
      ),
    ),
    schema
      ? h(
          "details",
          {},
          h("summary", {}, "Fields of a problem"),
          schemaView({ $ref: `#/components/schemas/${schema[0]}` }),
        )
      : null,
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": "Problems" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Status", "Kind", "Answered by"].map((name) => h("th", { scope: "col" }, name)),
          ),
        ),
        h("tbody", {}, rows),
      ),
    ),
  );
}

function answeredBy(calls, all) {
  if (calls.size > 3) return calls.size === all ? "every call" : `${calls.size} calls of ${all}`;
  return [...calls.values()].flatMap((operation, at) => [
    at ? ", " : "",
    h("a", { href: `#${operation.id}` }, operation.title),
  ]);
}

// ---- the page ----

function show() {
  const { info = {} } = spec.document;
  const all = operations();
  const sections = groups(all);
  document.title = `${info.title ?? "API"} documentation`;
  byId("content").replaceChildren(
    ...[
      h("h1", {}, info.title ?? "API"),
      h(
        "p",
        { class: "version" },
        [info.summary, info.version ? `version ${info.version}` : null].filter(Boolean).join(" · "),
      ),
      info.description ? h("div", { class: "lead" }, prose(info.description)) : null,
      h(
        "div",
        { class: "address" },
        h("h4", {}, "Base address"),
        codeBlock(BASE.replace(/\/$/, ""), "Base address"),
      ),
      authentication(),
      ...sections.map(({ name, description, calls }) =>
        h(
          "section",
          {
            id: `tag-${slug(name)}`,
            "data-group": name,
            "aria-labelledby": `tag-${slug(name)}-title`,
          },
          h("h2", { id: `tag-${slug(name)}-title` }, name),
          prose(description),
          calls.map(callView),
        ),
      ),
      problemsView(all),
    ].filter(Boolean),
  );
  byId("links").replaceChildren(
    h(
      "ul",
      {},
      h("li", {}, h("a", { href: "#authentication" }, "Authentication")),
      byId("problems") ? h("li", {}, h("a", { href: "#problems" }, "Problems")) : null,
    ),
    ...sections.map(({ name, calls }) =>
      h(
        "div",
        { "data-group": name },
        h("h2", {}, name),
        h(
          "ul",
          {},
          calls.map(({ id, verb, path, title }) =>
            h(
              "li",
              { "data-call": id },
              // Paths are shorter than titles and no two the same; they may break at their slashes.
              h("a", { href: `#${id}`, title }, h("b", {}, verb), h("span", {}, breakable(path))),
            ),
          ),
        ),
      ),
    ),
  );
  byId("contents").hidden = false;
}

const breakable = (path) => path.split(/(?=\/)/).flatMap((part) => [h("wbr"), part]);

const slug = (name) => name.toLowerCase().replace(/[^a-z0-9]+/g, "-");

function filter() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const articles = [...document.querySelectorAll("article")];
  let left = 0;
  for (const article of articles) {
    const matches = words.every((word) => article.dataset.text.includes(word));
    article.hidden = !matches;
    left += matches ? 1 : 0;
    document.querySelector(`[data-call="${CSS.escape(article.id)}"]`).hidden = !matches;
  }
  for (const group of document.querySelectorAll("[data-group]")) {
    group.hidden =
      words.length > 0 && !group.querySelector("article:not([hidden]), [data-call]:not([hidden])");
  }
  for (const id of ["authentication", "problems"])
    byId(id)?.toggleAttribute("hidden", words.length > 0);
  byId("matched").textContent = words.length ? `${left} of ${articles.length} calls` : "";
}

// A link into a page that is written after it was loaded.
function goToPlace() {
  const id = decodeURIComponent(location.hash.slice(1));
  const place = id && byId(id);
  if (!place) return;
  if (place.closest("[hidden]")) {
    byId("filter").value = "";
    filter();
  }
  place.closest("details")?.setAttribute("open", "");
  place.scrollIntoView();
}

function watchPlace() {
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { target: article, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        document
          .querySelectorAll("[aria-current]")
          .forEach((link) => link.removeAttribute("aria-current"));
        document
          .querySelector(`[data-call="${CSS.escape(article.id)}"] a`)
          ?.setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "-10% 0px -80% 0px" },
  );
  document.querySelectorAll("article").forEach((article) => seen.observe(article));
}

async function load() {
  try {
    const response = await fetch(`${BASE}v1/openapi.json`, { credentials: "omit" });
    if (!response.ok) throw new Error(`v1/openapi.json was answered with ${response.status}`);
    spec.document = await response.json();
    show();
  } catch (error) {
    byId("content").replaceChildren(
      h(
        "div",
        { class: "problem" },
        h("h2", {}, "The description cannot be shown"),
        h("p", {}, error.message),
        h("button", { type: "button", click: load }, "Try again"),
      ),
    );
    return;
  }
  filter();
  goToPlace();
  watchPlace();
}

watchThemeButton(byId("theme"));
if (meta("lectern-pages").includes("playground")) {
  byId("playground-link").href = BASE;
  byId("playground-link").hidden = false;
}
// On a phone the places would push the page away.
if (window.matchMedia("(max-width: 56rem)").matches) byId("places").open = false;
byId("filter").addEventListener("input", filter);
window.addEventListener("hashchange", goToPlace);
load();
