/** Webhooks: who is told of what happens to calls. */

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
          "Have your own server told when calls start, are answered and end. Create one with its URL; what is sent to it " +
            "is kept and tried again for a day.",
          button("New webhook", create, { kind: "primary" }),
        ),
    },
    signal,
  );
  const [{ element }, check] = await Promise.all([list, signatures(signal)]);
  put(
    main,
    heading("Webhooks", {
      lead: "A webhook is told of what happens to calls, by a signed POST for each event.",
      actions: [button("New webhook", create, { kind: "primary" })],
    }),
    h("div.stack", panel("", { flush: true }, element), check),
  );
}

export function eventsOf(names) {
  return areAll(names) ? "all events" : names.join(", ");
}
