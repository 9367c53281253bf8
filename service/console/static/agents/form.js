/** The form of an agent, and sending one into a room. */

import { ask } from "../api.js";
import { done, openDialog } from "../components.js";
import { field, form, input, textarea } from "../forms.js";

const PATH = "/v2/agents";

/** A dialog that changes `agent`, or makes one where it is null; then `changed()`. */
export function openAgent(agent, changed) {
  openDialog(agent ? `Edit ${agent.name}` : "New agent", (close) =>
    form(
      [
        field("Name", input("name", { maxlength: 128, value: agent?.name ?? "" })),
        field("URL", input("url", { type: "url", maxlength: 512, placeholder: "https://", value: agent?.url ?? "" }), {
          hint: "Where the program is asked to come: it gets a signed POST, and opens the WebSocket that this names.",
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

/** A dialog that sends an agent into a room, and says whether it comes. */
export function openDispatch(agent) {
  openDialog(`Send ${agent.name} into a room`, (close) =>
    form(
      [
        field("Room", input("roomId", { maxlength: 128 }), { hint: "Its name or id. A new name makes a new room." }),
        field("Metadata", textarea("metadata", { placeholder: '{"language": "en"}' }), {
          hint: "Optional: a JSON object that the agent is given.",
        }),
      ],
      {
        verb: "Send",
        busyVerb: "Asking it …",
        cancel: close,
        submit: async ({ roomId, metadata }) => {
          const answer = await ask("POST", "/v2/agent/dispatch", {
            agentId: agent.id,
            roomId,
            metadata: metadata ? objectIn(metadata) : null,
          });
          close();
          done(`${agent.name} comes into ${roomId}.`, answer);
        },
      },
    ),
  );
}

/** What a JSON text says; what is none is the server's to refuse. */
function objectIn(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
