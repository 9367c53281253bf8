/** The form of a routing rule: numbers, room, allowed callers, PIN and agent. */

import { ask } from "../api.js";
import { done, openDialog } from "../components.js";
import { h } from "../dom.js";
import { checkbox, choice, field, form, group, input, lines, reveal, select, textarea } from "../forms.js";
import { destination, DYNAMIC, TYPES } from "./describe.js";

const PATH = "/v2/sip/routing-rule";

const NEW = {
  name: "",
  type: "inbound",
  numbers: [],
  room: { type: "static", id: null, pin: null },
  allowedNumbers: [],
  agentId: null,
  hidePhoneNumber: false,
  dtmf: true,
};

/** Open a dialog that edits `rule`, or creates one if it is null, then calls `changed()`. */
export function openRule(rule, agents, changed) {
  const { room, ...now } = rule ?? NEW;
  const roomId = field("Room", input("room.id", { maxlength: 128, value: room.id ?? "" }), {
    hint: "Its name or id. A new name creates a room.",
  });
  const leads = select("room.prefix", [["static", "Always the same room"], ...DYNAMIC], destination(room));
  const pin = input("room.pin", { type: "password", inputmode: "numeric", maxlength: 16, value: room.pin ?? "" });
  const callers = h(
    "div.stack",
    field("Allowed callers", textarea("allowedNumbers", { value: now.allowedNumbers.join("\n") }), {
      hint: "Numbers or patterns such as +91*, one on each line. Empty allows everybody.",
    }),
    field("PIN", pin, {
      hint: "1 to 16 digits that the caller must enter. Empty asks for none.",
      beside: reveal(pin, "the PIN"),
    }),
  );
  const types = h("div.cards", TYPES.map(([value, text]) => choice("type", value, text, value === now.type)));

  function arrange() {
    roomId.hidden = leads.value !== "static";
    callers.hidden = types.querySelector(":checked").value !== "inbound";
  }
  leads.addEventListener("change", arrange);
  types.addEventListener("change", arrange);
  arrange();

  openDialog(rule ? `Edit ${rule.name}` : "New rule", (close) =>
    form(
      [
        field("Name", input("name", { maxlength: 128, value: now.name })),
        !rule && group("For", "type", types),
        field("Numbers", textarea("phoneNumbers", { value: now.numbers.join("\n") }), {
          hint: "One on each line, such as +14155550100: the numbers that are called, or that place calls.",
        }),
        field("Destination", leads),
        roomId,
        callers,
        field("Agent", select("agentId", choices(agents, now.agentId), now.agentId ?? ""), {
          hint: "Sent into the room of each call.",
        }),
        checkbox("hidePhoneNumber", "Hide the phone number", {
          checked: now.hidePhoneNumber,
          hint: "The room sees *** and the last two digits.",
        }),
        checkbox("dtmf", "Send pressed keys to the room", { checked: now.dtmf }),
      ],
      {
        verb: rule ? "Save" : "Create rule",
        cancel: close,
        submit: async (values) => {
          const sent = bodyOf({ type: now.type, ...values });
          const answer = rule
            ? await ask("PATCH", `${PATH}/${encodeURIComponent(rule.id)}`, sent)
            : await ask("POST", PATH, sent);
          close();
          done(rule ? "The rule is saved." : "The rule is created.", answer);
          await changed();
        },
      },
    ),
  );
}

/** List the options: none, every agent, and the current agent even if it was deleted. */
function choices(agents, agentId) {
  const isUnknown = agentId && !agents.some(({ id }) => id === agentId);
  return [
    ["", "None"],
    ...agents.map(({ id, name }) => [id, name]),
    ...(isUnknown ? [[agentId, `${agentId} (no such agent)`]] : []),
  ];
}

/** Build the request body, without the fields that are hidden for this type of rule. */
function bodyOf(values) {
  const isInbound = values.type === "inbound";
  const prefix = values["room.prefix"];
  const leads =
    prefix === "static" ? { type: prefix, id: values["room.id"] || null } : { type: "dynamic", prefix };
  return {
    name: values.name,
    type: values.type,
    phoneNumbers: lines(values.phoneNumbers),
    room: { ...leads, ...(isInbound && { pin: values["room.pin"] || null }) },
    ...(isInbound && { allowedNumbers: lines(values.allowedNumbers) }),
    agentId: values.agentId || null,
    hidePhoneNumber: values.hidePhoneNumber,
    dtmf: values.dtmf,
  };
}
