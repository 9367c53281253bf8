/** A connector's credentials, which can be set, replaced and removed, and never read. */

import { ask } from "../api.js";
import { attempt, button, confirmed, done, openDialog, panel, pill, table } from "../components.js";
import { h } from "../dom.js";
import { field, form, input, reveal } from "../forms.js";

/** What each is for. `isSecret`: nobody should see it being typed; `signs`: signatures are checked with it. */
const OFFERED = {
  twilio: [
    { name: "accountSid", use: "Calls of another account are refused. Needed to place calls." },
    {
      name: "authToken",
      use: "Checks signatures, so that only Twilio gets in. Needed to place calls. A SharedKey's secret will do.",
      isSecret: true,
      signs: true,
    },
  ],
  plivo: [
    { name: "authId", use: "Needed to place calls." },
    {
      name: "authToken",
      use: "Checks signatures, so that only Plivo gets in; that of the number's account or of the main account. " +
        "Needed to place calls.",
      isSecret: true,
      signs: true,
    },
  ],
  telnyx: [
    {
      name: "publicKey",
      use: "Checks signatures, so that only Telnyx gets in. Set the application's method to POST.",
      signs: true,
    },
    { name: "apiKey", use: "Needed to place calls.", isSecret: true },
    { name: "accountSid", use: "Needed to place calls; Telnyx's webhooks say it." },
    { name: "applicationId", use: "Needed to place calls: the id of the TeXML application." },
  ],
};

/** The panel; `changed(answer)` is called with the connector's answer. */
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
            verb === "Replace" && signs && field("The one before", before, {
              hint: "Optional. Until you set the new one alone, requests signed with either get in.",
              beside: isSecret && reveal(before, "the one before"),
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
    const text = "Where nothing is left that signatures are checked with, whoever has the webhook URL can start calls.";
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
      "Of the provider account. They are encrypted, leave Patchbay for the provider only, and nobody can read them here again.",
    ),
    table(
      "Credentials",
      [
        { heading: "Name", cell: ({ name }) => h("code", name) },
        { heading: "For", cell: ({ use }) => use },
        { heading: "State", cell: ({ name }) => (connector.credentials.includes(name) ? pill("set", "good") : pill("not set")) },
        { heading: "", cell: actions, ends: true },
      ],
      OFFERED[connector.provider] ?? [],
    ),
  );
}
