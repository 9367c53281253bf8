/** The form of a webhook: who is told, and of what. */

import { ask } from "../api.js";
import { done, openDialog } from "../components.js";
import { h } from "../dom.js";
import { checkbox, field, form, group, input } from "../forms.js";
import { areAll, EVENTS } from "./events.js";

const PATH = "/v2/sip/webhooks";

/** A dialog that changes `webhook`, or makes one where it is null; then `changed(webhook)`. */
export function openWebhook(webhook, changed) {
  const isAll = !webhook || areAll(webhook.events);
  const choice = h("div.events", group("Only these", "events", EVENTS.map(([name, hint]) =>
    checkbox("events", name, { value: name, hint, checked: !isAll && webhook.events.includes(name) }))));
  const all = checkbox("all", "All events", { checked: isAll });
  const box = all.querySelector("input");

  function arrange() {
    choice.hidden = box.checked;
  }
  box.addEventListener("change", arrange);
  arrange();

  openDialog(webhook ? "Edit webhook" : "New webhook", (close) =>
    form(
      [
        field("URL", input("url", { type: "url", maxlength: 512, placeholder: "https://", value: webhook?.url ?? "" }), {
          hint: "Your server. It gets a signed POST with JSON for each event.",
        }),
        all,
        choice,
      ],
      {
        verb: webhook ? "Save" : "Create webhook",
        cancel: close,
        submit: async (values) => {
          const sent = { url: values.url, events: values.all ? ["*"] : values.events };
          const answer = webhook
            ? await ask("PUT", `${PATH}/${encodeURIComponent(webhook.id)}`, sent)
            : await ask("POST", PATH, sent);
          close();
          done(webhook ? "The webhook is saved." : "The webhook is created.", answer);
          await changed(answer);
        },
      },
    ),
  );
}
