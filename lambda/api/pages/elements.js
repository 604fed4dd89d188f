// Elements without markup in strings: whatever a person, a model or a document says stays text.
"use strict";

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

function byId(id) {
  return document.getElementById(id);
}

// A link out of a document: only where a browser would fetch, never `javascript:`.
function safeLink(address, text, attributes) {
  const usable = /^(https?:\/\/|#)/i.test(address);
  return usable
    ? h("a", { href: address, rel: "noreferrer", ...attributes }, text)
    : h("span", {}, text);
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No permission, or no secure context: the older road through a selection.
    const area = h("textarea", { class: "unseen", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

// A button that copies what `read` gives at that moment, and says for two seconds that it did.
function copyButton(what, read) {
  const button = h(
    "button",
    { type: "button", class: "quiet copy", "aria-label": `Copy ${what}` },
    "Copy",
  );
  const said = h("span", { class: "unseen", role: "status" });
  button.addEventListener("click", async () => {
    const done = await copyText(read());
    button.firstChild.textContent = done ? "Copied" : "Not allowed";
    said.textContent = done ? `${what} copied` : "The browser does not allow copying";
    setTimeout(() => {
      button.firstChild.textContent = "Copy";
      said.textContent = "";
    }, 2000);
  });
  button.append(said);
  return button;
}

function codeBlock(text, what) {
  const pre = h("pre", { tabindex: "0", "aria-label": what }, text);
  return h(
    "div",
    { class: "code copies" },
    pre,
    copyButton(what, () => pre.textContent),
  );
}

function meta(name) {
  return document.querySelector(`meta[name="${name}"]`)?.content ?? "";
}
