/** Forms: fields with hints and errors, and submission that keeps the input when it fails. */

import { h, newId, put } from "./dom.js";

/**
 * Build a labelled control with optional elements `beside` it. `control` is an input, select or
 * textarea whose `name` is the API's field; a nested field has dots: "room.pin".
 */
export function field(label, control, { hint, beside } = {}) {
  const id = (control.id ||= newId("field"));
  const hintId = hint ? `${id}-hint` : null;
  control.setAttribute("aria-describedby", [hintId, `${id}-fault`].filter(Boolean).join(" "));
  return h(
    "div.field",
    h("label", { for: id }, label),
    beside ? h("div.beside", control, beside) : control,
    hint && h("p.hint", { id: hintId }, hint),
    faultElement(control.name, `${id}-fault`),
  );
}

/** Build a group of controls that form one field of the API, such as checkboxes with one name. */
export function group(legend, name, children) {
  const id = newId("fault");
  return h("fieldset", { "aria-describedby": id }, h("legend", legend), children, faultElement(name, id));
}

function faultElement(name, id) {
  return h("p.fault", { id, "data-of": name });
}

export function input(name, attributes = {}) {
  return h("input", { name, type: "text", autocomplete: "off", ...attributes });
}

export function textarea(name, attributes = {}) {
  return h("textarea", { name, autocomplete: "off", spellcheck: "false", ...attributes });
}

/** Build a button that shows or hides the text of a password field. */
export function reveal(control, what) {
  const show = h("button", { type: "button", "aria-pressed": "false", "aria-label": `Show ${what}` }, "Show");
  show.addEventListener("click", () => {
    const isShown = control.type === "password";
    control.type = isShown ? "text" : "password";
    show.setAttribute("aria-pressed", String(isShown));
  });
  return show;
}

/** Build a select; options are [[value, text], …]. */
export function select(name, options, chosen = "") {
  const element = h(
    "select",
    { name },
    options.map(([value, text]) => h("option", { value }, text)),
  );
  element.value = chosen;
  return element;
}

export function checkbox(name, label, { checked = false, hint, value } = {}) {
  const id = newId("check");
  const box = h("input", { type: "checkbox", id, name, value });
  box.checked = checked;
  return h("div.check", box, h("div", h("label", { for: id }, label), hint && h("p.soft.small", hint)));
}

/** Build a radio button as a card. */
export function choice(name, value, label, checked) {
  const box = h("input", { type: "radio", name, value });
  box.checked = checked;
  return h("label.card", box, label);
}

/**
 * Build a form that calls `submit(values)` with the values of its named controls. An error that it
 * throws is shown at the fields it names, or else above the buttons. The input is kept.
 */
export function form(children, { submit, verb, cancel, busyVerb = `${verb} …` }) {
  const fault = h("p.form-fault", { role: "alert" });
  const send = h("button.primary", { type: "submit" }, verb);
  const element = h(
    "form",
    { novalidate: true, onsubmit: submitted },
    children,
    fault,
    h("div.form-end", cancel && h("button", { type: "button", onclick: cancel }, "Cancel"), send),
  );

  async function submitted(event) {
    event.preventDefault();
    clear();
    send.disabled = true;
    put(send, busyVerb);
    try {
      await submit(valuesOf(element));
    } catch (error) {
      show(error);
    } finally {
      send.disabled = false;
      put(send, verb);
    }
  }

  function clear() {
    put(fault);
    for (const control of element.elements) control.removeAttribute("aria-invalid");
    for (const note of element.querySelectorAll(".fault")) put(note);
  }

  function show(error) {
    const unplaced = [];
    let first = null;
    for (const [path, sentences] of Object.entries(error.errors ?? {})) {
      const note = noteFor(element, path);
      if (!note) {
        unplaced.push(...sentences);
        continue;
      }
      const control = note.parentElement.querySelector("input, select, textarea");
      control.setAttribute("aria-invalid", "true");
      note.append(...sentences.map((sentence) => h("span", describe(sentence, path, note, control))));
      first ??= control;
    }
    if (!first || unplaced.length) put(fault, unplaced.join(" ") || error.message);
    first?.focus();
  }

  return element;
}

/** Find the element that shows errors of `path`: that of the field, or of its nearest parent field. */
function noteFor(element, path) {
  const notes = [...element.querySelectorAll(".fault")];
  const steps = path.split(".");
  for (; steps.length; steps.pop()) {
    const found = notes.find((note) => note.dataset.of === steps.join("."));
    if (found && !found.closest("[hidden]")) return found;
  }
  return null;
}

/** Replace the path that opens a sentence, as in "phoneNumbers.1 must be …", by the entry or the label. */
function describe(sentence, path, note, control) {
  if (!sentence.startsWith(`${path} `)) return sentence;
  const [, index] = /\.(\d+)$/.exec(path) ?? [];
  const label = note.parentElement.querySelector("label, legend").textContent;
  const entry = index !== undefined && lines(control.value)[index];
  return `${entry ? `“${entry}”` : label}${sentence.slice(path.length)}`;
}

/** Split a text with one entry on each line. */
export function lines(text) {
  return text.split(/[\n,;]/).map((each) => each.trim()).filter(Boolean);
}

/** Collect {name: value} of a form's named controls. A checkbox without a value gives true or false. */
function valuesOf(element) {
  const values = {};
  for (const control of element.elements) {
    if (!control.name || control.disabled) continue;
    if (control.type === "checkbox" && !control.hasAttribute("value")) {
      values[control.name] = control.checked;
    } else if (control.type === "checkbox") {
      values[control.name] ??= [];
      if (control.checked) values[control.name].push(control.value);
    } else if (control.type === "radio") {
      if (control.checked) values[control.name] = control.value;
    } else {
      values[control.name] = control.value.trim();
    }
  }
  return values;
}

/** Leave out the empty values, for a request that creates an item. */
export function filled(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));
}
