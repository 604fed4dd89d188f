// The API's own description, v1/openapi.json, as a page to read.
"use strict";

const VERBS = ["get", "post", "put", "patch", "delete", "head", "options"];
const PROBLEM = "urn:lectern:problem:";

// ---- the operations of the document ----

function operations() {
  return Object.entries(spec.document.paths ?? {}).flatMap(([path, item]) => {
    const shared = resolve(item);
    return VERBS.filter((verb) => shared[verb]).map((verb) => {
      const operation = shared[verb];
      const own = (operation.parameters ?? []).map(resolve);
      const inherited = (shared.parameters ?? []).map(resolve).filter(({ name, in: place }) => !own.some((other) => other.name === name && other.in === place));
      return {
        ...operation, verb: verb.toUpperCase(), path, parameters: [...inherited, ...own],
        id: operation.operationId ?? `${verb}${path.replace(/[^A-Za-z0-9]+/g, "-").replace(/-$/, "")}`,
        title: operation.summary ?? `${verb.toUpperCase()} ${path}`,
        group: operation.tags?.[0] ?? "Calls",
      };
    });
  });
}

function groups(all) {
  const told = (spec.document.tags ?? []).map(({ name }) => name);
  const names = [...new Set([...told, ...all.map(({ group }) => group)])];
  return names.map((name) => ({
    name, description: spec.document.tags?.find((tag) => tag.name === name)?.description, calls: all.filter(({ group }) => group === name),
  })).filter(({ calls }) => calls.length);
}

// ---- who asks ----

function schemesOf(operation) {
  const wanted = operation.security ?? spec.document.security ?? [];
  return wanted.map((one) => Object.keys(one).map((name) => ({ name, ...resolve(spec.document.components?.securitySchemes?.[name]) })));
}

// Of the ways that a call allows, the first is shown.
function curlAuth(operation) {
  const [first] = schemesOf(operation);
  return (first ?? []).flatMap((scheme) => {
    if (/aws|iam|sigv4/i.test(`${scheme.name} ${scheme["x-amazon-apigateway-authtype"] ?? ""}`)) return CURL_AUTH.iam;
    if (scheme.type === "apiKey" && scheme.in === "header" && !/^authorization$/i.test(scheme.name)) return [`-H "${scheme.name}: $${KEY_VARIABLE}"`];
    return AUTH === "api-key" ? [`-H "authorization: Bearer $${KEY_VARIABLE}"`] : CURL_AUTH.jwt;
  });
}

function authentication() {
  const schemes = Object.entries(spec.document.components?.securitySchemes ?? {});
  const open = operations().filter((operation) => operation.security?.length === 0).map(({ verb, path }) => `${verb} ${path}`);
  const ways = {
    apiKey: (scheme) => ["Send it in the ", scheme.in, " ", h("code", {}, scheme.name), "."],
    http: (scheme) => ["Send it as ", h("code", {}, `authorization: ${scheme.scheme === "basic" ? "Basic" : "Bearer"} …`), "."],
    openIdConnect: (scheme) => ["Send a token of ", h("code", {}, scheme.openIdConnectUrl ?? "the issuer"), " as a bearer token."],
    oauth2: () => ["Send an access token as a bearer token."],
  };
  const example = { "api-key": `export ${KEY_VARIABLE}=…`, jwt: `export ${TOKEN_VARIABLE}=…`, cognito: `export ${TOKEN_VARIABLE}=…` }[AUTH];
  return h("section", { id: "authentication", "aria-labelledby": "authentication-title" },
    h("h2", { id: "authentication-title" }, "Authentication"),
    schemes.length
      ? h("ul", { class: "tree" }, schemes.map(([name, raw]) => {
        const scheme = resolve(raw);
        return h("li", {}, h("span", { class: "name" }, name), h("span", { class: "type" }, (ways[scheme.type] ?? (() => [scheme.type ?? ""]))(scheme)), prose(scheme.description));
      }))
      : h("div", { class: "prose" }, h("p", {}, "Nobody has to say who they are.")),
    example ? [h("p", { class: "soft small" }, "The examples below read it from the environment:"), codeBlock(example, "export")] : null,
    open.length ? h("p", { class: "soft small" }, "Open to everyone: ", open.flatMap((route, at) => [at ? ", " : "", h("code", {}, route)]), ".") : null);
}

