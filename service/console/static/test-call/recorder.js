/** A recorder for the operator's voice, with a level meter and playback. */

import { closeMicrophone, openMicrophone } from "../audio/microphone.js";
import { level } from "../audio/pcm.js";
import { button, notify } from "../components.js";
import { h, put } from "../dom.js";
import { meter } from "../meters.js";
import { wav } from "./wav.js";

const RATE = 16000;
const MAX_SECONDS = 30;

/**
 * Build a recorder: {element, rate, samples(), stop()}. Samples are a Float32Array, or null without
 * a recording. The signal stops everything.
 */
export function recorder(signal) {
  const line = h("div.row");
  const element = h("div.test-call-voice", line);
  let recorded = null;
  let end = () => {};

  async function record() {
    end();
    let stream;
    try {
      stream = await openMicrophone();
    } catch (error) {
      notify(error.message, { bad: true });
      return;
    }
    if (signal.aborted) {
      closeMicrophone(stream);
      return;
    }
    recorded = null;
    listen(stream);
  }

  function listen(stream) {
    const parts = [];
    const recording = new MediaRecorder(stream);
    const heard = meter("Input level");
    const clock = h("span.soft");
    const tap = tapOf(stream);
    const began = performance.now();
    const stop = button("Stop", () => end());
    put(line, stop, heard.element, clock);
    stop.focus();
    const timer = setInterval(() => {
      const seconds = (performance.now() - began) / 1000;
      heard.show(level(tap.read()));
      put(clock, `${Math.floor(seconds)} of ${MAX_SECONDS} s`);
      if (seconds >= MAX_SECONDS) end();
    }, 50);
    recording.ondataavailable = ({ data }) => parts.push(data);
    recording.onstop = () => finish(new Blob(parts, { type: recording.mimeType }));
    recording.start();
    end = () => {
      end = () => {};
      clearInterval(timer);
      tap.close();
      recording.stop();
      closeMicrophone(stream);
    };
  }

  async function finish(blob) {
    if (signal.aborted) return;
    try {
      // Decoding resamples to the rate of the context.
      const decoded = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer());
      recorded = decoded.getChannelData(0).slice(0, MAX_SECONDS * RATE);
    } catch {
      notify("The browser could not decode the recording. Record it again.", { bad: true });
    }
    if (!signal.aborted) draw();
  }

  function play() {
    const url = URL.createObjectURL(new Blob([wav(recorded, RATE)], { type: "audio/wav" }));
    const audio = new Audio(url);
    const stop = button("Stop", () => end());
    end = () => {
      end = () => {};
      audio.pause();
      URL.revokeObjectURL(url);
      draw();
    };
    audio.onended = () => end();
    put(line, stop, h("span.soft", "Playing"));
    stop.focus();
    audio.play().catch((error) => notify(error.message, { bad: true }));
  }

  function draw() {
    const hadFocus = line.contains(document.activeElement);
    if (recorded) {
      put(line, button("Play", play), button("Record again", record),
        h("span.soft", `${(recorded.length / RATE).toFixed(1)} s recorded`));
    } else {
      put(line, button("Record", record), h("span.soft", `Up to ${MAX_SECONDS} s, repeated during the call.`));
    }
    if (hadFocus) line.querySelector("button").focus();
  }

  draw();
  signal.addEventListener("abort", () => end());
  return { element, rate: RATE, samples: () => recorded, stop: () => end() };
}

/** Tap a stream: {read(), close()}. Reading gives the latest samples, between -1 and 1. */
function tapOf(stream) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const block = new Float32Array(analyser.fftSize);
  return {
    read() {
      analyser.getFloatTimeDomainData(block);
      return block;
    },
    close: () => context.close(),
  };
}
