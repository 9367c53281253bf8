/** The server's health: calls, audio, database, recent warnings and settings. */

import { ask } from "../api.js";
import { empty, facts, heading, panel, pill, table, time } from "../components.js";
import { h, put } from "../dom.js";
import { counted, duration, percent } from "../format.js";
import { nodeTable } from "../node-table.js";
import { href } from "../router.js";

export const title = "Health";

const REFRESH = 4000;

export async function show(main, params, signal) {
  const body = h("div.stack");
  const load = async () => put(body, ...panels((await ask("GET", "/console/api/health", undefined, { signal })).data));
  await load();
  put(main, heading("Health", { lead: "The current state of this server, updated while this page is open." }), body);
  let isAsking = false;
  const timer = setInterval(async () => {
    if (isAsking || document.hidden) return;
    isAsking = true;
    try {
      await load();
    } catch (error) {
      if (!signal.aborted) put(body, panel("", {}, h("p.health-bad", { role: "status" }, error.message)));
    } finally {
      isAsking = false;
    }
  }, REFRESH);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function panels(found) {
  return [
    h("div.health", calls(found), ticks(found.engine), audio(found.engine), database(found)),
    found.nodes && panel("Nodes", { flush: true }, nodeTable(found.nodes)),
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
    now >= callLimit && pill("Full: further callers hear busy", "bad"),
  );
}

function ticks(engine) {
  if (!engine) return panel("Audio timing", {}, pill("The media engine does not answer", "bad"));
  const { p50, p99 } = engine.lateMs;
  if (p99 === null) {
    return panel("Audio timing", {}, h("p.soft", "No call has been in a room since the start, so there is nothing to measure yet."));
  }
  return panel(
    "Audio timing",
    {},
    figure(`${p99} ms`, "late or less in 99 % of the last 3,000 ticks"),
    facts([
      ["Median", `${p50} ms`],
      ["10 ms late or more", `${counted(engine.late, "tick")} of ${engine.ticks}`],
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
      ["To reduce delay", counted(dropped, "frame") + share(dropped, received)],
      ["Receiver too slow", counted(unsent, "frame") + share(unsent, sent)],
      ["Late", counted(late, "chunk")],
      ["Lost", counted(lost, "chunk")],
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
      ["To be stored", counted(reports, "report")],
      ["For the engine", engine && counted(engine.requests, "request")],
    ]),
  );
}

function figure(value, about) {
  return h("p.health-figure", h("strong", String(value)), " ", h("span.soft.small", about));
}

function troubles(list) {
  if (!list.length) return empty("No problems", "There were no warnings or errors since the start.");
  return table(
    "Warnings and errors",
    [
      { heading: "When", cell: (one) => time(one.at) },
      { heading: "Level", cell: (one) => pill(one.level, one.level === "warning" ? "warn" : "bad") },
      { heading: "Message", cell: (one) => [one.message, one.error && ` (${one.error})`] },
      { heading: "Logger", cell: (one) => h("code", one.logger) },
      { heading: "Call", cell: (one) => one.callId && h("a", { href: href("calls", one.callId) }, one.callId) },
    ],
    list,
  );
}

function server({ version, upMs, settings }) {
  const shown = (value) => ({ true: "on", false: "off", null: "not set" })[String(value)] ?? String(value);
  return facts([
    ["Version", version],
    ["Uptime", duration(upMs)],
    ...Object.entries(settings).map(([name, value]) => [h("code", name), name.endsWith("_SECONDS") ? `${value} s` : shown(value)]),
  ]);
}
