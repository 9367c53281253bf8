/** The form of a routing rule: which numbers, where they lead, who may, and what else. */

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

/** A dialog that changes `rule`, or makes one where it is null; then `changed()`. */
export function openRule(rule, agents, changed) {
  const { room, ...now } = rule ?? NEW;
  const roomId = field("Room", input("room.id", { maxlength: 128, value: room.id ?? "" }), {
    hint: "Its name or id. A new name makes a new room.",
  });
  const leads = select("room.prefix", [["static", "Always the same room"], ...DYNAMIC], destination(room));
  const pin = input("room.pin", { type: "password", inputmode: "numeric", maxlength: 16, value: room.pin ?? "" });
  const callers = h(
    "div.stack",
    field("Callers who are let in", textarea("allowedNumbers", { value: now.allowedNumbers.join("\n") }), {
      hint: "One on each line: numbers, or patterns such as +91*. Empty: everybody.",
    }),
    field("PIN", pin, {
      hint: "1 to 16 digits that the caller is asked for. Empty: none.",
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
          hint: "One on each line, such as +14155550100: the numbers that are called, or that calls are placed from.",
        }),
        field("They lead to", leads),
        roomId,
        callers,
        field("Agent", select("agentId", choices(agents, now.agentId), now.agentId ?? ""), {
          hint: "Sent into the room of each call.",
        }),
        checkbox("hidePhoneNumber", "Hide the phone number", {
          checked: now.hidePhoneNumber,
          hint: "The room sees *** and the last two digits.",
        }),
        checkbox("dtmf", "Tell the room of pressed keys", { checked: now.dtmf }),
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

/** None, every agent, and the one that is named now though there is none of that id. */
function choices(agents, agentId) {
  const isUnknown = agentId && !agents.some(({ id }) => id === agentId);
  return [
    ["", "None"],
    ...agents.map(({ id, name }) => [id, name]),
    ...(isUnknown ? [[agentId, `${agentId} (there is no such agent)`]] : []),
  ];
}

/** Nothing of what is not shown for rules of this type. */
function bodyOf(values) {
  const asks = values.type === "inbound";
  const prefix = values["room.prefix"];
  const leads =
    prefix === "static" ? { type: prefix, id: values["room.id"] || null } : { type: "dynamic", prefix };
  return {
    name: values.name,
    type: values.type,
    phoneNumbers: lines(values.phoneNumbers),
    room: { ...leads, ...(asks && { pin: values["room.pin"] || null }) },
    ...(asks && { allowedNumbers: lines(values.allowedNumbers) }),
    agentId: values.agentId || null,
    hidePhoneNumber: values.hidePhoneNumber,
    dtmf: values.dtmf,
  };
}
