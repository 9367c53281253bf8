/** Instructions for each provider's console, so that its calls reach a connector. */

import { maskedWebhook, secret } from "../components.js";
import { h } from "../dom.js";

const STEPS = {
  twilio: (url) => [
    ["In the Twilio Console open ", path("Phone Numbers", "Manage", "Active numbers"), ", choose your number and go to ",
      path("Voice Configuration"), "."],
    [path("A call comes in"), ": choose ", path("Webhook"), ", paste this URL and choose ", path("HTTP POST"), ".",
      paste(url, "the webhook URL")],
    [path("Call status changes"), ": paste this URL, so that Patchbay learns of the end of a call even while it is being " +
      "transferred.", paste(`${url}/status`, "the status URL")],
    [path("Save configuration"), "."],
  ],
  plivo: (url) => [
    ["In the Plivo Console open ", path("Voice", "Applications", "Add New Application"), "."],
    [path("Primary Answer URL"), ": paste this URL and choose the method ", path("POST"), ".", paste(url, "the webhook URL")],
    ["Leave the ", path("Hangup URL"), " empty: Plivo then sends the end of a call to the answer URL. Create the application."],
    ["Open ", path("Phone Numbers"), " and choose your number. ", path("Application Type"), ": choose ",
      path("XML Application"), ", then the application you created."],
  ],
  telnyx: (url) => [
    ["In the Telnyx Portal open ", path("Voice", "Programmable Voice", "TeXML Applications", "Create"), "."],
    [path("Webhook URL"), ": paste this URL.", paste(url, "the webhook URL")],
    ["Set the method to ", path("POST"), ", because Telnyx signs the body of a POST. Save the application."],
    ["Open ", path("Numbers", "My Numbers"), " and choose your number. ", path("Connection or Application"),
      ": choose the application you created."],
  ],
};

/** Instructions for any other provider. */
const GENERIC = (url) => [
  ["In the provider's console, set this URL as the webhook for calls to your number, with the method ", path("POST"), ".",
    paste(url, "the webhook URL")],
];

/** Build the numbered instructions for a connector, with its URL at the step that needs it. */
export function steps({ provider, webhookUrl }) {
  return h("ol.steps", (STEPS[provider] ?? GENERIC)(webhookUrl).map((step) => h("li", step)), h("li", "Call your number."));
}

/** Build a warning if the provider cannot reach the connector's URL, else null. */
export function unreachable({ webhookUrl }) {
  const { origin, protocol } = new URL(webhookUrl);
  if (protocol === "https:") return null;
  return h(
    "p.note",
    "The provider cannot reach ",
    h("code", origin),
    ": it needs an https address. Deploy Patchbay or open a tunnel to it, and set ",
    h("code", "PUBLIC_URL"),
    " to the public address. Test calls work without it.",
  );
}

function path(...names) {
  return h("b", names.join(" → "));
}

function paste(url, what) {
  return secret(url, what, maskedWebhook);
}
