/** Forms: fields with their hints and faults, and sending them without losing what was typed. */

import { h, newId, put } from "./dom.js";

/**
 * A labelled control, with whatever stands `beside` it. `control` is an input, select or textarea;
 * its `name` is the API's field, with dots where that is within another: "room.pin".
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
    faultOf(control.name, `${id}-fault`),
  );
}

/** Controls that are one field of the API together, such as checkboxes of one name. */
export function group(legend, name, children) {
  const id = newId("fault");
  return h("fieldset", { "aria-describedby": id }, h("legend", legend), children, faultOf(name, id));
}

function faultOf(name, id) {
  return h("p.fault", { id, "data-of": name });
}

export function input(name, attributes = {}) {
  return h("input", { name, type: "text", autocomplete: "off", ...attributes });
}

export function textarea(name, attributes = {}) {
  return h("textarea", { name, autocomplete: "off", spellcheck: "false", ...attributes });
}

/** A button that shows what is typed into a password field. */
export function reveal(control, what) {
  const show = h("button", { type: "button", "aria-pressed": "false", "aria-label": `Show ${what}` }, "Show");
  show.addEventListener("click", () => {
    const isShown = control.type === "password";
    control.type = isShown ? "text" : "password";
    show.setAttribute("aria-pressed", String(isShown));
  });
  return show;
}

/** options: [[value, text], …] */
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

/** One of several choices of a name, as a card. */
export function choice(name, value, label, checked) {
  const box = h("input", { type: "radio", name, value });
  box.checked = checked;
  return h("label.card", box, label);
}

/**
 * A form that calls `submit(values)` with what its named controls hold. Whatever that throws is
 * shown: at the fields it names, else above the buttons. Nothing that was typed is lost.
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
    const homeless = [];
    let first = null;
    for (const [path, sentences] of Object.entries(error.errors ?? {})) {
      const note = noteFor(element, path);
      if (!note) {
        homeless.push(...sentences);
        continue;
      }
      const control = note.parentElement.querySelector("input, select, textarea");
      control.setAttribute("aria-invalid", "true");
      note.append(...sentences.map((sentence) => h("span", worded(sentence, path, note, control))));
      first ??= control;
    }
    if (!first || homeless.length) put(fault, homeless.join(" ") || error.message);
    first?.focus();
  }

  return element;
}

/** Where a fault of `path` is shown: at the field of that name, or of what it is within. */
function noteFor(element, path) {
  const notes = [...element.querySelectorAll(".fault")];
  const steps = path.split(".");
  for (; steps.length; steps.pop()) {
    const found = notes.find((note) => note.dataset.of === steps.join("."));
    if (found && !found.closest("[hidden]")) return found;
  }
  return null;
}

/** "phoneNumbers.1 must be …" as it reads at the field: with the entry or the label in front. */
function worded(sentence, path, note, control) {
  if (!sentence.startsWith(`${path} `)) return sentence;
  const [, index] = /\.(\d+)$/.exec(path) ?? [];
  const label = note.parentElement.querySelector("label, legend").textContent;
  const entry = index !== undefined && lines(control.value)[index];
  return `${entry ? `“${entry}”` : label}${sentence.slice(path.length)}`;
}

/** The entries of a text that has one on each line. */
export function lines(text) {
  return text.split(/[\n,;]/).map((each) => each.trim()).filter(Boolean);
}

/** {name: value} of a form's named controls: text, or for a checkbox without a value true or false. */
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

/** `values` without the empty ones, for a request that creates something. */
export function filled(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));
}
