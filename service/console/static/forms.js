/** Forms: fields with their hints and faults, and sending them without losing what was typed. */

import { h, newId, put } from "./dom.js";

/** A labelled control. `control` is an input, select or textarea; its `name` is the API's field. */
export function field(label, control, { hint } = {}) {
  const id = (control.id ||= newId("field"));
  const hintId = hint ? `${id}-hint` : null;
  const fault = h("p.fault", { id: `${id}-fault`, hidden: true });
  if (hintId) control.setAttribute("aria-describedby", hintId);
  return h(
    "div.field",
    h("label", { for: id }, label),
    control,
    hint && h("p.hint", { id: hintId }, hint),
    fault,
  );
}

export function input(name, attributes = {}) {
  return h("input", { name, type: "text", autocomplete: "off", ...attributes });
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
    for (const note of element.querySelectorAll(".fault")) note.hidden = true;
  }

  function show(error) {
    let first = null;
    for (const [name, sentences] of Object.entries(error.errors ?? {})) {
      const control = element.elements.namedItem(name);
      const note = control instanceof Element && document.getElementById(`${control.id}-fault`);
      if (!note) continue;
      put(note, sentences.join(" "));
      note.hidden = false;
      control.setAttribute("aria-invalid", "true");
      control.setAttribute("aria-describedby", note.id);
      first ??= control;
    }
    if (first) first.focus();
    else put(fault, error.message);
  }

  return element;
}

/** {name: value} of a form's named controls: text, or for a checkbox without a value true or false. */
export function valuesOf(element) {
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
