/** One room: its participants, joining from this browser, messages and earlier sessions. */

import { ask } from "../api.js";
import { attempt, button, confirmed, facts, heading, notify, panel, pill, time } from "../components.js";
import { h, put } from "../dom.js";
import { subscribeToLive } from "../live.js";
import { joining } from "../room/joining.js";
import { messages } from "../room/messages.js";
import { people } from "../room/people.js";
import { nameOf } from "./rooms.js";

export const title = "Room";

export async function show(main, { id }, signal) {
  const path = `/v2/rooms/${encodeURIComponent(id)}`;
  let room = await find(path);
  const roomId = room?.roomId ?? id;
  const present = people(roomId, signal);
  const chat = messages((document) => self.send(document));
  const self = joining(roomId, {
    allowed: room?.allowedParticipantIds ?? [],
    received(document) {
      chat.receive(document);
      if (document.event.startsWith("participant-")) refresh();
    },
    changed(state) {
      chat.joined(state === "joined" || state === "waiting");
      refresh();
    },
    signal,
  });

  async function refresh() {
    try {
      if (!signal.aborted) await present.refresh();
      // Joining a room that does not exist creates it.
      if (!room && (room = await find(path))) describe();
    } catch {
      // The next change, or the server's return, triggers another refresh.
    }
  }

  async function deactivate() {
    const text = "Every call in the room ends, calls to it are rejected, and nobody can join it until you activate it again.";
    if (!(await confirmed(`Deactivate ${nameOf(room)}?`, text, "Deactivate room"))) return;
    await change("disabled", "The room is deactivated.");
  }

  async function change(status, sentence) {
    await attempt(async () => {
      await ask("POST", path, { status });
      notify(sentence);
      window.dispatchEvent(new Event("route"));
    });
  }

  const top = h("div");
  const details = h("div");
  function describe() {
    const action = room && (room.disabled
      ? button("Activate", () => change("enabled", "The room is open again."), { kind: "primary" })
      : button("Deactivate", deactivate, { kind: "danger" }));
    put(top, heading(room ? nameOf(room) : id, { actions: action ? [action] : [] }));
    put(details, about(room));
  }

  describe();
  await present.refresh();
  put(
    main,
    top,
    h(
      "div.room",
      h("div.stack", room?.disabled ? closed() : self.element, present.present),
      h("div.stack", chat.element),
      present.earlier,
      details,
    ),
  );
  subscribeToLive(signal, { onChanged: refresh, onLevels: ({ calls }) => present.measure(calls) });
}

/** Fetch the room, or null if it does not exist. The first participant creates it. */
async function find(path) {
  try {
    return await ask("GET", path);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

function closed() {
  return panel("Deactivated", {}, h("p", "Nobody can join this room, and calls to it are rejected, until you activate it."));
}

function about(room) {
  if (!room) return panel("About this room", {}, h("p.soft", "It does not exist yet. The first call or participant creates it."));
  return panel(
    "About this room",
    {},
    facts([
      ["Room ID", h("code", room.roomId)],
      ["Custom ID", room.customRoomId ? h("code", room.customRoomId) : null],
      ["State", room.disabled ? pill("deactivated", "warn") : "open"],
      ["Allowed participants", room.allowedParticipantIds?.length ? room.allowedParticipantIds.join(", ") : null],
      ["Closes after", room.autoCloseConfig ? `${room.autoCloseConfig.duration} min` : null],
      ["Webhook", room.webhook?.endPoint ?? null],
      ["Created", time(room.createdAt)],
    ]),
  );
}
