// The little Markdown that descriptions are written in, as elements: paragraphs, lists, code, links.
"use strict";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\(([^)\s]+)\)/g;

function inline(text) {
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, code, strong, soft, link, address] = match;
    parts.push(text.slice(at, match.index));
    if (code) parts.push(h("code", {}, code));
    else if (strong) parts.push(h("strong", {}, strong));
    else if (soft) parts.push(h("em", {}, soft));
    else parts.push(safeLink(address, link));
    at = match.index + whole.length;
  }
  return [...parts, text.slice(at)].filter((part) => part !== "");
}

const cellsOf = (row) =>
  row
    .trim()
    .replace(/^\||\|$/g, "")
    .split("|")
    .map((cell) => cell.trim());

function block(text) {
  const lines = text.split("\n");
  if (lines.every((line) => /^\s*[-*] /.test(line) || /^\s{2,}\S/.test(line)))
    return listOf("ul", lines, /^\s*[-*] /);
  if (lines.every((line) => /^\s*\d+\. /.test(line) || /^\s{2,}\S/.test(line)))
    return listOf("ol", lines, /^\s*\d+\. /);
  if (/^#+ /.test(text)) return h("h4", {}, inline(text.replace(/^#+ /, "")));
  if (lines.length > 2 && lines.every((line) => line.trim().startsWith("|"))) {
    return h(
      "div",
      { class: "scroll" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            cellsOf(lines[0]).map((cell) => h("th", { scope: "col" }, inline(cell))),
          ),
        ),
        h(
          "tbody",
          {},
          lines.slice(2).map((line) =>
            h(
              "tr",
              {},
              cellsOf(line).map((cell) => h("td", {}, inline(cell))),
            ),
          ),
        ),
      ),
    );
  }
  return h("p", {}, inline(text.replaceAll("\n", " ")));
}

function listOf(tag, lines, mark) {
  const items = [];
  for (const line of lines) {
    if (mark.test(line)) items.push(line.replace(mark, ""));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return h(
    tag,
    {},
    items.map((item) => h("li", {}, inline(item))),
  );
}

function prose(text) {
  if (!text) return null;
  const parts = text.replaceAll("\r", "").split(/^```.*$/m);
  // Every second part stood between fences.
  const blocks = parts.flatMap((part, at) =>
    at % 2
      ? [h("div", { class: "code" }, h("pre", { tabindex: "0" }, part.replace(/^\n|\n$/g, "")))]
      : part
          .split(/\n\s*\n/)
          .map((piece) => piece.replace(/^\n+|\n+$/g, ""))
          .filter((piece) => piece.trim())
          .map(block),
  );
  return h("div", { class: "prose" }, blocks);
}
