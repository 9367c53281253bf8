/** What to click in each provider's console, so that its calls reach a connector. */

import { maskedWebhook, secret } from "../components.js";
import { h } from "../dom.js";

const STEPS = {
  twilio: (url) => [
    ["In the Twilio Console open ", way("Phone Numbers", "Manage", "Active numbers"), ", choose your number and go to ",
      way("Voice Configuration"), "."],
    [way("A call comes in"), ": choose ", way("Webhook"), ", paste this URL and choose ", way("HTTP POST"), ".",
      paste(url, "the webhook URL")],
    [way("Call status changes"), ": paste this URL, so that Patchbay hears of the end of a call also while it is being " +
      "transferred.", paste(`${url}/status`, "the status URL")],
    [way("Save configuration"), "."],
  ],
  plivo: (url) => [
    ["In the Plivo Console open ", way("Voice", "Applications", "Add New Application"), "."],
    [way("Primary Answer URL"), ": paste this URL and choose the method ", way("POST"), ".", paste(url, "the webhook URL")],
    ["Leave the ", way("Hangup URL"), " empty: Plivo then tells the answer URL when a call ends. Create the application."],
    ["Open ", way("Phone Numbers"), " and choose your number. ", way("Application Type"), ": choose ",
      way("XML Application"), ", then the application you have made."],
  ],
  telnyx: (url) => [
    ["In the Telnyx Portal open ", way("Voice", "Programmable Voice", "TeXML Applications", "Create"), "."],
    [way("Webhook URL"), ": paste this URL.", paste(url, "the webhook URL")],
    ["Set the method to ", way("POST"), "; what Telnyx signs is the body of a POST. Save the application."],
    ["Open ", way("Numbers", "My Numbers"), " and choose your number. ", way("Connection or Application"),
      ": choose the application you have made."],
  ],
};

/** For a provider whose console is not known here. */
const ANYWHERE = (url) => [
  ["In the provider's console, have the calls of your number ask this URL, with the method ", way("POST"), ".",
    paste(url, "the webhook URL")],
];

/** The numbered list for a connector, with the URL at the step that asks for it. */
export function steps({ provider, webhookUrl }) {
  return h("ol.steps", (STEPS[provider] ?? ANYWHERE)(webhookUrl).map((step) => h("li", step)), h("li", "Call your number."));
}

/** Why the provider cannot reach the connector, if that can be told from its URL. */
export function unreachable({ webhookUrl }) {
  const { origin, protocol } = new URL(webhookUrl);
  if (protocol === "https:") return null;
  return h(
    "p.note",
    "The provider cannot reach ",
    h("code", origin),
    ": it needs an https address. Deploy Patchbay or open a tunnel to it, and set ",
    h("code", "PUBLIC_URL"),
    " to the address outside. A test call works without.",
  );
}

function way(...names) {
  return h("b", names.join(" → "));
}

function paste(url, what) {
  return secret(url, what, maskedWebhook);
}
