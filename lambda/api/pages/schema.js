// JSON Schema as a person reads it: a type in words, the bounds, nested fields, and an example.
"use strict";

const spec = { document: {} };
const DEEPEST = 12;

// A local reference resolved; what stands beside it, as OpenAPI 3.1 allows, wins over the target.
function resolve(node) {
  let found = node;
  for (
    let depth = 0;
    found && typeof found === "object" && typeof found.$ref === "string" && depth < DEEPEST;
    depth += 1
  ) {
    const { $ref, ...beside } = found;
    found = { ...(target($ref) ?? {}), ...beside };
  }
  return found ?? {};
}

function target(reference) {
  if (!reference.startsWith("#/")) return { description: `See ${reference}.` };
  return reference
    .slice(2)
    .split("/")
    .map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce(
      (node, name) => (node && typeof node === "object" ? node[name] : undefined),
      spec.document,
    );
}

const refName = (node) => (typeof node?.$ref === "string" ? node.$ref.split("/").at(-1) : "");

// The schema without `$ref` and `allOf` at its top: both read as one set of fields.
function flat(node, depth = 0) {
  const schema = resolve(node === true || node === undefined ? {} : node);
  if (!Array.isArray(schema.allOf) || depth > DEEPEST) return schema;
  const { allOf, ...own } = schema;
  return allOf
    .map((part) => flat(part, depth + 1))
    .concat(own)
    .reduce(
      (all, part) => ({
        ...all,
        ...part,
        ...(all.properties || part.properties
          ? { properties: { ...all.properties, ...part.properties } }
          : {}),
        ...(all.required || part.required
          ? { required: [...new Set([...(all.required ?? []), ...(part.required ?? [])])] }
          : {}),
      }),
      {},
    );
}

const alternatives = (schema) => schema.oneOf ?? schema.anyOf ?? null;
const isNull = (node) => {
  const schema = flat(node);
  return schema.type === "null" || schema.const === null;
};
const kindsOf = (schema) => [schema.type ?? []].flat();
const isObject = (schema) => kindsOf(schema).includes("object") || Boolean(schema.properties);
const isArray = (schema) =>
  kindsOf(schema).includes("array") || Boolean(schema.items ?? schema.prefixItems);

const FORMATS = {
  "date-time": "a time, ISO 8601",
  date: "a date",
  uri: "a URL",
  uuid: "a UUID",
  binary: "bytes",
};

function orList(words) {
  const all = [...new Set(words)];
  return all.length < 2 ? all.join("") : `${all.slice(0, -1).join(", ")} or ${all.at(-1)}`;
}

function typeText(node, depth = 0) {
  if (node === false) return "nothing";
  const schema = flat(node);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum)
    return schema.enum.length <= 8
      ? orList(schema.enum.map((value) => JSON.stringify(value)))
      : `one of ${schema.enum.length} values`;
  const choices = alternatives(schema);
  if (choices && depth < 3) {
    const words = choices.map((choice) => typeText(choice, depth + 1));
    return words.join("").length > 90
      ? `one of ${words.length} forms`
      : orList([
          ...words.filter((word) => word !== "null"),
          ...words.filter((word) => word === "null"),
        ]);
  }
  const words = kindsOf(schema)
    .filter((kind) => kind !== "null")
    .map((kind) => {
      if (kind === "array") {
        if (schema.prefixItems)
          return `array of ${schema.prefixItems.map((item) => typeText(item, depth + 1)).join(", then ")}`;
        const item = schema.items && depth < 4 ? typeText(schema.items, depth + 1) : "anything";
        if (item.includes(" or ")) return `array of (${item})`;
        return item === "anything"
          ? "array"
          : `array of ${item.replace(/^(string|integer|number|boolean|object)$/, "$1s").replace(/^array /, "arrays ")}`;
      }
      return kind === "string" && schema.format
        ? `string, ${FORMATS[schema.format] ?? schema.format}`
        : kind;
    });
  if (!words.length && isObject(schema)) words.push("object");
  if (!words.length && isArray(schema)) words.push("array");
  if (kindsOf(schema).includes("null") || schema.nullable) words.push("null");
  return orList(words) || "anything";
}

function boundsText(schema) {
  const say = [];
  const between = (least, most, unit) => {
    const both = `${least} to ${most}`;
    // Descriptions of these schemas often say it already.
    if (least !== undefined && most !== undefined) {
      if (!schema.description?.includes(both)) say.push(both + unit);
    } else if (least !== undefined) say.push(`at least ${least}${unit}`);
    else if (most !== undefined) say.push(`at most ${most}${unit}`);
  };
  between(schema.minimum, schema.maximum, "");
  if (schema.exclusiveMinimum !== undefined) say.push(`above ${schema.exclusiveMinimum}`);
  if (schema.exclusiveMaximum !== undefined) say.push(`below ${schema.exclusiveMaximum}`);
  between(schema.minLength, schema.maxLength, " characters");
  between(schema.minItems, schema.maxItems, " items");
  between(schema.minProperties, schema.maxProperties, " fields");
  if (schema.multipleOf !== undefined) say.push(`a multiple of ${schema.multipleOf}`);
  if (schema.uniqueItems) say.push("no two the same");
  const parts = [say.join(", ")].filter(Boolean);
  if (schema.pattern) parts.push(h("span", {}, "matches ", h("code", {}, schema.pattern)));
  if (schema.default !== undefined)
    parts.push(h("span", {}, "default ", h("code", {}, JSON.stringify(schema.default))));
  const shown = [schema.examples ?? schema.example ?? []].flat()[0];
  if (shown !== undefined && typeof shown !== "object")
    parts.push(h("span", {}, "as ", h("code", {}, JSON.stringify(shown))));
  if (!parts.length) return null;
  return h(
    "p",
    { class: "bounds" },
    parts.flatMap((part, at) => (at ? ["; ", part] : [part])),
  );
}

