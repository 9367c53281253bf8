/** A connector's settings: name, room, routing rule and region. */

import { ask, askAll } from "../api.js";
import { button, done, facts, openDialog, panel, time } from "../components.js";
import { h } from "../dom.js";
import { field, form, input, select } from "../forms.js";
import { href } from "../router.js";

/** Build the panel with its edit dialog. It calls `changed(answer)` with the API's answer after a change. */
export function settings(connector, rules, changed) {
  const edit = () => openEditor(connector, rules, changed);
  const rule = rules.find(({ id }) => id === connector.defaultRuleId);
  return panel(
    "Settings",
    { actions: [button("Edit", edit, { kind: "small", label: "Edit settings" })] },
    facts([
      ["Name", connector.name || h("span.soft", "none")],
      ["Room", roomOf(connector)],
      ["Routing rule", rule ? rule.name : h("span.soft", "the rule of the called number, if any")],
      ["Region", connector.region ?? h("span.soft", "by the caller's country")],
      ["Created", time(connector.createdAt)],
      ["Id", h("code", connector.id)],
    ]),
  );
}

function roomOf({ defaultRoomId }) {
  if (!defaultRoomId) return h("span.soft", "none: calls without a rule are rejected");
  return h("a", { href: href("rooms", defaultRoomId) }, defaultRoomId);
}

function openEditor(connector, rules, changed) {
  openDialog("Edit connector", (close) =>
    form(
      [
        field("Name", input("name", { maxlength: 128, value: connector.name ?? "" })),
        field("Room", input("defaultRoomId", { maxlength: 128, value: connector.defaultRoomId ?? "" }), {
          hint: "The room of its calls, unless a rule decides. A new name creates a room.",
        }),
        field(
          "Routing rule",
          select(
            "defaultRuleId",
            [["", "None"], ...rules.map(({ id, name }) => [id, name])],
            connector.defaultRuleId ?? "",
          ),
          { hint: "For calls to numbers that have no rule." },
        ),
        field("Region", input("region", { maxlength: 32, value: connector.region ?? "" }), {
          hint: "Such as us002. If empty, the caller's country decides.",
        }),
      ],
      {
        verb: "Save",
        cancel: close,
        submit: async (values) => {
          const changes = Object.entries(values).map(([name, value]) => [name, value || null]);
          const answer = await ask("PATCH", `/v2/connectors/${connector.id}`, Object.fromEntries(changes));
          close();
          done("The connector is saved.");
          changed(answer);
        },
      },
    ),
  );
}

/** Fetch the rules that a connector can refer to. */
export function inboundRules() {
  return askAll("/v2/sip/routing-rule", { type: "inbound" });
}
