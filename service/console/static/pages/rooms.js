/** The list of rooms, with a search and a dialog that creates one. */

import { ask, withQuery } from "../api.js";
import { attempt, button, empty, heading, openDialog, pager, panel, pill, table, time } from "../components.js";
import { h, put } from "../dom.js";
import { counted } from "../format.js";
import { field, filled, form, input } from "../forms.js";
import { go, href } from "../router.js";

export const title = "Rooms";

export async function show(main, params, signal) {
  const asked = new URLSearchParams(location.search);
  let query = asked.get("query") ?? "";
  let page = Number(asked.get("page")) || 1;
  const list = h("div");
  const search = h(
    "form.find",
    { role: "search", onsubmit: find },
    input("query", { type: "search", value: query, maxlength: 128, "aria-label": "Room ID or custom ID", placeholder: "Room ID or custom ID" }),
    h("button", { type: "submit" }, "Find"),
  );

  async function find(event) {
    event.preventDefault();
    query = search.elements.query.value.trim();
    await turn(1);
  }

  async function turn(wanted) {
    page = wanted;
    history.replaceState(null, "", withQuery("/console/rooms", { query, page: page > 1 ? page : "" }));
    await attempt(load);
  }

  async function load() {
    const [rooms, present] = await Promise.all([
      ask("GET", withQuery("/v2/rooms", { query, page }), undefined, { signal }),
      ask("GET", "/console/api/live/calls/by-room", undefined, { signal }),
    ]);
    put(list, rooms.data.length ? roomTable(rooms.data, present.data) : nothing(query), pager(rooms.pageInfo, turn));
  }

  await load();
  put(
    main,
    heading("Rooms", {
      lead: "Calls, browsers and programs meet in a room. A call to a room that does not exist creates it.",
      actions: [button("New room", create, { kind: "primary" })],
    }),
    panel("", { flush: true }, h("div.above", search), list),
  );
}

function roomTable(rooms, present) {
  return table(
    "Rooms",
    [
      { heading: "Room", cell: (room) => h("a", { href: href("rooms", room.roomId) }, nameOf(room)) },
      { heading: "Room ID", cell: ({ roomId, customRoomId }) => (customRoomId ? h("code", roomId) : h("span.soft", "the same")) },
      { heading: "Now", cell: (room) => state(room, present[room.roomId] ?? 0) },
      { heading: "Created", cell: ({ createdAt }) => time(createdAt) },
    ],
    rooms,
  );
}

export function nameOf(room) {
  return room.customRoomId || room.roomId;
}

function state({ disabled }, present) {
  if (present) return pill(counted(present, "participant"), "good");
  if (disabled) return pill("deactivated", "warn");
  return h("span.soft", "empty");
}

function nothing(query) {
  if (query) return empty("No such room", "Enter a complete room ID or custom ID.");
  return empty(
    "No room yet",
    "Create one, or call a number. A call to a room that does not exist creates it.",
    button("New room", create, { kind: "primary" }),
  );
}

function create() {
  openDialog("New room", (close) =>
    form(
      [
        field("Custom ID", input("customRoomId", { maxlength: 128, spellcheck: "false" }), {
          hint: "A name without spaces that connectors and rules can use. If empty, the room has only its generated ID.",
        }),
      ],
      {
        verb: "Create room",
        cancel: close,
        submit: async (values) => {
          const room = await ask("POST", "/v2/rooms", filled(values));
          close();
          go(href("rooms", room.roomId));
        },
      },
    ),
  );
}
