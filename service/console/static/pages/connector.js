/** One connector: what to paste where, and what can be done with it. */

import { ask } from "../api.js";
import { h, put } from "../dom.js";
import { provider } from "../format.js";
import { attempt, button, confirmed, facts, heading, maskedWebhook, notify, panel, secret, time } from "../parts.js";
import { go } from "../router.js";
import { trialButton } from "../trial.js";
import { nameOf } from "./connectors.js";

export const title = "Connector";

export async function show(main, { id }) {
  const path = `/v2/connectors/${encodeURIComponent(id)}`;
  const { data: connector, warnings = [] } = await ask("GET", path);

  async function rotate() {
    const text =
      "The URL that is in the provider's console now stops at once: calls fail until you paste the new one.";
    if (!(await confirmed("Make a new webhook URL?", text, "Make a new URL"))) return;
    await attempt(async () => {
      await ask("POST", `${path}/rotate-key`);
      notify("There is a new webhook URL: paste it into the provider's console.");
      await show(main, { id });
    });
  }

  async function remove() {
    const text = "Its webhook URL stops at once, and new calls to it fail. Calls that are up stay up.";
    if (!(await confirmed(`Delete ${nameOf(connector)}?`, text, "Delete connector"))) return;
    await attempt(async () => {
      await ask("DELETE", path);
      notify("The connector is deleted.");
      go("/console/connectors");
    });
  }

  put(
    main,
    heading(nameOf(connector), {
      actions: [
        trialButton(id, { kind: "primary" }),
        button("New webhook URL", rotate),
        button("Delete", remove, { kind: "danger" }),
      ],
    }),
    h(
      "div.stack",
      warnings.map((sentence) => h("p.form-fault", sentence)),
      panel(
        "Set up",
        {},
        facts([
          ["Provider", provider(connector.provider)],
          ["Webhook URL", secret(connector.webhookUrl, "the webhook URL", maskedWebhook)],
          ["Created", time(connector.createdAt)],
        ]),
      ),
    ),
  );
}
