/** The jitter buffer of what is heard: frames in as they come, one frame out whenever it is asked. */

import { FRAME } from "./pcm.js";

/** Frames that wait: 60 ms at least, 80 ms at first, 200 ms where arrivals are that uneven. */
const FLOOR = 3;
const START = 4;
const CEILING = 10;

/** Frames beyond which the oldest are thrown away: half a second. */
const FULL = 25;

/** Frames without trouble after which a shorter delay is tried: ten seconds. */
const CALM = 500;

/** How much faster or slower audio is played to bring the delay back: 9 cents, which nobody hears. */
const TRIM = 0.005;

/** Share of the newest depth in the average that decides about it: a time constant of a second. */
const SHARE = 0.02;

/** Peak below which a frame may be left out or repeated unheard: -42 dB. */
const QUIET = 0.008;

const SILENCE = new Float32Array(FRAME);

export class Playout {
  constructor() {
    this.frames = [];
    this.target = START;
    /** How fast the frame that was taken last is to be played; 1 is as it came. */
    this.speed = 1;
    this.underruns = 0;
    this.dropped = 0;
    this.inserted = 0;
    this.isWaiting = true;
    this.average = START;
    this.calm = 0;
    this.lowest = Infinity;
    this.last = SILENCE;
    /** What would have come next, where something was left out. */
    this.cut = null;
  }

  /** Milliseconds that wait. */
  get delay() {
    return this.frames.length * 20;
  }

  /** A frame has come: 20 ms as Float32Array. */
  push(frame) {
    this.frames.push(frame);
    if (this.frames.length <= FULL) return;
    const late = this.frames.splice(0, this.frames.length - this.target);
    this.dropped += late.length;
    this.cut ??= late[0];
    this.average = this.target;
  }

  /** The frame to be played now. */
  take() {
    this.speed = 1;
    if (this.isWaiting) {
      if (this.frames.length < this.target) return SILENCE;
      this.isWaiting = false;
      this.average = this.target;
      this.cut = SILENCE;
    } else if (this.frames.length === 0) {
      return this.runDry();
    }
    this.watch();
    return this.next();
  }

  /** Nothing is there: fade out what was heard last, and wait for more than before. */
  runDry() {
    this.underruns += 1;
    this.target = Math.min(this.target + 1, CEILING);
    this.isWaiting = true;
    this.calm = 0;
    this.lowest = Infinity;
    // Backwards, so that it goes on from the very sample that was heard last.
    return crossFade(this.last.slice().reverse(), SILENCE);
  }

  watch() {
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

/** From one frame into the other within their 20 ms. */
function crossFade(from, into) {
  return into.map((value, at) => from[at] + (value - from[at]) * (at / (FRAME - 1)));
}
