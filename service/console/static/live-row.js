/** A table row of a call in progress, updated until the call ends. */

import { ask } from "./api.js";
import { attempt, button, confirmed, notify, openDialog, pill, tableRow } from "./components.js";
import { h, put } from "./dom.js";
import { counted, duration, provider } from "./format.js";
import { field, form, input } from "./forms.js";
import { statusState } from "./ladder.js";
import { nodeLine } from "./nodes.js";
import { meter } from "./meters.js";
import { href } from "./router.js";

export const COLUMNS = [
  { heading: "Caller", cell: (cells) => cells.caller },
  { heading: "Room", cell: (cells) => cells.room },
  { heading: "Duration", number: true, cell: (cells) => cells.duration },
  { heading: "Audio", cell: (cells) => cells.audio },
  { heading: "Quality", cell: (cells) => cells.quality },
  { heading: "", ends: true, cell: (cells) => cells.actions },
];

/** Build a row: {element, update(call), tick(now), measure(levels)}. Levels are those of onLevels, or null. */
export function liveRow(first) {
  let call = first;
  const isPhone = call.provider !== "websocket";
  const other = call.type === "outbound" ? call.to : call.from;
  const name = isPhone ? other : call.participantName;
  const said = meter(`What ${name} says`);
  const heard = meter(`What ${name} hears`);
  const status = h("span");
  const room = h("span");
  const elapsed = h("span");
  const quality = h("div.line-quality");
  let qualityText = "";
  let place;
  const element = tableRow(COLUMNS, {
    caller: [h("a", { href: href("calls", call.id) }, name), " ", status, h("div.also", about(call))],
    room,
    duration: elapsed,
    audio: h("div.sound", h("span.soft", "says"), said.element, h("span.soft", "hears"), heard.element),
    quality,
    actions: h("div.row-actions", actions(() => call, name, isPhone)),
  });

  function update(changed) {
    call = changed;
    const state = call.detached && call.status === "answered" ? "reconnecting" : call.status;
    put(status, state !== "answered" && pill(state, state === "reconnecting" ? "warn" : statusState(state)));
    // The link may have the focus, so it is replaced only when the room or its node changes.
    const next = `${call.roomId} ${call.node}`;
    if (place === next) return;
    place = next;
    const { roomId } = call;
    put(room, roomId ? h("a", { href: href("rooms", roomId) }, roomId) : h("span.soft", "none yet"), nodeLine(call));
  }

  function tick(now) {
    put(elapsed, duration(now - (call.answered ?? call.start)));
  }

  function measure(levels) {
    const [says, hears, lost, jitter] = levels ?? [null, null];
    said.show(says);
    heard.show(hears);
    const next = levels ? `${counted(lost, "frame")} lost|${jitter.toFixed(1)} ms jitter` : "no audio";
    if (next === qualityText) return;
    qualityText = next;
    put(quality, next.split("|").map((text) => h("span", { class: levels ? null : "soft" }, text)));
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

function actions(current, name, isPhone) {
  return [
    button("Move", () => move(current(), name), { kind: "small", label: `Move ${name} to another room` }),
    isPhone && button("Transfer", () => transfer(current(), name), { kind: "small", label: `Transfer ${name}` }),
    button("End", () => end(current(), name), { kind: "small danger", label: `End the call of ${name}` }),
  ];
}

async function end(call, name) {
  if (!(await confirmed("End this call?", `The call of ${name} ends immediately.`, "End call"))) return;
  await attempt(async () => warn(await ask("POST", "/v2/sip/call/end", { callId: call.id })));
}

function move(call, name) {
  const room = input("roomId", { value: call.roomId ?? "", maxlength: 128, required: true });
  const hint = "A new name creates a room. The caller hears no gap.";
  steer(`Move ${name} to a room`, field("Room", room, { hint }), "Move", "/v2/sip/call/switch-room", call);
}

function transfer(call, name) {
  const number = input("transferTo", { type: "tel", maxlength: 20, placeholder: "+14155550123", required: true });
  const hint = "With + and the country code. The caller leaves the room, and the provider dials the number.";
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
