/** One connector: setup instructions, its latest call, settings and credentials. */

import { ask } from "../api.js";
import { attempt, button, confirmed, done, heading, panel } from "../components.js";
import { credentials } from "../connector/credentials.js";
import { firstCall } from "../connector/first-call.js";
import { inboundRules, settings } from "../connector/settings.js";
import { steps, unreachable } from "../connector/steps.js";
import { h, put } from "../dom.js";
import { provider } from "../format.js";
import { go } from "../router.js";
import { testCallButton } from "../test-call.js";
import { nameOf } from "./connectors.js";

export const title = "Connector";

export async function show(main, { id }, signal) {
  const path = `/v2/connectors/${encodeURIComponent(id)}`;
  const first = await ask("GET", path, undefined, { signal });
  const [rules, line] = await Promise.all([inboundRules(), firstCall(first.data, signal)]);

  function draw({ data: connector, warnings = [] }) {
    put(
      main,
      heading(nameOf(connector), {
        lead: `Receives the calls of your ${provider(connector.provider)} numbers.`,
        actions: [
          testCallButton(id, { kind: "primary" }),
          button("New webhook URL", rotate),
          button("Delete", () => remove(connector), { kind: "danger" }),
        ],
      }),
      h(
        "div.stack",
        warnings.map((sentence) => h("p.note", sentence)),
        panel(`Set up at ${provider(connector.provider)}`, {}, h("div.stack", unreachable(connector), steps(connector), line)),
        settings(connector, rules, redraw),
        credentials(connector, redraw),
      ),
    );
  }

  /** Draw again, and focus the heading, because the focused element is replaced. */
  function redraw(answer) {
    draw(answer);
    main.querySelector("h1").focus({ preventScroll: true });
  }

  async function rotate() {
    const text =
      "The current URL stops working immediately. Calls fail until you paste the new one into the provider's console.";
    if (!(await confirmed("Create a new webhook URL?", text, "Create a new URL"))) return;
    await attempt(async () => {
      const answer = await ask("POST", `${path}/rotate-key`);
      done("There is a new webhook URL: paste it into the provider's console.");
      redraw(answer);
    });
  }

  async function remove(connector) {
    const text = "Its webhook URL stops working immediately, and new calls to it fail. Current calls go on.";
    if (!(await confirmed(`Delete ${nameOf(connector)}?`, text, "Delete connector"))) return;
    await attempt(async () => {
      await ask("DELETE", path);
      done("The connector is deleted.");
      go("/console/connectors");
    });
  }

  draw(first);
}