// ---- one call ----

function route({ verb, path, deprecated }) {
  const pieces = path.split(/(\{[^}]+\})/).map((piece) => (piece.startsWith("{") ? h("span", { class: "slot" }, piece) : piece));
  return h("p", { class: "route" }, h("span", { class: "verb" }, verb), pieces, deprecated ? h("span", { class: "tag" }, "deprecated") : null);
}

function parameterList(parameters) {
  if (!parameters.length) return null;
  const places = { path: "in the path", query: "in the query", header: "header", cookie: "cookie" };
  return h("div", {}, h("h4", {}, "Parameters"), h("ul", { class: "tree" }, parameters.map((parameter) => {
    const schema = parameter.schema ?? Object.values(parameter.content ?? {})[0]?.schema ?? {};
    const it = flat(schema);
    return h("li", {}, h("code", { class: "name" }, parameter.name),
      h("span", { class: "type" }, `${places[parameter.in] ?? parameter.in}, ${typeText(schema)}`),
      parameter.required ? h("span", { class: "needed" }, "required") : null,
      prose(parameter.description ?? it.description), boundsText({ ...it, ...(parameter.example === undefined ? {} : { example: parameter.example }) }), folded(below(schema), 0));
  })));
}

function bodyView(body) {
  const { content = {}, required, description } = resolve(body);
  return h("div", {}, h("h4", {}, "Body", required ? h("span", { class: "needed" }, "required") : null), prose(description),
    Object.entries(content).map(([type, media], at) => h("details", { open: at === 0 },
      h("summary", {}, h("code", {}, type)), h("div", {}, schemaView(media.schema)))));
}

// Examples of a media type by name; one is made up where none is written.
function examplesOf(media) {
  const named = Object.entries(media.examples ?? {}).map(([name, raw]) => {
    const example = resolve(raw);
    return { name: example.summary ?? name, value: example.value };
  });
  if (named.length) return named;
  if (media.example !== undefined) return [{ name: "", value: media.example }];
  return [{ name: "", value: exampleOf(media.schema) }];
}

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

function problemKinds(content) {
  const problem = content?.["application/problem+json"];
  if (!problem) return [];
  const shown = Object.values(problem.examples ?? {}).map((raw) => resolve(raw).value?.type).concat(problem.example?.type);
  const type = flat(flat(problem.schema).properties?.type ?? {});
  // A shared schema names every kind there is, which says nothing about this answer.
  const own = refName(problem.schema) ? [] : [type.const, ...(type.enum ?? [])];
  return [...new Set([...shown, ...own].filter((kind) => typeof kind === "string" && kind.startsWith(PROBLEM)).map((kind) => kind.slice(PROBLEM.length)))];
}

function answersView(responses) {
  const rows = Object.entries(responses ?? {}).map(([status, raw]) => {
    const response = resolve(raw);
    const good = /^[23]/.test(status);
    const kinds = problemKinds(response.content);
    const headers = Object.entries(response.headers ?? {});
    return h("details", {}, h("summary", {}, h("span", { class: `status ${good ? "good" : "bad"}` }, status), inlineText(response.description)),
      h("div", {},
        kinds.length ? h("p", { class: "kinds" }, "Problems: ", kinds.flatMap((kind, at) => [at ? ", " : "", h("a", { href: `#problem-${kind}` }, h("code", {}, kind))])) : null,
        headers.length ? h("ul", { class: "tree" }, headers.map(([name, rawHeader]) => {
          const header = resolve(rawHeader);
          return h("li", {}, h("code", { class: "name" }, name), h("span", { class: "type" }, `header, ${typeText(header.schema ?? {})}`), prose(header.description));
        })) : null,
        Object.entries(response.content ?? {}).map(([type, media]) => h("div", {}, h("p", {}, h("code", {}, type)),
          kinds.length ? null : schemaView(media.schema)))));
  });
  const list = h("div", { class: "answers" }, h("h4", {}, "Answers"), rows);
  return rows.length ? list : null;
}

