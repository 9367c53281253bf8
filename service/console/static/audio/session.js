/** The microphone and the loudspeaker of this browser, as streams of frames. */

import { closeMicrophone, openMicrophone, requireSound } from "./microphone.js";

const NO_SOUND = "This browser has nothing to play sound on: connect a loudspeaker or headphones, and join again.";

/** Milliseconds in which a loudspeaker begins to play; Firefox waits for one for ever. */
const PATIENCE = 3000;

const CONVERSATION = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/**
 * Open both; call it from a click, or browsers keep the loudspeaker silent.
 *
 * `onframe` gets each frame that was spoken ({samples, level}), `onplayed` the state of what is heard
 * ({level, delay, underruns, dropped}: dBFS, ms and frames), and `onsilenced` a sentence when the
 * microphone is gone. Without `onframe` the microphone is left alone. Throws an Error whose message
 * is one sentence.
 */
export async function openAudioSession({ onframe, onplayed, onsilenced }) {
  requireSound();
  const context = new AudioContext({ latencyHint: "interactive" });
  let stream = null;
  try {
    // Before anything is waited for, while the click still counts.
    const running = context.resume();
    if (onframe) stream = await openMicrophone(CONVERSATION);
    const modules = ["capture", "playback"].map((name) => new URL(`./${name}.worklet.js`, import.meta.url));
    await Promise.all([begun(running), ...modules.map((module) => context.audioWorklet.addModule(module))]);
  } catch (error) {
    close();
    throw error;
  }

  const playback = new AudioWorkletNode(context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
  playback.port.onmessage = ({ data }) => onplayed(data);
  playback.connect(context.destination);
  if (stream) {
    const capture = new AudioWorkletNode(context, "capture", { channelCount: 1, channelCountMode: "explicit" });
    capture.port.onmessage = ({ data }) => onframe(data);
    // It says nothing there, but what leads nowhere is not asked for audio in every browser.
    context.createMediaStreamSource(stream).connect(capture).connect(context.destination);
    const [track] = stream.getAudioTracks();
    track.addEventListener("ended", () => onsilenced("The microphone is gone: nobody hears you."));
  }
  // A phone call or another program may have taken the sound away from the page.
  document.addEventListener("visibilitychange", wake);

  function wake() {
    context.resume();
  }

  function close() {
    document.removeEventListener("visibilitychange", wake);
    closeMicrophone(stream);
    context.close();
  }

  return {
    /** Play one frame, an Int16Array, which is given away. */
    play: (samples) => playback.port.postMessage(samples, [samples.buffer]),
    mute(isMuted) {
      for (const track of stream?.getTracks() ?? []) track.enabled = !isMuted;
    },
    close,
  };
}

async function begun(running) {
  const patience = new Promise((resolve, reject) => setTimeout(() => reject(new Error(NO_SOUND)), PATIENCE));
  await Promise.race([running, patience]);
}
