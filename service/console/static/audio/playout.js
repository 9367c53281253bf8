/** The jitter buffer of playback: frames arrive at any time, and one is taken every 20 ms. */

import { FRAME } from "./pcm.js";

/** Target depth in frames: at least 60 ms, initially 80 ms, at most 200 ms with uneven arrivals. */
const FLOOR = 3;
const START = 4;
const CEILING = 10;

/** Depth beyond which the oldest frames are dropped: half a second. */
const FULL = 25;

/** Frames without an underrun after which the target is lowered: ten seconds. */
const CALM = 500;

/** Change of speed that corrects the delay: 9 cents, which is inaudible. */
const TRIM = 0.005;

/** Weight of the newest depth in the running average: a time constant of one second. */
const SHARE = 0.02;

/** Peak below which a frame can be dropped or repeated inaudibly: -42 dB. */
const QUIET = 0.008;

const SILENCE = new Float32Array(FRAME);

export class Playout {
  constructor() {
    this.frames = [];
    this.target = START;
    /** Playback speed of the frame that was taken last; 1 is normal. */
    this.speed = 1;
    this.underruns = 0;
    this.dropped = 0;
    this.inserted = 0;
    this.isWaiting = true;
    this.average = START;
    this.calm = 0;
    this.lowest = Infinity;
    this.last = SILENCE;
    /** The frame that would have come next, if some were dropped. */
    this.cut = null;
  }

  /** Buffered audio in milliseconds. */
  get delay() {
    return this.frames.length * 20;
  }

  /** Add a frame: 20 ms as a Float32Array. */
  push(frame) {
    this.frames.push(frame);
    if (this.frames.length <= FULL) return;
    const late = this.frames.splice(0, this.frames.length - this.target);
    this.dropped += late.length;
    this.cut ??= late[0];
    this.average = this.target;
  }

  /** Take the next frame to play. */
  take() {
    this.speed = 1;
    if (this.isWaiting) {
      if (this.frames.length < this.target) return SILENCE;
      this.isWaiting = false;
      this.average = this.target;
      this.cut = SILENCE;
    } else if (this.frames.length === 0) {
      return this.underrun();
    }
    this.measure();
    return this.next();
  }

  /** Fade out the last frame, and wait for a deeper buffer than before. */
  underrun() {
    this.underruns += 1;
    this.target = Math.min(this.target + 1, CEILING);
    this.isWaiting = true;
    this.calm = 0;
    this.lowest = Infinity;
    // Reversed, so that it continues from the last sample played.
    return crossFade(this.last.slice().reverse(), SILENCE);
  }

  measure() {
    const depth = this.frames.length;
    this.average += (depth - this.average) * SHARE;
    this.lowest = Math.min(this.lowest, depth);
    this.calm += 1;
    if (this.calm < CALM) return;
    if (this.lowest > 2) this.target = Math.max(this.target - 1, FLOOR);
    this.calm = 0;
    this.lowest = Infinity;
  }

  next() {
    if (this.frames.length > this.target + 1 && this.average > this.target + 0.5 && isQuiet(this.frames[0])) {
      this.frames.shift();
      this.dropped += 1;
    } else if (this.frames.length < this.target && this.average < this.target - 0.5 && isQuiet(this.frames[0])) {
      this.inserted += 1;
      return (this.last = this.frames[0]);
    }
    if (this.average > this.target + 0.5) this.speed = 1 + TRIM;
    if (this.average < this.target - 0.5) this.speed = 1 - TRIM;
    let frame = this.frames.shift();
    if (this.cut) frame = crossFade(this.cut, frame);
    this.cut = null;
    return (this.last = frame);
  }
}

function isQuiet(frame) {
  return frame.every((value) => Math.abs(value) < QUIET);
}

/** Fade from one frame into the other within 20 ms. */
function crossFade(from, into) {
  return into.map((value, at) => from[at] + (value - from[at]) * (at / (FRAME - 1)));
}
