/** A session with the browser's microphone and loudspeaker, as streams of frames. */

import { closeMicrophone, openMicrophone, requireSecureContext } from "./microphone.js";

const NO_SOUND = "This browser cannot play audio: connect a loudspeaker or headphones, and join again.";

/** Milliseconds to wait for a loudspeaker. Without a limit, Firefox waits forever. */
const START_TIMEOUT = 3000;

const CONVERSATION = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/**
 * Open both. Call it from a click, because otherwise browsers keep the loudspeaker silent.
 *
 * `onframe` receives each frame from the microphone ({samples, level}), `onplayed` the state of
 * playback ({level, delay, underruns, dropped}: dBFS, ms and frames), and `onsilenced` a sentence when
 * the microphone is lost. Without `onframe` the microphone is not opened. Throws an Error with a
 * message to show.
 */
export async function openAudioSession({ onframe, onplayed, onsilenced }) {
  requireSecureContext();
  const context = new AudioContext({ latencyHint: "interactive" });
  let stream = null;
  try {
    // Resume before the first await, while the browser still attributes it to the click.
    const running = context.resume();
    if (onframe) stream = await openMicrophone(CONVERSATION);
    const modules = ["capture", "playback"].map((name) => new URL(`./${name}.worklet.js`, import.meta.url));
    await Promise.all([started(running), ...modules.map((module) => context.audioWorklet.addModule(module))]);
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
    // The node outputs silence, but some browsers do not run a node without a destination.
    context.createMediaStreamSource(stream).connect(capture).connect(context.destination);
    const [track] = stream.getAudioTracks();
    track.addEventListener("ended", () => onsilenced("The microphone was disconnected: nobody hears you."));
  }
  // A phone call or another program may have suspended the page's audio.
  document.addEventListener("visibilitychange", resume);

  function resume() {
    context.resume();
  }

  function close() {
    document.removeEventListener("visibilitychange", resume);
    closeMicrophone(stream);
    context.close();
  }

  return {
    /** Play one frame, an Int16Array whose buffer is transferred. */
    play: (samples) => playback.port.postMessage(samples, [samples.buffer]),
    mute(isMuted) {
      for (const track of stream?.getTracks() ?? []) track.enabled = !isMuted;
    },
    close,
  };
}

async function started(running) {
  const timeout = new Promise((resolve, reject) => setTimeout(() => reject(new Error(NO_SOUND)), START_TIMEOUT));
  await Promise.race([running, timeout]);
}
