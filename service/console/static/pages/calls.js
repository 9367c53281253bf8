/** Calls: all that there were, newest first, with a search. */

import { ask, withQuery } from "../api.js";
import { h, newId, put } from "../dom.js";
import { duration, provider, toDate } from "../format.js";
import { input, select } from "../forms.js";
import { end, statusState } from "../ladder.js";
import { empty, heading, pager, panel, pill, table, time } from "../parts.js";
import { go, href } from "../router.js";
import { trialButton } from "../trial.js";

export const title = "Calls";

const STATUSES = ["incoming", "ringing", "answered", "ended", "rejected", "missed", "abandoned", "failed"];

export async function show(main, params, signal) {
  const query = Object.fromEntries(new URLSearchParams(location.search));
  const { data, pageInfo } = await ask(
    "GET",
    withQuery("/v2/sip/call", { perPage: 25, ...query }),
    undefined,
    { signal },
  );
  put(
    main,
    heading("Calls", { lead: "Every phone call that reached a connector, or was placed through one." }),
    filters(query),
    panel(
      "",
      { flush: true },
      data.length ? list(data) : nothing(query),
      pager(pageInfo, (page) => go(withQuery("/console/calls", { ...query, page }))),
    ),
  );
}

function filters(query) {
  const search = input("search", { type: "search", id: newId("search"), placeholder: "A number", value: query.search ?? "" });
  const options = [["", "any status"], ...STATUSES.map((status) => [status, status])];
  const status = select("status", options, query.status ?? "");
  status.id = newId("status");
  status.addEventListener("change", apply);
  function apply(event) {
    event.preventDefault();
    go(withQuery("/console/calls", { search: search.value.trim(), status: status.value, roomId: query.roomId }));
  }
  return h(
    "form.filters",
    { role: "search", onsubmit: apply },
    h("label.unseen", { for: search.id }, "Number"),
    search,
    h("label.unseen", { for: status.id }, "Status"),
    status,
    h("button", { type: "submit" }, "Search"),
  );
}

function list(calls) {
  return table(
    "Calls",
    [
      { heading: "Began", cell: (call) => h("a", { href: href("calls", call.callId) }, time(call.start)) },
      { heading: "From", cell: (call) => call.from },
      { heading: "To", cell: (call) => call.to },
      { heading: "Provider", cell: (call) => provider(call.provider) },
      { heading: "Room", cell: (call) => call.roomId && h("a", { href: href("rooms", call.roomId) }, call.roomId) },
      { heading: "Lasted", number: true, cell: lasted },
      { heading: "Status", cell: (call) => pill(call.status, statusState(call.status)) },
      { heading: "Why it ended", cell: (call) => (call.endReason ? end(call.endReason) : "") },
    ],
    calls,
  );
}

/** From its first webhook to its end, or until now. */
export function lasted(call) {
  return duration((call.end ? toDate(call.end) : new Date()) - toDate(call.start));
}

function nothing(query) {
  if (query.search || query.status || query.roomId) {
    return empty("No such call", "No call matches what you are looking for.",
      h("a.button", { href: "/console/calls" }, "Show all calls"));
  }
  return empty("No call yet", "Calls show up here as soon as a provider asks what to do with one.",
    h("div.row", trialButton(undefined, { kind: "primary" }), h("a.button", { href: "/console/connectors" }, "Go to the connectors")));
}
