/** One room: who is in it, joining it from this browser, its messages and its earlier sessions. */

import { ask } from "../api.js";
import { attempt, button, confirmed, facts, heading, notify, panel, pill, time } from "../components.js";
import { h, put } from "../dom.js";
import { watchLive } from "../live.js";
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
    heard(document) {
      chat.hear(document);
      if (document.event.startsWith("participant-")) look();
    },
    changed(state) {
      chat.joined(state === "joined" || state === "waiting");
      look();
    },
    signal,
  });

  async function look() {
    try {
      if (!signal.aborted) await present.refresh();
      // Whoever joins a room that does not exist makes it.
      if (!room && (room = await find(path))) describe();
    } catch {
      // There is another look when the server is back, or something has changed.
    }
  }

  async function deactivate() {
    const text = "Every call in the room is ended, and nobody can join it until you activate it again: calls that lead here are rejected.";
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
  const known = h("div");
  function describe() {
    const action = room && (room.disabled
      ? button("Activate", () => change("enabled", "The room is open again."), { kind: "primary" })
      : button("Deactivate", deactivate, { kind: "danger" }));
    put(top, heading(room ? nameOf(room) : id, { actions: action ? [action] : [] }));
    put(known, about(room));
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
      known,
    ),
  );
  watchLive(signal, { onChanged: look, onLevels: ({ calls }) => present.measure(calls) });
}

/** The room, or null where there is none of this name: it is made by whoever comes first. */
async function find(path) {
  try {
    return await ask("GET", path);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

function closed() {
  return panel("Deactivated", {}, h("p", "Nobody can join this room, and calls that lead here are rejected, until you activate it."));
}

function about(room) {
  if (!room) return panel("About this room", {}, h("p.soft", "It does not exist yet: the first call that leads here makes it, and so does joining."));
  return panel(
    "About this room",
    {},
    facts([
      ["Room ID", h("code", room.roomId)],
      ["Custom ID", room.customRoomId ? h("code", room.customRoomId) : null],
      ["State", room.disabled ? pill("deactivated", "warn") : "open"],
      ["Only for", room.allowedParticipantIds?.length ? room.allowedParticipantIds.join(", ") : null],
      ["Closes after", room.autoCloseConfig ? `${room.autoCloseConfig.duration} min` : null],
      ["Webhook", room.webhook?.endPoint ?? null],
      ["Created", time(room.createdAt)],
    ]),
  );
}
