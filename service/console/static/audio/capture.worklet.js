/** An audio worklet that turns the microphone into 20 ms frames at 8 kHz, each with its level. */

import { FRAME, level, RATE, toIntegers } from "./pcm.js";
import { Resampler } from "./resampler.js";

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, RATE);
    this.frame = new Float32Array(FRAME);
    this.filled = 0;
  }

  process([input], [output]) {
    // Without a source there is no channel. Silence takes its place.
    for (const sample of this.resampler.push(input[0] ?? new Float32Array(output[0].length))) {
      this.frame[this.filled] = sample;
      this.filled += 1;
      if (this.filled === FRAME) this.send();
    }
    return true;
  }

  send() {
    const samples = toIntegers(this.frame);
    this.port.postMessage({ samples, level: level(this.frame) }, [samples.buffer]);
    this.filled = 0;
  }
}

registerProcessor("capture", Capture);
