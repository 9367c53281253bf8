/** The table of all nodes on the health page. */

import { pill, table } from "./components.js";
import { h } from "./dom.js";
import { counted, duration } from "./format.js";

const MIB = 1024 * 1024;

/** Milliseconds without a heartbeat after which a node counts as gone. */
const LEASE = 10_000;

/** Processor seconds of each node at the last reading, and the time of that reading. */
let last = new Map();

/** Build the table of nodes. The share of a processor is that since the table before. */
export function nodeTable(nodes) {
  const at = performance.now();
  const shares = new Map(nodes.map((one) => [one.node, share(last.get(one.node), one.process, at)]));
  last = new Map(nodes.filter(({ process }) => process).map(({ node, process }) => [node, { at, seconds: process.cpuSeconds }]));
  const element = table(
    "Nodes",
    [
      { heading: "Node", cell: name },
      { heading: "State", cell: state },
      { heading: "Calls", cell: calls },
      { heading: "Processor", cell: ({ node, process }) => [shares.get(node), memory(process)] },
      { heading: "Late, 99 %", cell: ({ process }) => late(process?.engine) },
      { heading: "To be stored", cell: ({ process }) => process?.reports ?? "–" },
    ],
    nodes,
  );
  element.classList.add("nodes");
  return element;
}

function share(before, process, at) {
  if (!before || !process) return "–";
  return `${Math.round((100_000 * (process.cpuSeconds - before.seconds)) / (at - before.at))} %`;
}

function name({ node, stored }) {
  return [h("code", node), stored && h("div.node", `${stored.url ?? stored.machine}, ${stored.version}`)];
}

function state(one) {
  return [condition(one), one.stored && h("div.node", `up ${duration(one.stored.upMs)}`)];
}

function condition({ stored, process }) {
  if (!process) return pill(stored.silentMs < LEASE ? "does not answer" : "gone", "bad");
  if (!process.engine) return pill("engine does not answer", "bad");
  if (!stored) return pill("answers", "warn");
  return stored.state === "serving" ? pill("serving", "good") : pill(stored.state, "warn");
}

function calls({ stored, process }) {
  const inRoom = process?.engine && h("div.node", `${counted(process.engine.joined, "leg")} in a room`);
  return [stored ? String(stored.calls) : "–", inRoom];
}

function memory(process) {
  return process?.memory && h("div.node", `${Math.round(process.memory / MIB)} MiB`);
}

function late(engine) {
  const p99 = engine?.lateMs.p99 ?? null;
  return p99 === null ? "–" : `${p99} ms`;
}