const inlineText = (text) => inline((text ?? "").split("\n")[0]);

// The path with its slots and the query filled: what a person could send as it stands.
function filledPath({ path, parameters }) {
  const value = (parameter) => String(parameter.example ?? Object.values(parameter.examples ?? {}).map(resolve)[0]?.value ?? flat(parameter.schema ?? {}).examples?.[0]
    ?? flat(parameter.schema ?? {}).example ?? flat(parameter.schema ?? {}).enum?.[0] ?? parameter.name.toUpperCase());
  const filled = path.replace(/\{([^}]+)\}/g, (_, name) => encodeURIComponent(value(parameters.find((parameter) => parameter.name === name && parameter.in === "path") ?? { name })));
  const query = parameters.filter((parameter) => parameter.in === "query" && parameter.required).map((parameter) => `${parameter.name}=${encodeURIComponent(value(parameter))}`);
  return filled.replace(/^\//, "") + (query.length ? `?${query.join("&")}` : "");
}

function curlOf(operation, type, value) {
  const auth = curlAuth(operation);
  if (!type) return curlCall(operation.verb, filledPath(operation), { auth });
  const text = typeof value === "string" && !/json$/.test(type) ? value : bodyText(value);
  return curlCall(operation.verb, filledPath(operation), { auth, headers: { "content-type": type }, more: [`--data-binary ${shellQuoted(text)}`] });
}

// Beside the words: the call as curl, with each example of its body, and what comes back.
function beside(operation) {
  const content = Object.entries(resolve(operation.requestBody).content ?? {});
  const examples = content.flatMap(([type, media]) => examplesOf(media).map(({ name, value }) => ({ label: name ? (content.length > 1 ? `${name} (${type})` : name) : type, type, value })));
  const shown = codeBlock(curlOf(operation, examples[0]?.type, examples[0]?.value), `curl for ${operation.title}`);
  const parts = [shown];
  if (examples.length > 1) {
    const choice = h("select", { "aria-label": `Example of a body for ${operation.title}` }, examples.map(({ label }, at) => h("option", { value: at }, label)));
    choice.addEventListener("change", () => {
      const { type, value } = examples[Number(choice.value)];
      shown.querySelector("pre").textContent = curlOf(operation, type, value);
    });
    parts.unshift(choice);
  }
  const [status, good] = Object.entries(operation.responses ?? {}).map(([code, raw]) => [code, resolve(raw)]).find(([code]) => /^2/.test(code)) ?? [];
  const [type, media] = Object.entries(good?.content ?? {})[0] ?? [];
  // An answer nobody wrote down would be a guess; a field's own example is none.
  if (media && /json/.test(type)) {
    const [{ value }] = examplesOf(media);
    parts.push(h("div", { class: "code" }, h("pre", { tabindex: "0", "aria-label": `Answer ${status}` }, asText(value))));
  }
  return h("div", { class: "beside" }, h("div", {}, parts));
}

