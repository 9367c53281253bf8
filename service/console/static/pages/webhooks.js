/** The list of webhooks, which receive the events of calls. */

import { button, empty, heading, panel, time } from "../components.js";
import { h, put } from "../dom.js";
import { listing } from "../listing.js";
import { go, href } from "../router.js";
import { areAll } from "../webhooks/events.js";
import { openWebhook } from "../webhooks/form.js";
import { signatures } from "../webhooks/signatures.js";

export const title = "Webhooks";

export async function show(main, params, signal) {
  const create = () => openWebhook(null, ({ id }) => go(href("webhooks", id)));
  const list = listing(
    {
      path: "/v2/sip/webhooks",
      one: "webhook",
      columns: [
        { heading: "URL", cell: ({ id, url }) => h("a", { href: href("webhooks", id) }, url) },
        { heading: "Events", cell: ({ events }) => eventsOf(events) },
        { heading: "Created", cell: ({ createdAt }) => time(createdAt) },
      ],
      nothing: () =>
        empty(
          "No webhook yet",
          "Create one with the URL of your server to be notified when calls start, are answered and end. Failed deliveries " +
            "are retried for a day.",
          button("New webhook", create, { kind: "primary" }),
        ),
    },
    signal,
  );
  const [{ element }, check] = await Promise.all([list, signatures(signal)]);
  put(
    main,
    heading("Webhooks", {
      lead: "A webhook receives a signed POST for each event of a call.",
      actions: [button("New webhook", create, { kind: "primary" })],
    }),
    h("div.stack", panel("", { flush: true }, element), check),
  );
}

export function eventsOf(names) {
  return areAll(names) ? "all events" : names.join(", ");
}
