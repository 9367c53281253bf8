/** A test call as it goes on: its ladder as the phone sees it, and at the end what it was like. */

import { ask } from "../api.js";
import { attempt, button, facts, pill } from "../components.js";
import { h, put } from "../dom.js";
import { milliseconds } from "../format.js";
import { href } from "../router.js";

const EVERY = 500;

const RUNGS = {
  webhook: "Asked the webhook",
  markup: "Was answered with markup",
  connecting: "Dials the media socket",
  connected: "The media socket is open",
  start: "The stream began",
  "first-audio": "Heard the first audio",
  closed: "The media socket was closed",
  refused: "The media socket was refused",
  redirect: "Asks the webhook again",
  gather: "Was asked for keys",
  digit: "Pressed the key",
  mark: "Played up to a mark",
  clear: "Dropped what was to be played",
  cut: "The connection was cut",
  dial: "Is put through",
  dialled: "The other call is over",
  say: "Heard a voice say",
  play: "Heard a sound",
  status: "Told how the stream fares",
  notice: "Told that the call is over",
  problem: "No provider would take this",
  end: "The call is over",
};

const ENDS = {
  "caller-hung-up": "The caller hung up.",
  "server-hung-up": "The caller was hung up on.",
  rejected: "The call was rejected.",
  busy: "The caller heard busy.",
  failed: "The call failed.",
};

/** Shows `trial` and follows it until it is over or the signal says so. */
export function progress(trial, { signal, close, again }) {
  const path = `/console/api/trials/${encodeURIComponent(trial.id)}`;
  const state = h("span");
  const seconds = h("span.soft");
  const places = h("span.row");
  const bar = h("progress", { max: trial.planned, value: 0, "aria-label": "Seconds of the call" });
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
    while (!trial.report && (await passed(EVERY, signal))) {
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

  function draw(news) {
    // Answers may overtake each other.
    if (trial.report || news.ladder.length < ladder.children.length) return;
    trial = news;
    const names = trial.ladder.map(({ name }) => name);
    put(state, standing(trial, names));
    put(seconds, `${trial.seconds.toFixed(1)} of ${trial.planned.toFixed(0)} s`);
    // Made once: what is replaced under the pointer takes no click.
    if (trial.callId && !places.children.length) lead();
    bar.value = trial.seconds;
    ladder.append(...trial.ladder.slice(ladder.children.length).map(rung));
    if (trial.report) conclude(trial.report);
  }

  function lead() {
    put(
      places,
      trial.roomId && h("a", { href: href("rooms", trial.roomId), onclick: close }, "Hear it in the room"),
      h("a", { href: href("calls", trial.callId), onclick: close }, "See the call"),
    );
  }

  function conclude(report) {
    put(outcome, report.trouble && h("p.form-fault", report.trouble), showing(report));
    const another = button("Place another call", again);
    const isHere = end.contains(document.activeElement);
    put(end, another, button("Close", close, { kind: "primary" }));
    if (isHere) another.focus();
  }

  put(end, h("span.soft.small", "Closing this leaves the call up."), hangUp, button("Close", close));
  draw(trial);
  follow();
  return h("div.test-call", h("div.row", state, seconds, places), bar, ladder, outcome, fault, end);
}

function standing({ report }, names) {
  if (report) return report.trouble ? pill("Over, with trouble", "bad") : pill("Over", "good");
  if (names.includes("first-audio")) return pill("In the room", "good");
  return pill("Calling");
}

function rung({ at, name, detail }) {
  const word = name === "end" ? (ENDS[detail] ?? RUNGS.end) : (RUNGS[name] ?? name);
  return h(
    "li",
    h("span.soft.number", `${at.toFixed(3)} s`),
    h("span", word, name !== "end" && detail && h("span.soft", ` ${detail}`)),
  );
}

function showing(report) {
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

/** Whether so many milliseconds have passed, and the signal has not come before. */
function passed(time, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(!signal.aborted), time);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve(false)), { once: true });
  });
}
