/** The list of connectors, and the dialog that creates one. */

import { ask } from "../api.js";
import { button, empty, heading, maskedWebhook, openDialog, panel, secret, table, time } from "../components.js";
import { h, put } from "../dom.js";
import { PROVIDERS, provider } from "../format.js";
import { choice, field, filled, form, input } from "../forms.js";
import { go, href } from "../router.js";
import { testCallButton } from "../test-call.js";

export const title = "Connectors";

const PHONE_PROVIDERS = ["twilio", "plivo", "telnyx"];

export async function show(main) {
  const { data } = await ask("GET", "/v2/connectors");
  put(
    main,
    heading("Connectors", {
      lead: "A connector receives the calls of one provider. Paste its webhook URL into the provider's console.",
      actions: [data.length > 0 && testCallButton(), button("New connector", create, { kind: "primary" })],
    }),
    panel("", { flush: true }, data.length ? list(data) : nothing()),
  );
}

function list(connectors) {
  return table(
    "Connectors",
    [
      { heading: "Name", cell: (each) => h("a", { href: href("connectors", each.id) }, nameOf(each)) },
      { heading: "Provider", cell: (each) => provider(each.provider) },
      { heading: "Room", cell: (each) => room(each) },
      { heading: "Webhook URL", cell: (each) => secret(each.webhookUrl, "the webhook URL", maskedKey) },
      { heading: "Created", cell: (each) => time(each.createdAt) },
    ],
    connectors,
  );
}

export function nameOf(connector) {
  return connector.name || connector.id;
}

function room({ defaultRoomId, defaultRuleId }) {
  if (defaultRuleId) return "by its routing rule";
  if (!defaultRoomId) return h("span.soft", "by routing rules");
  return h("a", { href: href("rooms", defaultRoomId) }, defaultRoomId);
}

function maskedKey(url) {
  return maskedWebhook(url).split("/").pop();
}

function nothing() {
  return empty(
    "No connector yet",
    "Create one for the provider of your number. You can try it without an account: a test call takes the same path as a real one.",
    button("New connector", create, { kind: "primary" }),
  );
}

function create() {
  openDialog("New connector", (close) =>
    form(
      [
        h(
          "fieldset",
          h("legend", "Provider"),
          h("div.cards", PHONE_PROVIDERS.map((name, index) => choice("provider", name, PROVIDERS[name], index === 0))),
        ),
        field("Name", input("name", { maxlength: 128 }), { hint: "A name for your own use, such as the number." }),
        field("Room", input("defaultRoomId", { value: "demo-room-0001", maxlength: 128 }), {
          hint: "The room of its calls. A new name creates a room. Leave it empty if routing rules decide.",
        }),
      ],
      {
        verb: "Create connector",
        cancel: close,
        submit: async (values) => {
          const { data } = await ask("POST", "/v2/connectors", filled(values));
          close();
          go(href("connectors", data.id));
        },
      },
    ),
  );
}
