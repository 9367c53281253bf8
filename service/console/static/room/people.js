/** The participants in the room, and its earlier sessions. */

import { ask, withQuery } from "../api.js";
import { age, attempt, button, confirmed, empty, notify, pager, panel, pill, table, time } from "../components.js";
import { h, put } from "../dom.js";
import { counted, duration, provider, toDate } from "../format.js";
import { meter } from "../meters.js";
import { nodeLine } from "../nodes.js";
import { href } from "../router.js";
import { testCallButton } from "../test-call.js";
import { ownId } from "./joining.js";

const PER_PAGE = 10;

/** Build both panels: {present, earlier, refresh(), measure(levels)}. Levels are those of onLevels. */
export function people(roomId, signal) {
  const now = h("div");
  const before = h("div");
  const endSession = button("Remove everybody", removeAll, { kind: "danger small" });
  let page = 1;
  /** Fingerprint of the table. It is replaced only after a change, so that focus in it is kept. */
  let shown = "";
  let ages = new AbortController();
  /** Meters by call. */
  let meters = new Map();
  /** Whether the room had participants; null before the first refresh. */
  let wasOccupied = null;

  const get = (path, query) => ask("GET", withQuery(path, { roomId, ...query }), undefined, { signal });

  /** Load the participants, and the earlier sessions if one may have ended. */
  async function refresh() {
    const { data, total } = await get("/console/api/live/calls");
    const present = data.filter(({ joined }) => joined !== null).reverse();
    const isOccupied = present.length > 0;
    if (wasOccupied === null || (wasOccupied && !isOccupied)) await loadSessions();
    wasOccupied = isOccupied;
    const fingerprint = JSON.stringify([present.map(({ id, participantName, node }) => [id, participantName, node]), total]);
    if (fingerprint === shown) return;
    shown = fingerprint;
    ages.abort();
    ages = new AbortController();
    meters = new Map(present.map((call) => [call.id, meter(`What ${nameOf(call)} says`)]));
    endSession.hidden = !isOccupied;
    put(now, isOccupied ? peopleTable(present) : nobody(), total > data.length && more(data.length, total));
  }

  /** Load the earlier sessions. They include every participant, so they are not loaded at each change. */
  async function loadSessions() {
    const ended = await get("/v2/sessions", { status: "ended", page, perPage: PER_PAGE });
    put(before, ended.data.length ? sessionTable(ended.data) : noSession(), pager(ended.pageInfo, turn));
  }

  async function turn(wanted) {
    page = wanted;
    await attempt(loadSessions);
  }

  function peopleTable(present) {
    return table(
      "Participants in the room now",
      [
        { heading: "Name", cell: (call) => [nameOf(call), call.participantId === ownId && [" ", pill("this browser", "good")]] },
        { heading: "Connection", cell: (call) => [connection(call), nodeLine(call)] },
        { heading: "Says", cell: ({ id }) => meters.get(id).element },
        { heading: "Joined", cell: ({ joined }) => age(joined, ages.signal) },
        { heading: "", ends: true, cell: (call) => button("Remove", () => remove(call), { kind: "small", label: `Remove ${nameOf(call)}` }) },
      ],
      present,
    );
  }

  async function remove(call) {
    const text = "The call or connection ends. A program or browser may join again.";
    if (!(await confirmed(`Remove ${nameOf(call)}?`, text, "Remove"))) return;
    await attempt(async () => {
      await ask("POST", "/v2/sessions/participants/remove", { roomId, participantId: call.participantId });
      notify(`${nameOf(call)} was removed.`);
      await refresh();
    });
  }

  async function removeAll() {
    const text = "This ends the session and every call in the room. The room stays open for new calls.";
    if (!(await confirmed("Remove everybody?", text, "Remove everybody"))) return;
    await attempt(async () => {
      await ask("POST", "/v2/sessions/end", { roomId });
      notify("Everybody was removed.");
      await refresh();
    });
  }

  function measure(levels) {
    for (const [callId, { show }] of meters) show(levels[callId]?.[0] ?? null);
  }

  signal.addEventListener("abort", () => ages.abort());
  return {
    present: panel("In the room now", { flush: true, actions: [endSession] }, now),
    earlier: panel("Earlier sessions", { flush: true }, before),
    refresh,
    measure,
  };
}

function nameOf({ participantName, participantId }) {
  return participantName || participantId;
}

function connection(call) {
  if (call.provider === "websocket") return "WebSocket";
  return h("a", { href: href("calls", call.id) }, `${provider(call.provider)} call`);
}

function nobody() {
  return empty("Nobody is in this room", "Call a number whose connector uses this room, place a test call, or join from this browser.",
    testCallButton());
}

function more(shown, total) {
  return h("p.soft.small.above", `The newest ${shown} of ${total} are shown.`);
}

function noSession() {
  return empty("No session has ended here", "A session lasts from the first participant to the last.");
}

function sessionTable(sessions) {
  return table(
    "Earlier sessions",
    [
      { heading: "Started", cell: ({ start }) => time(start) },
      { heading: "Duration", number: true, cell: ({ start, end }) => duration(toDate(end) - toDate(start)) },
      { heading: "Participants", cell: ({ participants }) => namesOf(participants) },
    ],
    sessions,
  );
}

function namesOf(participants) {
  const names = participants.map(({ name, participantId }) => name || participantId);
  const few = names.slice(0, 3).join(", ");
  return names.length > 3 ? `${few} and ${counted(names.length - 3, "other")}` : few;
}
