/** Records what the operator says: with a level while it runs, and to be heard before it is used. */

import { closeMicrophone, openMicrophone } from "../audio/microphone.js";
import { level } from "../audio/pcm.js";
import { button, notify } from "../components.js";
import { h, put } from "../dom.js";
import { meter } from "../meters.js";
import { wav } from "./wav.js";

const RATE = 16000;
const LONGEST = 30;

/**
 * {element, rate, samples(), stop()}: samples are a Float32Array, or null while there is no
 * recording. Everything ends with the signal.
 */
export function recorder(signal) {
  const line = h("div.row");
  const element = h("div.test-call-voice", line);
  let taken = null;
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
    taken = null;
    listen(stream);
  }

  function listen(stream) {
    const parts = [];
    const tape = new MediaRecorder(stream);
    const heard = meter("Input level");
    const clock = h("span.soft");
    const tap = tapped(stream);
    const began = performance.now();
    const stop = button("Stop", () => end());
    put(line, stop, heard.element, clock);
    stop.focus();
    const timer = setInterval(() => {
      const seconds = (performance.now() - began) / 1000;
      heard.show(level(tap.read()));
      put(clock, `${Math.floor(seconds)} of ${LONGEST} s`);
      if (seconds >= LONGEST) end();
    }, 50);
    tape.ondataavailable = ({ data }) => parts.push(data);
    tape.onstop = () => finish(new Blob(parts, { type: tape.mimeType }));
    tape.start();
    end = () => {
      end = () => {};
      clearInterval(timer);
      tap.close();
      tape.stop();
      closeMicrophone(stream);
    };
  }

  async function finish(blob) {
    if (signal.aborted) return;
    try {
      // Decoding brings the sound to the rate of the context.
      const decoded = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer());
      taken = decoded.getChannelData(0).slice(0, LONGEST * RATE);
    } catch {
      notify("The browser could not read its own recording: try once more.", { bad: true });
    }
    if (!signal.aborted) draw();
  }

  function play() {
    const url = URL.createObjectURL(new Blob([wav(taken, RATE)], { type: "audio/wav" }));
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
    if (taken) {
      put(line, button("Play", play), button("Record again", record),
        h("span.soft", `${(taken.length / RATE).toFixed(1)} s recorded`));
    } else {
      put(line, button("Record", record), h("span.soft", `Up to ${LONGEST} s; it is said again and again.`));
    }
    if (hadFocus) line.querySelector("button").focus();
  }

  draw();
  signal.addEventListener("abort", () => end());
  return { element, rate: RATE, samples: () => taken, stop: () => end() };
}

/** {read(), close()}: the last samples that came in, between -1 and 1. */
function tapped(stream) {
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
