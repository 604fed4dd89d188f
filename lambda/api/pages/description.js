// The document as calls: each with its parameters, its examples, its problems, and a curl line.
"use strict";

const VERBS = ["get", "post", "put", "patch", "delete", "head", "options"];
const PROBLEM = "urn:lectern:problem:";

function operations() {
  return Object.entries(spec.document.paths ?? {}).flatMap(([path, item]) => {
    const shared = resolve(item);
    return VERBS.filter((verb) => shared[verb]).map((verb) => {
      const operation = shared[verb];
      const own = (operation.parameters ?? []).map(resolve);
      const inherited = (shared.parameters ?? [])
        .map(resolve)
        .filter(
          ({ name, in: place }) => !own.some((other) => other.name === name && other.in === place),
        );
      return {
        ...operation,
        verb: verb.toUpperCase(),
        path,
        parameters: [...inherited, ...own],
        id:
          operation.operationId ??
          `${verb}${path.replace(/[^A-Za-z0-9]+/g, "-").replace(/-$/, "")}`,
        title: operation.summary ?? `${verb.toUpperCase()} ${path}`,
        group: operation.tags?.[0] ?? "Calls",
      };
    });
  });
}

function groups(all) {
  const told = (spec.document.tags ?? []).map(({ name }) => name);
  const names = [...new Set([...told, ...all.map(({ group }) => group)])];
  return names
    .map((name) => ({
      name,
      description: spec.document.tags?.find((tag) => tag.name === name)?.description,
      calls: all.filter(({ group }) => group === name),
    }))
    .filter(({ calls }) => calls.length);
}

function curlAuth(operation) {
  const wanted = operation.security ?? spec.document.security ?? [];
  return wanted.length ? (CURL_AUTH[AUTH] ?? []) : [];
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

// The kinds of problem that an answer may be: of its examples, of a type of its own, or of its
// description where that is a list of kinds and nothing else. A shared schema names all there are.
function problemKinds({ content, description }) {
  const problem = content?.["application/problem+json"];
  if (!problem) return [];
  const shown = Object.values(problem.examples ?? {})
    .map((raw) => resolve(raw).value?.type)
    .concat(problem.example?.type);
  const type = refName(problem.schema) ? {} : flat(flat(problem.schema).properties?.type ?? {});
  const typed = [...shown, type.const, ...(type.enum ?? [])].filter(
    (kind) => typeof kind === "string" && kind.startsWith(PROBLEM),
  );
  const listed = (description ?? "").split(/, | or /);
  const kinds = typed.length
    ? typed.map((kind) => kind.slice(PROBLEM.length))
    : listed.every((kind) => /^[a-z]+(-[a-z]+)*$/.test(kind))
      ? listed
      : [];
  return [...new Set(kinds)];
}

// The path with its slots and the query filled: what a person could send as it stands.
function filledPath({ path, parameters }) {
  const value = (parameter) =>
    String(
      parameter.example ??
        Object.values(parameter.examples ?? {}).map(resolve)[0]?.value ??
        flat(parameter.schema ?? {}).examples?.[0] ??
        flat(parameter.schema ?? {}).example ??
        flat(parameter.schema ?? {}).enum?.[0] ??
        parameter.name.toUpperCase(),
    );
  const filled = path.replace(/\{([^}]+)\}/g, (_, name) =>
    encodeURIComponent(
      value(
        parameters.find((parameter) => parameter.name === name && parameter.in === "path") ?? {
          name,
        },
      ),
    ),
  );
  const query = parameters
    .filter((parameter) => parameter.in === "query" && parameter.required)
    .map((parameter) => `${parameter.name}=${encodeURIComponent(value(parameter))}`);
  return filled.replace(/^\//, "") + (query.length ? `?${query.join("&")}` : "");
}

function curlOf(operation, type, value) {
  const auth = curlAuth(operation);
  if (!type) return curlCall(operation.verb, filledPath(operation), { auth });
  const text = typeof value === "string" && !/json$/.test(type) ? value : bodyText(value);
  return curlCall(operation.verb, filledPath(operation), {
    auth,
    headers: { "content-type": type },
    more: [`--data-binary ${shellQuoted(text)}`],
  });
}
