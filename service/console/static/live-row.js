/** A call in progress as a row that is kept true while it lasts. */

import { ask } from "./api.js";
import { attempt, button, confirmed, notify, openDialog, pill, tableRow } from "./components.js";
import { h, put } from "./dom.js";
import { counted, duration, provider } from "./format.js";
import { field, form, input } from "./forms.js";
import { statusState } from "./ladder.js";
import { meter } from "./meters.js";
import { href } from "./router.js";

export const COLUMNS = [
  { heading: "Caller", cell: (parts) => parts.caller },
  { heading: "Room", cell: (parts) => parts.room },
  { heading: "Lasts", number: true, cell: (parts) => parts.lasts },
  { heading: "Sound", cell: (parts) => parts.sound },
  { heading: "Line", cell: (parts) => parts.line },
  { heading: "", ends: true, cell: (parts) => parts.deeds },
];

/** {element, update(call), tick(now), measure(gauge)}; a gauge is as in watchLive, or null. */
export function liveRow(first) {
  let call = first;
  const isPhone = call.provider !== "websocket";
  const other = call.type === "outbound" ? call.to : call.from;
  const name = isPhone ? other : call.participantName;
  const said = meter(`What ${name} says`);
  const heard = meter(`What ${name} hears`);
  const status = h("span");
  const room = h("span");
  const lasts = h("span");
  const line = h("div.line-quality");
  let quality = "";
  let roomId;
  const element = tableRow(COLUMNS, {
    caller: [h("a", { href: href("calls", call.id) }, name), " ", status, h("div.also", about(call))],
    room,
    lasts,
    sound: h("div.sound", h("span.soft", "says"), said.element, h("span.soft", "hears"), heard.element),
    line,
    deeds: h("div.deeds", deeds(() => call, name, isPhone)),
  });

  function update(changed) {
    call = changed;
    const word = call.detached && call.status === "answered" ? "reconnecting" : call.status;
    put(status, word !== "answered" && pill(word, word === "reconnecting" ? "warn" : statusState(word)));
    // The link may have the focus: it is only replaced by another one.
    if (roomId === call.roomId) return;
    roomId = call.roomId;
    put(room, roomId ? h("a", { href: href("rooms", roomId) }, roomId) : h("span.soft", "none yet"));
  }

  function tick(now) {
    put(lasts, duration(now - (call.answered ?? call.start)));
  }

  function measure(gauge) {
    const [says, hears, lost, jitter] = gauge ?? [null, null];
    said.show(says);
    heard.show(hears);
    const next = gauge ? `${counted(lost, "frame")} lost|${jitter.toFixed(1)} ms jitter` : "no audio";
    if (next === quality) return;
    quality = next;
    put(line, next.split("|").map((text) => h("span", { class: gauge ? null : "soft" }, text)));
  }

  update(call);
  measure(null);
  return { element, update, tick, measure };
}

function about(call) {
  const through = provider(call.provider);
  if (call.provider === "websocket") return through;
  return call.type === "outbound" ? `${through}, called from ${call.from}` : `${through}, calls ${call.to}`;
}

function deeds(current, name, isPhone) {
  return [
    button("Move", () => move(current(), name), { kind: "small", label: `Move ${name} to another room` }),
    isPhone && button("Transfer", () => transfer(current(), name), { kind: "small", label: `Transfer ${name}` }),
    button("End", () => end(current(), name), { kind: "small danger", label: `End the call of ${name}` }),
  ];
}

async function end(call, name) {
  if (!(await confirmed("End this call?", `${name} is hung up on at once.`, "End call"))) return;
  await attempt(async () => warn(await ask("POST", "/v2/sip/call/end", { callId: call.id })));
}

function move(call, name) {
  const room = input("roomId", { value: call.roomId ?? "", maxlength: 128, required: true });
  const hint = "A name that no room has makes a new one. Whoever is moved hears no gap.";
  steer(`Move ${name} to a room`, field("Room", room, { hint }), "Move", "/v2/sip/call/switch-room", call);
}

function transfer(call, name) {
  const number = input("transferTo", { type: "tel", maxlength: 20, placeholder: "+14155550123", required: true });
  const hint = "With + and the country code. The caller leaves the room, and the provider dials on.";
  steer(`Transfer ${name}`, field("Number", number, { hint }), "Transfer", "/v2/sip/call/transfer", call);
}

function steer(title, control, verb, path, call) {
  openDialog(title, (close) =>
    form([control], {
      verb,
      cancel: close,
      submit: async (values) => {
        warn(await ask("POST", path, { callId: call.id, ...values }));
        close();
      },
    }),
  );
}

function warn({ warnings = [] }) {
  for (const sentence of warnings) notify(sentence, { bad: true });
}
