/** The progress of a test call: its ladder as the phone sees it, and its report at the end. */

import { ask } from "../api.js";
import { attempt, button, facts, pill } from "../components.js";
import { h, put } from "../dom.js";
import { milliseconds } from "../format.js";
import { href } from "../router.js";

const POLL_INTERVAL = 500;

const STEPS = {
  webhook: "Called the webhook",
  markup: "Received markup",
  connecting: "Connecting to the media socket",
  connected: "The media socket is open",
  start: "The stream started",
  "first-audio": "Heard the first audio",
  closed: "The media socket was closed",
  refused: "The media socket was refused",
  redirect: "Calling the webhook again",
  gather: "Asked to enter digits",
  digit: "Pressed key",
  mark: "Played audio up to a mark",
  clear: "Discarded audio not played yet",
  cut: "The connection was cut",
  dial: "Dialling another number",
  dialled: "The dialled call ended",
  say: "Heard speech:",
  play: "Heard a sound",
  status: "Reported the stream's status",
  notice: "Reported the end of the call",
  problem: "A provider would reject this:",
  end: "The call ended",
};

const ENDS = {
  "caller-hung-up": "The caller hung up.",
  "server-hung-up": "The server hung up.",
  rejected: "The call was rejected.",
  busy: "The caller heard busy.",
  failed: "The call failed.",
};

/** Show a test call, and poll it until it ends or the signal aborts. */
export function progress(call, { signal, close, again }) {
  const path = `/console/api/trials/${encodeURIComponent(call.id)}`;
  const state = h("span");
  const seconds = h("span.soft");
  const links = h("span.row");
  const bar = h("progress", { max: call.planned, value: 0, "aria-label": "Seconds of the call" });
  const ladder = h("ol.plain.test-call-ladder", { "aria-live": "polite", "aria-label": "Ladder" });
  const outcome = h("div.test-call-outcome");
  const fault = h("p.form-fault", { role: "alert" });
  const end = h("div.form-end");
  const hangUp = button("Hang up", ending, { kind: "danger" });

  async function ending() {
    hangUp.disabled = true;
    const isDone = await attempt(async () => draw((await ask("DELETE", path, undefined, { signal })).data));
    if (!isDone) hangUp.disabled = false;
  }

  async function follow() {
    while (!call.report && (await passed(POLL_INTERVAL, signal))) {
      try {
        draw((await ask("GET", path, undefined, { signal })).data);
        put(fault);
      } catch (error) {
        if (signal.aborted) return;
        put(fault, error.message);
        if (error.status >= 400 && error.status < 500) return;
      }
    }
  }

  function draw(update) {
    // Responses may arrive out of order.
    if (call.report || update.ladder.length < ladder.children.length) return;
    call = update;
    const names = call.ladder.map(({ name }) => name);
    put(state, status(call, names));
    put(seconds, `${call.seconds.toFixed(1)} of ${call.planned.toFixed(0)} s`);
    // Created once, because an element that is replaced under the pointer loses the click.
    if (call.callId && !links.children.length) addLinks();
    bar.value = call.seconds;
    ladder.append(...call.ladder.slice(ladder.children.length).map(step));
    if (call.report) conclude(call.report);
  }

  function addLinks() {
    put(
      links,
      call.roomId && h("a", { href: href("rooms", call.roomId), onclick: close }, "Hear it in the room"),
      h("a", { href: href("calls", call.callId), onclick: close }, "See the call"),
    );
  }

  function conclude(report) {
    put(outcome, report.trouble && h("p.form-fault", report.trouble), measurements(report));
    const another = button("Place another call", again);
    const hadFocus = end.contains(document.activeElement);
    put(end, another, button("Close", close, { kind: "primary" }));
    if (hadFocus) another.focus();
  }

  put(end, h("span.soft.small", "The call goes on when you close this."), hangUp, button("Close", close));
  draw(call);
  follow();
  return h("div.test-call", h("div.row", state, seconds, links), bar, ladder, outcome, fault, end);
}

function status({ report }, names) {
  if (report) return report.trouble ? pill("Ended with an error", "bad") : pill("Ended", "good");
  if (names.includes("first-audio")) return pill("In the room", "good");
  return pill("Calling");
}

function step({ at, name, detail }) {
  const text = name === "end" ? (ENDS[detail] ?? STEPS.end) : (STEPS[name] ?? name);
  return h(
    "li",
    h("span.soft.number", `${at.toFixed(3)} s`),
    h("span", text, name !== "end" && detail && h("span.soft", ` ${detail}`)),
  );
}

function measurements(report) {
  const after = (value) => (value === null ? null : milliseconds(value));
  const heard = report.levelDbfs === null ? "silence" : `${report.levelDbfs.toFixed(1)} dBFS`;
  return facts([
    ["Answered after", after(report.answeredMs)],
    ["First audio after", after(report.firstAudioMs)],
    ["Round trip", after(report.roundTripMs)],
    ["Heard", heard],
    ["Frames", `${report.framesSent} sent, ${report.framesHeard} heard, ${report.framesMissing} missing`],
    ["Gaps over 40 ms", report.gaps ? `${report.gaps}, the longest ${after(report.longestGapMs)}` : "none"],
    ["Keys heard", report.digitsHeard || null],
  ]);
}

/** Wait for some milliseconds. Resolves to false as soon as the signal aborts. */
function passed(time, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(!signal.aborted), time);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve(false)), { once: true });
  });
}
