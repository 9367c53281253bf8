/** Build elements from a selector, attributes and children. Text becomes text nodes, so no markup is injected. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * h("button.primary#save", {onclick: save, disabled: true}, "Save", h("kbd", "S"))
 *
 * "on…" attributes add listeners. True sets an empty attribute; false, null and undefined set none.
 * Children are nodes, text, or lists of them. False, null and undefined are skipped.
 */
export function h(selector, ...rest) {
  const { tag, id, classes } = parse(selector);
  return fill(document.createElement(tag), id, classes, rest);
}

/** Build an SVG element in the same way. */
export function svg(selector, ...rest) {
  const { tag, id, classes } = parse(selector);
  return fill(document.createElementNS(SVG, tag), id, classes, rest);
}

/** Replace the children. */
export function put(parent, ...children) {
  parent.replaceChildren(...children.flat(Infinity).filter(isPresent));
  return parent;
}

/** Replace the children, and restore focus to the element with the same aria-label. */
export function renew(parent, ...children) {
  const focused = parent.contains(document.activeElement) && document.activeElement;
  const label = focused && focused.getAttribute("aria-label");
  put(parent, ...children);
  if (focused) ((label && parent.querySelector(`[aria-label="${CSS.escape(label)}"]`)) || parent).focus();
  return parent;
}

/** Add a listener that the signal removes. */
export function on(target, type, listener, signal) {
  target.addEventListener(type, listener, { signal });
}

let lastId = 0;

/** Generate an id that is unique in the document. */
export function newId(word) {
  lastId += 1;
  return `${word}-${lastId}`;
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
  element.append(...(isPlain ? rest.slice(1) : rest).flat(Infinity).filter(isPresent));
  return element;
}

function set(element, name, value) {
  if (!isPresent(value)) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "value") element.value = value;
  else element.setAttribute(name, value === true ? "" : value);
}

function isPresent(child) {
  return child !== null && child !== undefined && child !== false;
}
