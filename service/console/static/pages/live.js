/** The calls in progress, with their levels and actions. */

import { ask } from "../api.js";
import { empty, heading, panel, pill, table } from "../components.js";
import { h, put } from "../dom.js";
import { counted } from "../format.js";
import { subscribeToLive } from "../live.js";
import { COLUMNS, liveRow } from "../live-row.js";
import { throttled } from "../poll.js";
import { testCallButton } from "../test-call.js";

export const title = "Live";

/** Minimum milliseconds between requests for the list. */
const READ_PAUSE = 1_000;

const STATES = {
  connecting: ["connecting …", ""],
  open: ["live", "good"],
  away: ["server unreachable, reconnecting …", "bad"],
  full: ["too many console pages are open, close one", "warn"],
};

export async function show(main, params, signal) {
  const status = h("span", { role: "status" });
  const count = h("span");
  const list = table("Calls in progress", COLUMNS, []);
  list.classList.add("calls-live");
  const body = list.tBodies[0];
  const none = nothing();
  const rows = new Map();

  // Milliseconds by which the server's clock is ahead of this one.
  let ahead = 0;

  function arrange(calls, total) {
    const present = new Set(calls.map(({ id }) => id));
    for (const [id, row] of rows) {
      if (present.has(id)) continue;
      if (row.element.contains(document.activeElement)) main.querySelector("h1").focus();
      row.element.remove();
      rows.delete(id);
    }
    // Existing rows are not moved, so that focus and selection in them are kept.
    let next = body.firstElementChild;
    for (const call of calls) {
      let row = rows.get(call.id);
      if (!row) rows.set(call.id, (row = liveRow(call)));
      else row.update(call);
      if (row.element === next) next = next.nextElementSibling;
      else body.insertBefore(row.element, next);
    }
    list.hidden = !calls.length;
    none.hidden = Boolean(calls.length);
    put(count, total > calls.length ? `The newest ${calls.length} of ${total} calls.` : `${counted(total, "call")} in progress.`);
    tick();
  }

  function tick() {
    for (const row of rows.values()) row.tick(Date.now() + ahead);
  }

  const read = throttled(async () => {
    const { data, total } = await ask("GET", "/console/api/live/calls", undefined, { signal });
    if (!signal.aborted) arrange(data, total);
  }, signal, READ_PAUSE);

  const { data, total } = await ask("GET", "/console/api/live/calls", undefined, { signal });
  put(main, heading("Live", { lead: count, actions: [status] }), panel("", { flush: true }, list, none));
  arrange(data, total);
  const timer = setInterval(tick, 1_000);
  signal.addEventListener("abort", () => clearInterval(timer));
  subscribeToLive(signal, {
    onLevels({ at, calls }) {
      ahead = at - Date.now();
      for (const [id, row] of rows) row.measure(calls[id] ?? null);
    },
    onChanged: read,
    onState(state) {
      put(status, pill(...STATES[state]));
      if (state !== "open") for (const row of rows.values()) row.measure(null);
    },
  });
}

function nothing() {
  return empty(
    "No call in progress",
    "Create a connector, then call its number or place a test call. The call appears here immediately.",
    h("div.row", testCallButton(undefined, { kind: "primary" }), h("a.button", { href: "/console/connectors" }, "Go to the connectors")),
  );
}
