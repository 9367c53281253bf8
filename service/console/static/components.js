/** Components that several pages use. */

import { h, newId, on, put } from "./dom.js";
import { ago, moment, toDate } from "./format.js";

/** Build a page's heading with its action buttons. */
export function heading(title, { lead, actions = [] } = {}) {
  return h(
    "header.title",
    h("h1", { tabindex: "-1" }, title),
    actions.length > 0 && h("div.actions", actions),
    lead && h("p.lead", lead),
  );
}

export function panel(title, { actions = [], flush = false, id } = {}, ...children) {
  const label = newId("panel");
  return h(
    "section.panel",
    { "aria-labelledby": title ? label : null, id },
    title && h("header", h("h2", { id: label }, title), actions.length > 0 && h("div.actions", actions)),
    flush ? children : h("div.inside", children),
  );
}

/** Build a placeholder for an empty list: the reason, and actions that help. */
export function empty(title, text, ...actions) {
  return h("div.empty", h("h2", title), text && h("p", text), actions);
}

/**
 * Build a table from columns: [{heading, cell(row) -> child, number, ends}]. The column with the
 * heading "" holds actions. `caption` names the table for screen readers.
 */
export function table(caption, columns, rows) {
  const head = columns.map(({ heading, number, ends }) =>
    h("th", { scope: "col", class: cellClass({ number, ends }) }, heading || h("span.unseen", "Actions")),
  );
  const body = rows.map((row) => tableRow(columns, row));
  return h("table.table", h("caption.unseen", caption), h("thead", h("tr", head)), h("tbody", body));
}

/** Build a row of a table with these columns. */
export function tableRow(columns, row) {
  return h(
    "tr",
    columns.map(({ heading, cell, number, ends }) =>
      h("td", { class: cellClass({ number, ends }), "data-heading": heading }, h("div", cell(row))),
    ),
  );
}

function cellClass({ number, ends }) {
  return [number && "number", ends && "ends"].filter(Boolean).join(" ") || null;
}

/** Build a description list from [[term, child], …], without the pairs whose child is null or undefined. */
export function facts(pairs) {
  return h(
    "dl.facts",
    pairs
      .filter(([, child]) => child !== null && child !== undefined)
      .map(([term, child]) => [h("dt", term), h("dd", child)]),
  );
}

export function pill(text, state = "") {
  return h("span.pill", { class: `pill ${state}`.trim() }, text);
}

/** Build a time of day, with the full date as its tooltip. */
export function time(value) {
  if (value === null || value === undefined) return h("span.soft", "–");
  const date = toDate(value);
  return h("time", { datetime: date.toISOString(), title: date.toString() }, moment(date));
}

/** Build the age of a time, updated every second until the signal aborts. */
export function age(value, signal) {
  const date = toDate(value);
  const element = h("time", { datetime: date.toISOString(), title: moment(date) }, ago(date));
  const timer = setInterval(() => put(element, ago(date)), 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
  return element;
}

export function button(text, onclick, { kind = "", label } = {}) {
  return h("button", { type: "button", class: kind || null, onclick, "aria-label": label }, text);
}

/** Show a notice for a few seconds; an error stays longer. */
export function notify(text, { bad = false } = {}) {
  const notice = h("p.notice", { class: bad ? "notice bad" : "notice" }, text);
  document.getElementById("notices").append(notice);
  setTimeout(() => notice.remove(), bad ? 9000 : 4000);
}

/** Show that an action succeeded, and the warnings in the server's response. */
export function done(text, { warnings = [] } = {}) {
  notify(text);
  for (const sentence of warnings) notify(sentence, { bad: true });
}

/** Run an action and show its error as a notice. Returns whether it succeeded. */
export async function attempt(act) {
  try {
    await act();
    return true;
  } catch (error) {
    if (error.name === "AbortError") return false;
    notify(error.message, { bad: true });
    return false;
  }
}

export function copyButton(text, what) {
  const copy = button("Copy", copied, { kind: "small", label: `Copy ${what}` });
  async function copied() {
    try {
      await navigator.clipboard.writeText(text());
      notify(`Copied ${what}.`);
    } catch {
      notify("The browser does not let this page copy. Select the text and copy it yourself.", { bad: true });
    }
  }
  return copy;
}

/** Build a masked value that can be shown, and copied without being shown. */
export function secret(value, what, mask) {
  const code = h("code", mask(value));
  const show = button("Show", toggle, { kind: "small", label: `Show ${what}` });
  let isShown = false;
  function toggle() {
    isShown = !isShown;
    put(code, isShown ? value : mask(value));
    put(show, isShown ? "Hide" : "Show");
    show.setAttribute("aria-label", `${isShown ? "Hide" : "Show"} ${what}`);
  }
  return h("div.secret", code, copyButton(() => value, what), show);
}

/** Mask the key of a webhook URL: "https://host/v2/hooks/twilio/whk_••••••••". */
export function maskedWebhook(url) {
  return url.replace(/whk_\w+/, "whk_••••••••");
}

/** Open a dialog with a heading and the content that `build(close)` returns. Closing it returns the focus. */
export function openDialog(title, build) {
  const label = newId("dialog");
  const dialog = h("dialog", { "aria-labelledby": label });
  const close = () => dialog.close();
  dialog.append(h("div.inside", h("h2", { id: label }, title), build(close)));
  const closed = new AbortController();
  on(window, "route", close, closed.signal);
  dialog.addEventListener("close", () => {
    closed.abort();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask for confirmation of an action that cannot be undone. */
export function confirmed(title, text, verb) {
  return new Promise((resolve) => {
    let answer = false;
    const dialog = openDialog(title, (close) => [
      h("p", text),
      h(
        "div.form-end",
        button("Cancel", close),
        button(verb, () => ((answer = true), close()), { kind: "danger" }),
      ),
    ]);
    dialog.addEventListener("close", () => resolve(answer));
  });
}

/** Build buttons to the previous and the next page, or null if there is only one page. */
export function pager(pageInfo, go) {
  const { currentPage, lastPage, total, totalIsMinimum } = pageInfo;
  if (!(lastPage > 1)) return null;
  const newer = button("Newer", () => go(currentPage - 1), { kind: "small" });
  const older = button("Older", () => go(currentPage + 1), { kind: "small" });
  newer.disabled = currentPage <= 1;
  older.disabled = currentPage >= lastPage;
  return h(
    "nav.pager",
    { "aria-label": "Pages" },
    h(
      "span.soft.small",
      totalIsMinimum
        ? `Page ${currentPage}, at least ${total} in all`
        : `Page ${currentPage} of ${lastPage}, ${total} in all`,
    ),
    newer,
    older,
  );
}
