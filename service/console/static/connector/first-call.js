/** Whether a connector's URL has been reached by a call, and by which one last. */

import { ask, withQuery } from "../api.js";
import { age, pill } from "../components.js";
import { h, put } from "../dom.js";
import { inAll } from "../format.js";
import { statusState } from "../ladder.js";
import { watchLive } from "../live.js";
import { throttled } from "../poll.js";
import { href } from "../router.js";

/** Milliseconds between two queries: calls may change several times a second, and each query covers all calls of the connector. */
const PAUSE = 2_000;

/** One line, which changes with the first call, and with each that follows. */
export async function firstCall({ id }, signal) {
  const path = withQuery("/v2/sip/call", { connectorId: id, type: "inbound", perPage: 1 });
  const news = h("span", { role: "status" });
  const rest = h("span.row");
  const element = h("div.first-call", news, rest);
  let shown = null;
  let drawn = new AbortController();

  async function look() {
    const { data, pageInfo } = await ask("GET", path, undefined, { signal });
    const [call] = data;
    const state = call ? `${call.id} ${call.status}` : "none";
    if (state === shown) return;
    shown = state;
    drawn.abort();
    drawn = new AbortController();
    element.classList.toggle("good", Boolean(call));
    put(news, call ? `${pageInfo.total === 1 ? "First" : "Last"} call` : "No call has reached this URL yet.");
    put(rest, call ? about(call, pageInfo, AbortSignal.any([signal, drawn.signal])) : null);
  }

  await look();
  watchLive(signal, { onChanged: throttled(look, signal, PAUSE) });
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
