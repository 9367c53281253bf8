/** An audio worklet that buffers 20 ms frames at 8 kHz and plays them at the rate of the context. */

import { level, RATE, toFloats } from "./pcm.js";
import { Playout } from "./playout.js";
import { Resampler } from "./resampler.js";

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.playout = new Playout();
    this.resampler = new Resampler(RATE, sampleRate);
    this.ready = new Float32Array(0);
    this.port.onmessage = ({ data }) => this.playout.push(toFloats(data));
  }

  process(inputs, [[speaker]]) {
    for (let written = 0; written < speaker.length; ) {
      if (!this.ready.length) this.prepare();
      const part = this.ready.subarray(0, speaker.length - written);
      speaker.set(part, written);
      written += part.length;
      this.ready = this.ready.subarray(part.length);
    }
    return true;
  }

  prepare() {
    const frame = this.playout.take();
    this.resampler.speed = this.playout.speed;
    this.ready = this.resampler.push(frame);
    const { delay, underruns, dropped } = this.playout;
    this.port.postMessage({ level: level(frame), delay, underruns, dropped });
  }
}

registerProcessor("playback", Playback);
