/** Who is in the room now, and its earlier sessions. */

import { ask, withQuery } from "../api.js";
import { h, put } from "../dom.js";
import { counted, duration, provider, toDate } from "../format.js";
import { meter } from "../meters.js";
import { age, attempt, button, confirmed, empty, notify, pager, panel, pill, table, time } from "../parts.js";
import { href } from "../router.js";
import { ownId } from "./joining.js";
import { trialButton } from "../trial.js";

const PER_PAGE = 10;

/** {present, earlier, refresh(), measure(calls)}: two panels, asking the server anew, and levels as in watchLive. */
export function people(roomId, signal) {
  const now = h("div");
  const before = h("div");
  const endSession = button("Put everybody out", putAllOut, { kind: "danger small" });
  let page = 1;
  let ongoing = null;
  /** What is shown; the tables are left alone, and the focus in them, until something has changed. */
  let shown = "";
  let ages = new AbortController();
  /** The meters of those who are heard, by call. */
  let meters = new Map();

  async function refresh() {
    const get = (path, query) => ask("GET", withQuery(path, { roomId, ...query }), undefined, { signal });
    const [going, ended, calls] = await Promise.all([
      get("/v2/sessions", { status: "ongoing", perPage: 1 }),
      get("/v2/sessions", { status: "ended", page, perPage: PER_PAGE }),
      get("/console/api/live/calls"),
    ]);
    ongoing = going.data[0] ?? null;
    const present = ongoing ? presentIn(ongoing) : [];
    // The newest of a participant that has come back is listed first, and is to have the last word.
    const callOf = new Map(calls.data.reverse().map((call) => [call.participantId, call]));
    const news = JSON.stringify([present, calls.data.map((call) => call.id), ended]);
    if (news === shown) return;
    shown = news;
    ages.abort();
    ages = new AbortController();
    meters = new Map(present.filter(({ participantId }) => callOf.has(participantId)).map(({ participantId, name }) => [
      callOf.get(participantId).id,
      meter(`What ${name || participantId} says`),
    ]));
    endSession.hidden = present.length === 0;
    put(now, present.length ? peopleTable(present, callOf) : nobody());
    put(before, ended.data.length ? sessionTable(ended.data) : noSession(), pager(ended.pageInfo, turn));
  }

  async function turn(wanted) {
    page = wanted;
    await attempt(refresh);
  }

  function peopleTable(present, callOf) {
    return table(
      "Participants in the room now",
      [
        { heading: "Name", cell: ({ participantId, name }) => [name || participantId, participantId === ownId && [" ", pill("this browser", "good")]] },
        { heading: "Through", cell: ({ participantId }) => through(callOf.get(participantId)) },
        { heading: "Says", cell: ({ participantId }) => meters.get(callOf.get(participantId)?.id)?.element ?? h("span.soft", "–") },
        { heading: "Came in", cell: ({ since }) => age(since, ages.signal) },
        { heading: "", ends: true, cell: (who) => button("Put out", () => putOut(who), { kind: "small", label: `Put ${who.name || who.participantId} out` }) },
      ],
      present,
    );
  }

  async function putOut({ participantId, name }) {
    const text = "The call or connection is ended. A phone call is over; a program or browser may join again.";
    if (!(await confirmed(`Put ${name || participantId} out?`, text, "Put out"))) return;
    await attempt(async () => {
      await ask("POST", "/v2/sessions/participants/remove", { sessionId: ongoing.id, participantId });
      notify(`${name || participantId} was put out.`);
      await refresh();
    });
  }

  async function putAllOut() {
    const text = "This ends every call in the room, and the session. The room stays open: whoever calls next is let in.";
    if (!(await confirmed("Put everybody out?", text, "Put everybody out"))) return;
    await attempt(async () => {
      await ask("POST", "/v2/sessions/end", { sessionId: ongoing.id });
      notify("Everybody was put out.");
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

/** [{participantId, name, since}] of those whose last stay has no end. */
export function presentIn(session) {
  return session.participants
    .map(({ participantId, name, timelog }) => ({ participantId, name, stay: timelog.find(({ end }) => end === null) }))
    .filter(({ stay }) => stay)
    .map(({ participantId, name, stay }) => ({ participantId, name, since: stay.start }));
}

function through(call) {
  if (!call || call.provider === "websocket") return "WebSocket";
  return h("a", { href: href("calls", call.id) }, `${provider(call.provider)} call`);
}

function nobody() {
  return empty("Nobody is in this room", "Call a number whose connector leads here, place a test call, or join from this browser.",
    trialButton());
}

function noSession() {
  return empty("No session has ended here", "A session lasts from the first who comes in to the last who leaves.");
}

function sessionTable(sessions) {
  return table(
    "Earlier sessions",
    [
      { heading: "Began", cell: ({ start }) => time(start) },
      { heading: "Lasted", number: true, cell: ({ start, end }) => duration(toDate(end) - toDate(start)) },
      { heading: "Participants", cell: ({ participants }) => attendees(participants) },
    ],
    sessions,
  );
}

function attendees(participants) {
  const names = participants.map(({ name, participantId }) => name || participantId);
  const few = names.slice(0, 3).join(", ");
  return names.length > 3 ? `${few} and ${counted(names.length - 3, "other")}` : few;
}
