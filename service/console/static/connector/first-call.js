/** A line that shows whether calls have reached a connector's URL, and the latest of them. */

import { ask, withQuery } from "../api.js";
import { age, pill } from "../components.js";
import { h, put } from "../dom.js";
import { inAll } from "../format.js";
import { statusState } from "../ladder.js";
import { subscribeToLive } from "../live.js";
import { throttled } from "../poll.js";
import { href } from "../router.js";

/** Milliseconds between queries. Calls change several times a second, and a query covers all calls of the connector. */
const PAUSE = 2_000;

/** Build the line, updated with each call. */
export async function firstCall({ id }, signal) {
  const path = withQuery("/v2/sip/call", { connectorId: id, type: "inbound", perPage: 1 });
  const status = h("span", { role: "status" });
  const details = h("span.row");
  const element = h("div.first-call", status, details);
  let shown = null;
  let drawn = new AbortController();

  async function refresh() {
    const { data, pageInfo } = await ask("GET", path, undefined, { signal });
    const [call] = data;
    const state = call ? `${call.id} ${call.status}` : "none";
    if (state === shown) return;
    shown = state;
    drawn.abort();
    drawn = new AbortController();
    element.classList.toggle("good", Boolean(call));
    put(status, call ? `${pageInfo.total === 1 ? "First" : "Last"} call` : "No call has reached this URL yet.");
    put(details, call ? about(call, pageInfo, AbortSignal.any([signal, drawn.signal])) : null);
  }

  await refresh();
  subscribeToLive(signal, { onChanged: throttled(refresh, signal, PAUSE) });
  return element;
}

function about(call, pageInfo, signal) {
  return [
    age(call.start, signal),
    pill(call.status, statusState(call.status)),
    h("a", { href: href("calls", call.id) }, "See the call"),
    pageInfo.total > 1 && h("span.soft.small", `${inAll(pageInfo, "call")} in all`),
  ];
}
