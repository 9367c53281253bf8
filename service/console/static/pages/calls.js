/** The list of calls, newest first. */

import { empty, heading, panel, pill, time } from "../components.js";
import { h, put } from "../dom.js";
import { duration, provider, toDate } from "../format.js";
import { select } from "../forms.js";
import { endText, statusState } from "../ladder.js";
import { listing } from "../listing.js";
import { href } from "../router.js";
import { testCallButton } from "../test-call.js";

export const title = "Calls";

const STATUSES = ["incoming", "ringing", "answered", "ended", "rejected", "missed", "abandoned", "failed"];

const COLUMNS = [
  { heading: "Started", cell: (call) => h("a", { href: href("calls", call.callId) }, time(call.start)) },
  { heading: "From", cell: (call) => call.from },
  { heading: "To", cell: (call) => call.to },
  { heading: "Provider", cell: (call) => provider(call.provider) },
  { heading: "Room", cell: (call) => call.roomId && h("a", { href: href("rooms", call.roomId) }, call.roomId) },
  { heading: "Duration", number: true, cell: durationOf },
  { heading: "Status", cell: (call) => pill(call.status, statusState(call.status)) },
  { heading: "Why it ended", cell: (call) => (call.endReason ? endText(call.endReason) : "") },
];

export async function show(main, params, signal) {
  const status = select("status", [["", "any status"], ...STATUSES.map((each) => [each, each])]);
  status.setAttribute("aria-label", "Status");
  const list = await listing(
    { path: "/v2/sip/call", one: "call", filters: [status], columns: COLUMNS, nothing },
    signal,
  );
  put(
    main,
    heading("Calls", { lead: "Every phone call that reached a connector or was placed through one." }),
    panel("", { flush: true }, list.element),
  );
}

/** Format the time from a call's first webhook to its end, or until now. */
export function durationOf(call) {
  return duration((call.end ? toDate(call.end) : new Date()) - toDate(call.start));
}

function nothing() {
  return empty("No call yet", "A call appears here as soon as its provider asks what to do with it.",
    h("div.row", testCallButton(undefined, { kind: "primary" }), h("a.button", { href: "/console/connectors" }, "Go to the connectors")));
}
