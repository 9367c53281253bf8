/** The form of a webhook: its URL and its events. */

import { ask } from "../api.js";
import { done, openDialog } from "../components.js";
import { h } from "../dom.js";
import { checkbox, field, form, group, input } from "../forms.js";
import { areAll, EVENTS } from "./events.js";

const PATH = "/v2/sip/webhooks";

/** Open a dialog that edits `webhook`, or creates one if it is null, then calls `changed(webhook)`. */
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
          hint: "An address of your server. It receives a signed POST with JSON for each event.",
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
