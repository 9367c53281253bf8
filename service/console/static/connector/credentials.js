/** A connector's credentials, which can be set, replaced and removed, but not read. */

import { ask } from "../api.js";
import { attempt, button, confirmed, done, openDialog, panel, pill, table } from "../components.js";
import { h } from "../dom.js";
import { field, form, input, reveal } from "../forms.js";

/** Credentials by provider. `isSecret` hides the input; `signs` marks a key that checks signatures. */
const CREDENTIALS = {
  twilio: [
    { name: "accountSid", use: "Calls of another account are refused. Needed to place calls." },
    {
      name: "authToken",
      use: "Checks signatures, so that only Twilio is accepted. Needed to place calls. A SharedKey's secret works too.",
      isSecret: true,
      signs: true,
    },
  ],
  plivo: [
    { name: "authId", use: "Needed to place calls." },
    {
      name: "authToken",
      use: "Checks signatures, so that only Plivo is accepted. From the number's account or the main account. " +
        "Needed to place calls.",
      isSecret: true,
      signs: true,
    },
  ],
  telnyx: [
    {
      name: "publicKey",
      use: "Checks signatures, so that only Telnyx is accepted. Set the application's method to POST.",
      signs: true,
    },
    { name: "apiKey", use: "Needed to place calls.", isSecret: true },
    { name: "accountSid", use: "Needed to place calls. Telnyx's webhooks contain it." },
    { name: "applicationId", use: "Needed to place calls. The id of the TeXML application." },
  ],
};

/** Build the panel. It calls `changed(answer)` with the API's answer after a change. */
export function credentials(connector, changed) {
  const path = `/v2/connectors/${connector.id}`;

  function open({ name, use, isSecret, signs }) {
    const verb = connector.credentials.includes(name) ? "Replace" : "Set";
    openDialog(`${verb} ${name}`, (close) => {
      const kind = { type: isSecret ? "password" : "text", spellcheck: "false" };
      const value = input(`credentials.${name}`, kind);
      const before = input("before", kind);
      return [
        h("p.soft", use),
        form(
          [
            field(name, value, { beside: isSecret && reveal(value, name) }),
            verb === "Replace" && signs && field("Previous value", before, {
              hint: "Optional. Requests signed with either value are accepted until you set the new one alone.",
              beside: isSecret && reveal(before, "the previous value"),
            }),
          ],
          {
            verb,
            cancel: close,
            submit: async () => {
              const values = [value.value, before.value].filter(Boolean);
              const answer = await ask("PATCH", path, {
                credentials: { [name]: values.length > 1 ? values : value.value },
              });
              close();
              done(`${name} is set.`);
              changed(answer);
            },
          },
        ),
      ];
    });
  }

  async function remove(sent, title, verb) {
    const text = "Without a credential that checks signatures, anybody who has the webhook URL can start calls.";
    if (!(await confirmed(title, text, verb))) return;
    await attempt(async () => {
      const answer = await ask("PATCH", path, { credentials: sent });
      done("Removed.");
      changed(answer);
    });
  }

  function actions(each) {
    const isSet = connector.credentials.includes(each.name);
    const verb = isSet ? "Replace" : "Set";
    return h(
      "div.row",
      button(verb, () => open(each), { kind: "small", label: `${verb} ${each.name}` }),
      isSet && button(
        "Remove",
        () => remove({ [each.name]: null }, `Remove ${each.name}?`, "Remove"),
        { kind: "small", label: `Remove ${each.name}` },
      ),
    );
  }

  return panel(
    "Credentials",
    {
      flush: true,
      actions: [
        connector.credentials.length > 0 &&
          button("Remove all", () => remove(null, "Remove all credentials?", "Remove all"), { kind: "small" }),
      ],
    },
    h(
      "p.inside.soft",
      "Those of your provider account. They are stored encrypted, sent only to the provider, and never shown again.",
    ),
    table(
      "Credentials",
      [
        { heading: "Name", cell: ({ name }) => h("code", name) },
        { heading: "For", cell: ({ use }) => use },
        { heading: "State", cell: ({ name }) => (connector.credentials.includes(name) ? pill("set", "good") : pill("not set")) },
        { heading: "", cell: actions, ends: true },
      ],
      CREDENTIALS[connector.provider] ?? [],
    ),
  );
}
