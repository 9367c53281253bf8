/** The panel with which this browser joins the room: join, meters, mute, leave. */

import { fromBase64, SILENT, toBase64 } from "../audio/pcm.js";
import { openAudioSession } from "../audio/session.js";
import { button, panel } from "../components.js";
import { h, put } from "../dom.js";
import { milliseconds } from "../format.js";
import { field, input, select } from "../forms.js";
import { Connection } from "./connection.js";
import { soundMeter } from "./sound-meter.js";

const NAME_KEY = "patchbay-participant-name";

const COLOURS = { joining: "", joined: "good", waiting: "bad", left: "" };

/** The participant id of this tab. It stays the same, so that rejoining replaces the earlier connection. */
export const ownId = `console-${Array.from(crypto.getRandomValues(new Uint8Array(5)), (byte) => (byte % 36).toString(36)).join("")}`;

/**
 * Build the panel: {element, send(document)}. Sending returns whether the message was sent.
 * `received(document)` is called with each message from the room, `changed(state)` with each state:
 * joining, joined, waiting or left. `allowed` lists the only participant ids that the room accepts,
 * if it restricts them.
 */
export function joining(roomId, { allowed = [], received, changed, signal }) {
  const name = input("name", { value: localStorage.getItem(NAME_KEY) ?? "Console", maxlength: 128 });
  const id = allowed.length > 0 ? select("id", allowed.map((each) => [each, each]), allowed[0]) : null;
  const status = h("p.state", { role: "status" });
  const fault = h("p.form-fault", { role: "alert" });
  const outside = h(
    "form",
    { onsubmit: (event) => (event.preventDefault(), join(true)) },
    field("Your name in the room", name),
    id && field("Join as", id, { hint: "This room allows only these participant ids." }),
    h("div.row", h("button.primary", { type: "submit" }, "Join"), button("Only listen", () => join(false))),
    h("p.soft.small", "Joining uses the microphone, with echo cancellation."),
  );
  const inside = h("div.stack", { hidden: true });
  const element = panel("Join from this browser", { id: "joining" }, h("div.joining", status, fault, outside, inside));

  let connection = null;
  let audioSession = null;
  let isOpening = false;

  async function join(withMicrophone) {
    if (isOpening || connection) return;
    isOpening = true;
    localStorage.setItem(NAME_KEY, name.value);
    put(fault);
    showStatus("Starting audio …", "");
    const view = controls(withMicrophone);
    try {
      const opened = await openAudioSession({
        onframe: withMicrophone && ((frame) => speak(frame, view)),
        onplayed: view.played,
        onsilenced: (sentence) => put(fault, sentence),
      });
      if (signal.aborted) opened.close();
      else connect(opened, view);
    } catch (error) {
      showStatus("", "");
      put(fault, error.message);
    } finally {
      isOpening = false;
    }
  }

  function connect(opened, view) {
    audioSession = opened;
    const participant = { id: id?.value ?? ownId, name: name.value.trim() || "Console" };
    connection = new Connection(roomId, participant, {
      state: show,
      message: received,
      audio: (payload) => audioSession.play(fromBase64(payload)),
    });
    put(inside, view.element);
    outside.hidden = true;
    inside.hidden = false;
    view.focus();
    connection.open();
  }

  function speak({ samples, level }, view) {
    view.spoken(level);
    connection?.speak(toBase64(samples));
  }

  function show(state, sentence) {
    showStatus(sentence, COLOURS[state]);
    if (state === "left") close();
    changed(state);
  }

  function showStatus(sentence, colour) {
    put(status, sentence);
    status.className = `state ${colour}`.trim();
  }

  function close() {
    connection = null;
    audioSession.close();
    const hadFocus = inside.contains(document.activeElement);
    outside.hidden = false;
    inside.hidden = true;
    if (hadFocus) outside.querySelector("button").focus();
  }

  function controls(withMicrophone) {
    const microphone = withMicrophone && soundMeter("Microphone");
    const room = soundMeter("Room");
    const mute = button("Mute", toggle);
    mute.setAttribute("aria-pressed", "false");
    const leave = button("Leave", () => connection.close());
    const measured = h("dd");
    let isMuted = false;
    let delay = 0;

    function toggle() {
      isMuted = !isMuted;
      audioSession.mute(isMuted);
      mute.setAttribute("aria-pressed", String(isMuted));
    }

    return {
      element: h(
        "div.stack",
        h("div.row", withMicrophone && mute, leave),
        h("div.levels", microphone && microphone.elements, room.elements),
        h("dl.facts", h("dt", "Playback"), measured),
      ),
      focus: () => (withMicrophone ? mute : leave).focus(),
      spoken: (level) => microphone.set(isMuted ? SILENT : level),
      played(state) {
        room.set(state.level);
        delay += (state.delay - delay) * 0.02;
        put(measured, `${milliseconds(delay)} buffered, ${state.underruns} gaps`);
      },
    };
  }

  signal.addEventListener("abort", () => connection?.close());
  return { element, send: (document) => connection?.send(document) ?? false };
}
