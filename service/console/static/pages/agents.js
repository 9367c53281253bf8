/** The list of agents, programs that can be sent into a room. */

import { openAgent, openDispatch } from "../agents/form.js";
import { ask } from "../api.js";
import { attempt, button, confirmed, done, empty, heading, panel, time } from "../components.js";
import { h, put } from "../dom.js";
import { listing } from "../listing.js";

export const title = "Agents";

export async function show(main, params, signal) {
  const open = (agent) => openAgent(agent, list.refresh);

  async function remove(agent) {
    const text = "Neither you nor a rule can send it any more. It stays in the rooms that it is in.";
    if (!(await confirmed(`Delete ${agent.name}?`, text, "Delete agent"))) return;
    await attempt(async () => {
      await ask("DELETE", `/v2/agents/${encodeURIComponent(agent.id)}`);
      done("The agent is deleted.");
      await list.refresh();
    });
  }

  const list = await listing(
    {
      path: "/v2/agents",
      one: "agent",
      columns: [
        { heading: "Name", cell: ({ name }) => h("span.long", name) },
        { heading: "URL", cell: ({ url }) => h("span.long", url) },
        { heading: "Created", cell: ({ createdAt }) => time(createdAt) },
        {
          heading: "",
          ends: true,
          cell: (agent) =>
            h(
              "div.row",
              button("Send into a room", () => openDispatch(agent), {
                kind: "small",
                label: `Send ${agent.name} into a room`,
              }),
              button("Edit", () => open(agent), { kind: "small", label: `Edit ${agent.name}` }),
              button("Delete", () => remove(agent), { kind: "small", label: `Delete ${agent.name}` }),
            ),
        },
      ],
      nothing: () =>
        empty(
          "No agent yet",
          "An agent is a program that listens at a URL and opens a WebSocket when it is sent into a room, by a routing rule " +
            "for each call or from this page. The folder examples has two to start with.",
          button("New agent", () => open(null), { kind: "primary" }),
        ),
    },
    signal,
  );
  put(
    main,
    heading("Agents", {
      lead: "An agent is a program of yours that joins a room when it is sent there.",
      actions: [button("New agent", () => open(null), { kind: "primary" })],
    }),
    panel("", { flush: true }, list.element),
  );
}
