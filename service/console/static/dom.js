/** Elements: a selector, attributes, children. Text is only ever text, so nothing can be injected. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * h("button.primary#save", {onclick: save, disabled: true}, "Save", h("kbd", "S"))
 *
 * "on…" attributes are listeners; true is an empty attribute; false, null and undefined are none.
 * Children are nodes, text, or lists of these; false, null and undefined are skipped.
 */
export function h(selector, ...rest) {
  const { tag, id, classes } = parse(selector);
  return fill(document.createElement(tag), id, classes, rest);
}

/** The same for SVG. */
export function svg(selector, ...rest) {
  const { tag, id, classes } = parse(selector);
  return fill(document.createElementNS(SVG, tag), id, classes, rest);
}

/** Put these children in the place of those that are there. */
export function put(parent, ...children) {
  parent.replaceChildren(...children.flat(Infinity).filter(present));
  return parent;
}

/** The same where it is done again: what had the focus has it still, if it is there by its label. */
export function renew(parent, ...children) {
  const held = parent.contains(document.activeElement) && document.activeElement;
  const label = held && held.getAttribute("aria-label");
  put(parent, ...children);
  if (held) ((label && parent.querySelector(`[aria-label="${CSS.escape(label)}"]`)) || parent).focus();
  return parent;
}

/** Listen until the signal says that the page is left. */
export function on(target, type, listener, signal) {
  target.addEventListener(type, listener, { signal });
}

let numbered = 0;

/** An id that nothing else on the page has. */
export function newId(word) {
  numbered += 1;
  return `${word}-${numbered}`;
}

function parse(selector) {
  const [, tag, rest] = /^([\w-]*)(.*)$/.exec(selector);
  const classes = [];
  let id = null;
  for (const [, kind, name] of rest.matchAll(/([.#])([\w-]+)/g)) {
    if (kind === "#") id = name;
    else classes.push(name);
  }
  return { tag: tag || "div", id, classes };
}

function fill(element, id, classes, rest) {
  if (id) element.id = id;
  if (classes.length) element.setAttribute("class", classes.join(" "));
  const [first] = rest;
  const isPlain = first && Object.getPrototypeOf(first) === Object.prototype;
  if (isPlain) {
    for (const [name, value] of Object.entries(first)) set(element, name, value);
  }
  element.append(...(isPlain ? rest.slice(1) : rest).flat(Infinity).filter(present));
  return element;
}

function set(element, name, value) {
  if (!present(value)) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "value") element.value = value;
  else element.setAttribute(name, value === true ? "" : value);
}

function present(child) {
  return child !== null && child !== undefined && child !== false;
}
