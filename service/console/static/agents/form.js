/** The form of an agent, and the dialog that sends one into a room. */

import { ask } from "../api.js";
import { done, openDialog } from "../components.js";
import { field, form, input, textarea } from "../forms.js";

const PATH = "/v2/agents";

/** Open a dialog that edits `agent`, or creates one if it is null, then calls `changed()`. */
export function openAgent(agent, changed) {
  openDialog(agent ? `Edit ${agent.name}` : "New agent", (close) =>
    form(
      [
        field("Name", input("name", { maxlength: 128, value: agent?.name ?? "" })),
        field("URL", input("url", { type: "url", maxlength: 512, placeholder: "https://", value: agent?.url ?? "" }), {
          hint: "The program's address. It receives a signed POST, and opens the WebSocket that this names.",
        }),
      ],
      {
        verb: agent ? "Save" : "Create agent",
        cancel: close,
        submit: async (values) => {
          const answer = agent
            ? await ask("PATCH", `${PATH}/${encodeURIComponent(agent.id)}`, values)
            : await ask("POST", PATH, values);
          close();
          done(agent ? "The agent is saved." : "The agent is created.", answer);
          await changed();
        },
      },
    ),
  );
}

/** Open a dialog that sends an agent into a room, and shows whether it accepts. */
export function openDispatch(agent) {
  openDialog(`Send ${agent.name} into a room`, (close) =>
    form(
      [
        field("Room", input("roomId", { maxlength: 128 }), { hint: "Its name or id. A new name creates a room." }),
        field("Metadata", textarea("metadata", { placeholder: '{"language": "en"}' }), {
          hint: "Optional. A JSON object for the agent.",
        }),
      ],
      {
        verb: "Send",
        busyVerb: "Sending …",
        cancel: close,
        submit: async ({ roomId, metadata }) => {
          const answer = await ask("POST", "/v2/agent/dispatch", {
            agentId: agent.id,
            roomId,
            metadata: metadata ? parsed(metadata) : null,
          });
          close();
          done(`${agent.name} joins ${roomId}.`, answer);
        },
      },
    ),
  );
}

/** Parse a JSON text. Text that is not JSON is returned as it is, and the server rejects it. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
