/** The panel through which this browser is a participant of the room: join, meters, mute, leave. */

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

/** The same in this tab until it is closed, so that joining again replaces and does not double. */
export const ownId = `console-${Array.from(crypto.getRandomValues(new Uint8Array(5)), (byte) => (byte % 36).toString(36)).join("")}`;

/**
 * {element, send(document)}, which says whether it was sent. `heard(document)` gets each message from
 * the room, `changed(state)` is told what this browser is: joining, joined, waiting or left. `allowed`
 * are the only participant ids that the room lets in, if it is that choosy.
 */
export function joining(roomId, { allowed = [], heard, changed, signal }) {
  const name = input("name", { value: localStorage.getItem(NAME_KEY) ?? "Console", maxlength: 128 });
  const id = allowed.length > 0 ? select("id", allowed.map((each) => [each, each]), allowed[0]) : null;
  const status = h("p.state", { role: "status" });
  const fault = h("p.form-fault", { role: "alert" });
  const outside = h(
    "form",
    { onsubmit: (event) => (event.preventDefault(), join(true)) },
    field("Your name in the room", name),
    id && field("Join as", id, { hint: "This room lets in these participant ids only." }),
    h("div.row", h("button.primary", { type: "submit" }, "Join"), button("Only listen", () => join(false))),
    h("p.soft.small", "Joining uses the microphone, with echo cancellation."),
  );
  const inside = h("div.stack", { hidden: true });
  const element = panel("Join from this browser", { id: "joining" }, h("div.joining", status, fault, outside, inside));

  let connection = null;
  let voice = null;
  let isOpening = false;

  async function join(withMicrophone) {
    if (isOpening || connection) return;
    isOpening = true;
    localStorage.setItem(NAME_KEY, name.value);
    put(fault);
    say("Waiting for the sound of this browser …", "");
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
      say("", "");
      put(fault, error.message);
    } finally {
      isOpening = false;
    }
  }

  function connect(opened, view) {
    voice = opened;
    const participant = { id: id?.value ?? ownId, name: name.value.trim() || "Console" };
    connection = new Connection(roomId, participant, {
      state: show,
      message: heard,
      audio: (payload) => voice.play(fromBase64(payload)),
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
    say(sentence, COLOURS[state]);
    if (state === "left") close();
    changed(state);
  }

  function say(sentence, colour) {
    put(status, sentence);
    status.className = `state ${colour}`.trim();
  }

  function close() {
    connection = null;
    voice.close();
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
      voice.mute(isMuted);
      mute.setAttribute("aria-pressed", String(isMuted));
    }

    return {
      element: h(
        "div.stack",
        h("div.row", withMicrophone && mute, leave),
        h("div.levels", microphone && microphone.parts, room.parts),
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
