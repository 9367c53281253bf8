/** One webhook: its settings and its deliveries. */

import { ask } from "../api.js";
import { attempt, button, confirmed, done, empty, facts, heading, panel, table, time } from "../components.js";
import { h, put, renew } from "../dom.js";
import { poll } from "../poll.js";
import { go } from "../router.js";
import { deliveryStatus } from "../webhooks/delivery-status.js";
import { openWebhook } from "../webhooks/form.js";
import { eventsOf } from "./webhooks.js";

export const title = "Webhook";

export async function show(main, { id }, signal) {
  const path = `/v2/sip/webhooks/${encodeURIComponent(id)}`;
  const log = h("div", { tabindex: "-1" });
  const first = await ask("GET", path, undefined, { signal });

  let shown = null;
  async function refresh() {
    const { data } = await ask("GET", `${path}/deliveries`, undefined, { signal });
    const state = JSON.stringify(data);
    if (state === shown) return;
    shown = state;
    renew(log, data.length ? deliveries(data, redeliver) : nothing());
  }

  async function redeliver(delivery) {
    await attempt(async () => {
      await ask("POST", `${path}/deliveries/${encodeURIComponent(delivery.id)}/redeliver`);
      done(`${delivery.event} will be sent again.`);
      await refresh();
    });
  }

  async function remove() {
    const text = "It receives no further events, not even those waiting to be sent.";
    if (!(await confirmed("Delete this webhook?", text, "Delete webhook"))) return;
    await attempt(async () => {
      await ask("DELETE", path);
      done("The webhook is deleted.");
      go("/console/webhooks");
    });
  }

  function draw(webhook) {
    put(
      main,
      heading("Webhook", {
        actions: [
          button("Edit", () => openWebhook(webhook, redraw)),
          button("Delete", remove, { kind: "danger" }),
        ],
      }),
      h(
        "div.stack",
        panel("Settings", {}, facts([
          ["URL", h("span.long", webhook.url)],
          ["Events", eventsOf(webhook.events)],
          ["Created", time(webhook.createdAt)],
          ["Updated", time(webhook.updatedAt)],
          ["Id", h("code", webhook.id)],
        ])),
        panel("Deliveries", { flush: true }, log),
      ),
    );
  }

  function redraw(webhook) {
    draw(webhook);
    main.querySelector("h1").focus({ preventScroll: true });
  }

  await refresh();
  draw(first);
  poll(signal, refresh);
}

function deliveries(all, redeliver) {
  return table(
    "Deliveries, newest first",
    [
      { heading: "Event", cell: ({ event }) => event },
      { heading: "Status", cell: deliveryStatus },
      { heading: "Attempts", number: true, cell: ({ attempts }) => String(attempts) },
      { heading: "Result", cell: resultOf },
      { heading: "Created", cell: ({ createdAt }) => time(createdAt) },
      { heading: "Last attempt", cell: ({ lastAttemptAt }) => time(lastAttemptAt) },
      { heading: "Next attempt", cell: ({ nextAttemptAt }) => time(nextAttemptAt) },
      {
        heading: "",
        ends: true,
        cell: (each) =>
          button("Redeliver", () => redeliver(each), { kind: "small", label: `Redeliver ${each.event}, ${each.id}` }),
      },
    ],
    all,
  );
}

function resultOf({ responseStatus, error }) {
  if (!responseStatus && !error) return h("span.soft", "–");
  return h("div", responseStatus && h("div", `HTTP ${responseStatus}`), error && h("div.soft.small", error));
}

function nothing() {
  return empty(
    "Nothing was sent yet",
    "The events sent to this webhook are listed here. Place a test call through a connector to see some.",
    h("a.button", { href: "/console/connectors" }, "Go to the connectors"),
  );
}