// What stands below a schema: its fields, its items' fields, or its forms. `seen` holds the names of
// the references on the way, so that a schema which refers to itself ends.
function below(node, seen = []) {
  const name = refName(node);
  if (name && seen.includes(name)) return h("p", { class: "bounds" }, `As ${name} above.`);
  const path = name ? [...seen, name] : seen;
  const schema = flat(node);
  const parts = [];
  if (schema.enum && schema.enum.length > 8) {
    parts.push(
      h(
        "p",
        { class: "bounds" },
        schema.enum.flatMap((value, at) => [at ? ", " : "", h("code", {}, JSON.stringify(value))]),
      ),
    );
  }
  const choices = (alternatives(schema) ?? []).filter((choice) => !isNull(choice));
  const rich = choices.map((choice) => ({ choice, under: below(choice, path) }));
  if (rich.some(({ under, choice }) => under || flat(choice).description)) {
    parts.push(
      h(
        "div",
        { class: "alternatives" },
        choices.length > 1
          ? h("p", { class: "bounds" }, schema.oneOf ? "Exactly one of" : "One of")
          : null,
        h(
          "ul",
          { class: "tree" },
          rich.map(({ choice, under }) => {
            const it = flat(choice);
            const label = it.title ?? (refName(choice) || null);
            return h(
              "li",
              {},
              label ? h("span", { class: "name" }, label) : null,
              h("span", { class: "type" }, typeText(choice)),
              prose(it.description),
              boundsText(it),
              folded(under, path.length),
            );
          }),
        ),
      ),
    );
  }
  if (isObject(schema)) {
    const fields = Object.entries(schema.properties ?? {}).map(([field, value]) =>
      fieldItem(field, value, (schema.required ?? []).includes(field), path),
    );
    const extra = schema.additionalProperties;
    const patterns = Object.entries(schema.patternProperties ?? {}).map(([pattern, value]) =>
      fieldItem(`/${pattern}/`, value, false, path),
    );
    if (extra && typeof extra === "object" && Object.keys(extra).length)
      patterns.push(fieldItem("any other name", extra, false, path, true));
    if (fields.length || patterns.length) parts.push(h("ul", { class: "tree" }, fields, patterns));
  }
  for (const item of [schema.items, ...(schema.prefixItems ?? [])]) {
    const under = item && typeof item === "object" ? below(item, path) : null;
    if (under) parts.push(under);
  }
  if (!parts.length) return null;
  return parts.length === 1 ? parts[0] : h("div", {}, parts);
}

function fieldItem(name, node, required, seen, words = false) {
  const schema = flat(node);
  return h(
    "li",
    {},
    h(words ? "span" : "code", { class: "name" }, name),
    h("span", { class: "type" }, typeText(node)),
    required ? h("span", { class: "needed" }, "required") : null,
    schema.deprecated ? h("span", { class: "needed" }, "deprecated") : null,
    prose(schema.description),
    boundsText(schema),
    folded(below(node, seen), seen.length),
  );
}

// Large parts are folded, so that a request is seen as a whole first.
function folded(under, depth) {
  if (!under) return null;
  const count = under.querySelectorAll("li").length;
  if (count <= 4 && depth < 3) return under;
  return h("details", {}, h("summary", {}, count ? `${count} fields and forms` : "More"), under);
}

function schemaView(node) {
  const schema = flat(node);
  const name = schema.title ?? refName(node);
  return h(
    "div",
    {},
    h(
      "p",
      {},
      name ? h("strong", {}, name, " ") : null,
      h("span", { class: "type" }, typeText(node)),
    ),
    prose(schema.description),
    boundsText(schema),
    below(node),
  );
}

// An example where nobody has written one.
function exampleOf(node, depth = 0) {
  const schema = flat(node);
  if (Array.isArray(schema.examples) && schema.examples.length) return schema.examples[0];
  for (const name of ["example", "default", "const"])
    if (schema[name] !== undefined) return schema[name];
  if (schema.enum) return schema.enum[0];
  const choices = (alternatives(schema) ?? []).filter((choice) => !isNull(choice));
  if (choices.length && depth < DEEPEST) return exampleOf(choices[0], depth + 1);
  if (isObject(schema)) {
    if (depth > 4) return {};
    const wanted = Object.entries(schema.properties ?? {}).filter(
      ([name]) => !schema.required || schema.required.includes(name) || depth === 0,
    );
    return Object.fromEntries(wanted.map(([name, value]) => [name, exampleOf(value, depth + 1)]));
  }
  if (isArray(schema))
    return depth > 4 || !schema.items ? [] : [exampleOf(schema.items, depth + 1)];
  return (
    { string: "text", integer: schema.minimum ?? 1, number: schema.minimum ?? 0.5, boolean: true }[
      kindsOf(schema)[0]
    ] ?? null
  );
}
