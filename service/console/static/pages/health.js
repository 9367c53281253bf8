/** Health: how the server fares now, and what went wrong lately. */

import { ask } from "../api.js";
import { empty, facts, heading, panel, pill, table, time } from "../components.js";
import { h, put } from "../dom.js";
import { counted, duration, percent } from "../format.js";
import { href } from "../router.js";

export const title = "Health";

const REFRESH = 4000;

export async function show(main, params, signal) {
  const body = h("div.stack");
  const fresh = async () => put(body, ...parts((await ask("GET", "/console/api/health", undefined, { signal })).data));
  await fresh();
  put(main, heading("Health", { lead: "How this server fares now. The figures are kept up to date while you look." }), body);
  let isAsking = false;
  const timer = setInterval(async () => {
    if (isAsking || document.hidden) return;
    isAsking = true;
    try {
      await fresh();
    } catch (error) {
      if (!signal.aborted) put(body, panel("", {}, h("p.health-bad", { role: "status" }, error.message)));
    } finally {
      isAsking = false;
    }
  }, REFRESH);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function parts(found) {
  return [
    h("div.health", calls(found), ticks(found.engine), audio(found.engine), database(found)),
    panel("Warnings and errors", { flush: true }, troubles(found.troubles)),
    panel("Server", {}, server(found)),
  ];
}

function calls({ database, callLimit, engine }) {
  const now = database.stored?.calls;
  return panel(
    "Calls",
    {},
    figure(now ?? "–", `of ${callLimit} at most`),
    facts([
      ["Media sockets", engine && counted(engine.sockets, "socket")],
      ["In a room", engine && counted(engine.joined, "participant")],
    ]),
    now >= callLimit && pill("Full: more callers hear busy", "bad"),
  );
}

function ticks(engine) {
  if (!engine) return panel("Rhythm of audio", {}, pill("The media engine does not answer", "bad"));
  const { p50, p99 } = engine.lateMs;
  if (p99 === null) {
    return panel("Rhythm of audio", {}, h("p.soft", "No call has been in a room since the start: nothing to measure yet."));
  }
  return panel(
    "Rhythm of audio",
    {},
    figure(`${p99} ms`, "late at most, 99 % of the last 3,000 ticks"),
    facts([
      ["Half of them", `${p50} ms`],
      ["10 ms or more", `${counted(engine.late, "tick")} of ${engine.ticks}`],
      ["Skipped", counted(engine.skipped, "tick")],
    ]),
    pill(p99 < 10 ? "Steady" : "Late: calls may sound broken", p99 < 10 ? "good" : "bad"),
  );
}

function audio(engine) {
  if (!engine) return null;
  const { received, sent, late, lost, dropped, unsent } = engine.frames;
  const share = (part, whole) => (whole ? ` (${percent(part / whole)})` : "");
  return panel(
    "Audio dropped",
    {},
    figure(dropped + unsent, `of ${received + sent} frames since the start`),
    facts([
      ["Cut for delay", counted(dropped, "frame") + share(dropped, received)],
      ["Peer did not read", counted(unsent, "frame") + share(unsent, sent)],
      ["Came too late", counted(late, "chunk")],
      ["Never came", counted(lost, "chunk")],
    ]),
  );
}

function database({ database: { kind, stored }, reports, engine }) {
  if (!stored) return panel("Database", {}, pill(`${kind} does not answer`, "bad"));
  return panel(
    "Database",
    {},
    figure(`${stored.answeredMs} ms`, `to count the calls in ${kind}`),
    facts([
      ["Webhooks to deliver", counted(stored.pending, "event")],
      ["To be written", counted(reports, "report")],
      ["For the engine", engine && counted(engine.requests, "request")],
    ]),
  );
}

function figure(value, about) {
  return h("p.health-figure", h("strong", String(value)), " ", h("span.soft.small", about));
}

function troubles(list) {
  if (!list.length) return empty("All quiet", "No warning and no error since the start.");
  return table(
    "Warnings and errors",
    [
      { heading: "When", cell: (one) => time(one.at) },
      { heading: "Level", cell: (one) => pill(one.level, one.level === "warning" ? "warn" : "bad") },
      { heading: "What", cell: (one) => [one.message, one.error && ` (${one.error})`] },
      { heading: "Where", cell: (one) => h("code", one.logger) },
      { heading: "Call", cell: (one) => one.callId && h("a", { href: href("calls", one.callId) }, one.callId) },
    ],
    list,
  );
}

function server({ version, upMs, settings }) {
  const shown = (value) => ({ true: "on", false: "off", null: "not set" })[String(value)] ?? String(value);
  return facts([
    ["Version", version],
    ["Up for", duration(upMs)],
    ...Object.entries(settings).map(([name, value]) => [h("code", name), name.endsWith("_SECONDS") ? `${value} s` : shown(value)]),
  ]);
}
