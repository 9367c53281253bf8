/** Who is in the room now, and its earlier sessions. */

import { ask, withQuery } from "../api.js";
import { age, attempt, button, confirmed, empty, notify, pager, panel, pill, table, time } from "../components.js";
import { h, put } from "../dom.js";
import { counted, duration, provider, toDate } from "../format.js";
import { meter } from "../meters.js";
import { href } from "../router.js";
import { testCallButton } from "../test-call.js";
import { ownId } from "./joining.js";

const PER_PAGE = 10;

/** {present, earlier, refresh(), measure(calls)}: two panels, asking the server anew, and levels as in watchLive. */
export function people(roomId, signal) {
  const now = h("div");
  const before = h("div");
  const endSession = button("Put everybody out", putAllOut, { kind: "danger small" });
  let page = 1;
  /** What is shown; the tables are left alone, and the focus in them, until something has changed. */
  let shown = "";
  let ages = new AbortController();
  /** The meters of those who are there, by call. */
  let meters = new Map();
  /** Whether anybody was there; null before the first look. */
  let wasThere = null;

  const get = (path, query) => ask("GET", withQuery(path, { roomId, ...query }), undefined, { signal });

  /** Who is there now; and the earlier sessions, where one may have ended since. */
  async function refresh() {
    const { data, total } = await get("/console/api/live/calls");
    const present = data.filter(({ joined }) => joined !== null).reverse();
    const isThere = present.length > 0;
    if (wasThere === null || (wasThere && !isThere)) await remember();
    wasThere = isThere;
    const news = JSON.stringify([present.map(({ id, participantName }) => [id, participantName]), total]);
    if (news === shown) return;
    shown = news;
    ages.abort();
    ages = new AbortController();
    meters = new Map(present.map((call) => [call.id, meter(`What ${nameOf(call)} says`)]));
    endSession.hidden = !isThere;
    put(now, isThere ? peopleTable(present) : nobody(), total > data.length && more(data.length, total));
  }

  /** A session is told with all who were in it, so these are not asked for at every change. */
  async function remember() {
    const ended = await get("/v2/sessions", { status: "ended", page, perPage: PER_PAGE });
    put(before, ended.data.length ? sessionTable(ended.data) : noSession(), pager(ended.pageInfo, turn));
  }

  async function turn(wanted) {
    page = wanted;
    await attempt(remember);
  }

  function peopleTable(present) {
    return table(
      "Participants in the room now",
      [
        { heading: "Name", cell: (call) => [nameOf(call), call.participantId === ownId && [" ", pill("this browser", "good")]] },
        { heading: "Through", cell: through },
        { heading: "Says", cell: ({ id }) => meters.get(id).element },
        { heading: "Came in", cell: ({ joined }) => age(joined, ages.signal) },
        { heading: "", ends: true, cell: (call) => button("Put out", () => putOut(call), { kind: "small", label: `Put ${nameOf(call)} out` }) },
      ],
      present,
    );
  }

  async function putOut(call) {
    const text = "The call or connection is ended. A phone call is over; a program or browser may join again.";
    if (!(await confirmed(`Put ${nameOf(call)} out?`, text, "Put out"))) return;
    await attempt(async () => {
      await ask("POST", "/v2/sessions/participants/remove", { roomId, participantId: call.participantId });
      notify(`${nameOf(call)} was put out.`);
      await refresh();
    });
  }

  async function putAllOut() {
    const text = "This ends every call in the room, and the session. The room stays open: whoever calls next is let in.";
    if (!(await confirmed("Put everybody out?", text, "Put everybody out"))) return;
    await attempt(async () => {
      await ask("POST", "/v2/sessions/end", { roomId });
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

function nameOf({ participantName, participantId }) {
  return participantName || participantId;
}

function through(call) {
  if (call.provider === "websocket") return "WebSocket";
  return h("a", { href: href("calls", call.id) }, `${provider(call.provider)} call`);
}

function nobody() {
  return empty("Nobody is in this room", "Call a number whose connector leads here, place a test call, or join from this browser.",
    testCallButton());
}

function more(shown, total) {
  return h("p.soft.small.above", `These are the newest ${shown} of ${total}.`);
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
