/** The list of routing rules, which assign rooms to called numbers. */

import { ask, askAll } from "../api.js";
import { attempt, button, confirmed, done, empty, heading, panel, pill } from "../components.js";
import { h, put } from "../dom.js";
import { listing } from "../listing.js";
import { href } from "../router.js";
import { destination, DYNAMIC, TYPES } from "../rules/describe.js";
import { openRule } from "../rules/form.js";

export const title = "Rules";

/** Numbers that are listed; further ones are counted. */
const SHOWN = 3;

export async function show(main, params, signal) {
  const agents = await askAll("/v2/agents");
  const names = new Map(agents.map(({ id, name }) => [id, name]));
  const open = (rule) => openRule(rule, agents, list.refresh);

  async function remove(rule) {
    const text = "Calls to its numbers go to the room of their connector. Current calls stay where they are.";
    if (!(await confirmed(`Delete ${rule.name}?`, text, "Delete rule"))) return;
    await attempt(async () => {
      await ask("DELETE", `/v2/sip/routing-rule/${encodeURIComponent(rule.id)}`);
      done("The rule is deleted.");
      await list.refresh();
    });
  }

  const list = await listing(
    {
      path: "/v2/sip/routing-rule",
      one: "rule",
      columns: [
        { heading: "Name", cell: ({ name }) => h("span.long", name) },
        { heading: "For", cell: ({ type }) => Object.fromEntries(TYPES)[type] },
        { heading: "Numbers", cell: ({ numbers }) => numbersOf(numbers) },
        { heading: "Destination", cell: ({ room }) => destinationOf(room) },
        { heading: "Conditions", cell: conditions },
        { heading: "Agent", cell: ({ agentId }) => agent(agentId, names) },
        {
          heading: "",
          ends: true,
          cell: (rule) =>
            h(
              "div.row",
              button("Edit", () => open(rule), { kind: "small", label: `Edit ${rule.name}` }),
              button("Delete", () => remove(rule), { kind: "small", label: `Delete ${rule.name}` }),
            ),
        },
      ],
      nothing: () =>
        empty(
          "No rule yet",
          "Without rules, all calls of a connector go into its room. Create a rule to send a number's calls to another room, " +
            "to ask for a PIN, to allow only some callers, or to send an agent.",
          button("New rule", () => open(null), { kind: "primary" }),
        ),
    },
    signal,
  );
  put(
    main,
    heading("Rules", {
      lead: "A routing rule decides the room for a called number. Calls to other numbers go to the room of their connector.",
      actions: [button("New rule", () => open(null), { kind: "primary" })],
    }),
    panel("", { flush: true }, list.element),
  );
}

function numbersOf(all) {
  if (all.length === 0) return h("span.soft", "–");
  const more = all.length - SHOWN;
  return h(
    "span",
    { title: more > 0 ? all.join("\n") : null },
    all.slice(0, SHOWN).join(", "),
    more > 0 && ` and ${more} more`,
  );
}

function destinationOf(room) {
  if (room.type === "static") return h("a", { href: href("rooms", room.id) }, room.id);
  return Object.fromEntries(DYNAMIC)[destination(room)];
}

function conditions({ type, room, allowedNumbers, hidePhoneNumber }) {
  const isInbound = type === "inbound";
  const all = [
    isInbound && room.pin && pill("PIN"),
    isInbound && allowedNumbers.length > 0 && pill("allowed callers only"),
    hidePhoneNumber && pill("number hidden"),
  ].filter(Boolean);
  return all.length ? h("div.row", all) : h("span.soft", "–");
}

function agent(agentId, names) {
  if (!agentId) return h("span.soft", "–");
  const name = names.get(agentId);
  return name ? h("span.long", name) : pill("no such agent", "warn");
}
