/** The dialog "Place a test call", with which the phone simulator calls a connector. */

import { ask, currentSession } from "./api.js";
import { toBase64 } from "./audio/pcm.js";
import { attempt, button, openDialog } from "./components.js";
import { h, put } from "./dom.js";
import { provider } from "./format.js";
import { choice, field, filled, form, input, select } from "./forms.js";
import { href } from "./router.js";
import { progress } from "./test-call/progress.js";
import { recorder } from "./test-call/recorder.js";
import { wav } from "./test-call/wav.js";

const TITLE = "Place a test call";
const SOUNDS = [
  ["melody", "A melody"],
  ["tone", "A tone"],
  ["recording", "My voice"],
];
const MAX_SECONDS = 300;

/** Build the button that opens the dialog. Without a connector id, the dialog offers every connector. */
export function testCallButton(connectorId, { kind } = {}) {
  return button(TITLE, () => openTestCallDialog(connectorId), { kind });
}

async function openTestCallDialog(connectorId) {
  if (!currentSession().testCalls) {
    explain([
      "Test calls are off on this server. The setting TEST_CALLS is the number of simultaneous test calls.",
      "Start it with TEST_CALLS=3 in its environment or in its .env file. \"make run\" sets it for you.",
    ]);
    return;
  }
  let connectors;
  const isKnown = await attempt(async () => ({ data: connectors } = await ask("GET", "/v2/connectors")));
  if (!isKnown) return;
  if (!connectors.length) {
    const there = h("a.button", { href: href("connectors"), onclick: () => dialog.close() }, "Connectors");
    const dialog = explain(["There is nothing to call yet: create a connector first."], there);
    return;
  }
  const leaving = new AbortController();
  const content = h("div.test-call");
  const dialog = openDialog(TITLE, (close) => {
    begin(content, connectors, connectorId, { close, signal: leaving.signal });
    return content;
  });
  dialog.addEventListener("close", () => leaving.abort());
}

function explain(sentences, action) {
  return openDialog(TITLE, (close) => [
    sentences.map((sentence) => h("p", sentence)),
    h("div.form-end", action, button("Close", close, { kind: "primary" })),
  ]);
}

function begin(content, connectors, chosen, { close, signal }) {
  const voice = recorder(signal);
  const element = options(connectors, chosen ?? connectors[0].id, voice, {
    cancel: close,
    submit: async (values) => {
      const { data } = await ask("POST", "/console/api/trials", body(values, voice), { signal });
      voice.stop();
      const again = () => begin(content, connectors, values.connectorId, { close, signal });
      put(content, progress(data, { signal, close, again }));
      content.querySelector("button").focus();
    },
  });
  put(content, element);
}

function options(connectors, chosen, voice, { submit, cancel }) {
  const choices = connectors.map((each) => [each.id, `${each.name || each.id} (${provider(each.provider)})`]);
  const voicePart = h("div", { hidden: true }, voice.element);
  const choose = (event) => {
    voicePart.hidden = event.target.value !== "recording";
    voice.stop();
  };
  return form(
    [
      h("p.soft", "The phone simulator calls the webhook as the provider does. Join the room to hear the call."),
      field("Connector", select("connectorId", choices, chosen)),
      h(
        "fieldset",
        h("legend", "What the caller says"),
        h("div.cards", { onchange: choose }, SOUNDS.map(([value, label], index) => choice("sound", value, label, index === 0))),
        voicePart,
      ),
      h(
        "div.test-call-pair",
        field("Seconds", input("seconds", { type: "number", min: 1, max: MAX_SECONDS, value: "30" }), {
          hint: `Then the caller hangs up; ${MAX_SECONDS} at most.`,
        }),
        field("Caller", input("caller", { type: "tel", placeholder: "+14155550100" }), { hint: "The caller's number." }),
      ),
      h(
        "details",
        h("summary", "Number called, keys and PIN"),
        h(
          "div.test-call-pair",
          field("Number called", input("callee", { type: "tel", placeholder: "+14155550199" }), {
            hint: "Routing rules match it.",
          }),
          field("Keys", input("digits", { maxlength: 32 }), { hint: "Keys to press in the room, such as 12#." }),
          field("PIN", input("pin", { inputmode: "numeric", maxlength: 16 }), { hint: "Entered when asked for." }),
        ),
      ),
    ],
    { verb: "Place the call", busyVerb: "Calling …", cancel, submit },
  );
}

function body(values, voice) {
  const wanted = { ...filled(values), seconds: Number(values.seconds) };
  if (values.sound !== "recording") return wanted;
  const samples = voice.samples();
  if (!samples) throw new Error("Record your voice first, and stop the recording.");
  return { ...wanted, recording: toBase64(wav(samples, voice.rate)) };
}