function callView(operation) {
  return h("article", { id: operation.id, "aria-labelledby": `${operation.id}-title`, "data-text": `${operation.verb} ${operation.path} ${operation.title} ${operation.description ?? ""} ${operation.group}`.toLowerCase() },
    h("header", {}, h("h3", { id: `${operation.id}-title` }, h("a", { href: `#${operation.id}` }, operation.title)), route(operation)),
    h("div", { class: "call" },
      h("div", {}, prose(operation.description), parameterList(operation.parameters), operation.requestBody ? bodyView(operation.requestBody) : null, answersView(operation.responses)),
      beside(operation)));
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
      for (const kind of problemKinds(resolve(raw).content)) add(kind, status, operation);
    }
  }
  // Kinds that a schema names and no answer does.
  for (const schema of Object.values(spec.document.components?.schemas ?? {})) {
    const type = flat(flat(schema).properties?.type ?? {});
    for (const kind of [type.const, ...(type.enum ?? [])]) {
      if (typeof kind === "string" && kind.startsWith(PROBLEM)) add(kind.slice(PROBLEM.length), "", null);
    }
  }
  if (!kinds.size) return null;
  const schema = Object.entries(spec.document.components?.schemas ?? {}).find(([, raw]) => {
    const type = flat(flat(raw).properties?.type ?? {});
    return [type.const, ...(type.enum ?? []), type.pattern].some((value) => typeof value === "string" && value.includes("urn:lectern:problem"));
  });
  const rows = [...kinds].sort(([, a], [, b]) => [...a.statuses].join().localeCompare([...b.statuses].join())).map(([kind, { statuses, calls }]) => h("tr", { id: `problem-${kind}` },
    h("td", {}, [...statuses].join(", ") || "–"), h("th", { scope: "row" }, h("code", {}, kind)),
    h("td", {}, calls.size === all.length ? "any call" : [...calls.values()].flatMap((operation, at) => [at ? ", " : "", h("a", { href: `#${operation.id}` }, operation.title)]))));
  return h("section", { id: "problems", "aria-labelledby": "problems-title" },
    h("h2", { id: "problems-title" }, "Problems"),
    h("div", { class: "prose" }, h("p", {}, "Every error is ", h("code", {}, "application/problem+json"), "; its ", h("code", {}, "type"), " is ", h("code", {}, `${PROBLEM}KIND`), ", and ",
      h("code", {}, "request_id"), " is what to quote.")),
    schema ? h("details", {}, h("summary", {}, "Fields of a problem"), schemaView({ $ref: `#/components/schemas/${schema[0]}` })) : null,
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Problems" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Status", "Kind", "Answered by"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows))));
}

// ---- the page ----

function show() {
  const { info = {} } = spec.document;
  const all = operations();
  const sections = groups(all);
  document.title = `${info.title ?? "API"} documentation`;
  byId("content").replaceChildren(...[
    h("h1", {}, info.title ?? "API"),
    h("p", { class: "version" }, [info.summary, info.version ? `version ${info.version}` : null].filter(Boolean).join(" · ")),
    info.description ? h("div", { class: "lead" }, prose(info.description)) : null,
    h("div", { class: "address" }, h("h4", {}, "Base address"), codeBlock(BASE.replace(/\/$/, ""), "Base address")),
    authentication(),
    ...sections.map(({ name, description, calls }) => h("section", { id: `tag-${slug(name)}`, "data-group": name, "aria-labelledby": `tag-${slug(name)}-title` },
      h("h2", { id: `tag-${slug(name)}-title` }, name), prose(description), calls.map(callView))),
    problemsView(all),
  ].filter(Boolean));
  byId("links").replaceChildren(
    h("ul", {}, h("li", {}, h("a", { href: "#authentication" }, "Authentication")), byId("problems") ? h("li", {}, h("a", { href: "#problems" }, "Problems")) : null),
    ...sections.map(({ name, calls }) => h("div", { "data-group": name }, h("h2", {}, name),
      h("ul", {}, calls.map(({ id, title }) => h("li", { "data-call": id }, h("a", { href: `#${id}` }, title)))))));
  byId("contents").hidden = false;
}

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
    group.hidden = words.length > 0 && !group.querySelector("article:not([hidden]), [data-call]:not([hidden])");
  }
  for (const id of ["authentication", "problems"]) byId(id)?.toggleAttribute("hidden", words.length > 0);
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
  const seen = new IntersectionObserver((entries) => {
    for (const { target: article, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      document.querySelectorAll("[aria-current]").forEach((link) => link.removeAttribute("aria-current"));
      document.querySelector(`[data-call="${CSS.escape(article.id)}"] a`)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  document.querySelectorAll("article").forEach((article) => seen.observe(article));
}

async function load() {
  try {
    const response = await fetch(`${BASE}v1/openapi.json`, { credentials: "omit" });
    if (!response.ok) throw new Error(`v1/openapi.json was answered with ${response.status}`);
    spec.document = await response.json();
    show();
  } catch (error) {
    byId("content").replaceChildren(h("div", { class: "problem" }, h("h2", {}, "The description cannot be shown"),
      h("p", {}, error.message), h("button", { type: "button", click: load }, "Try again")));
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
