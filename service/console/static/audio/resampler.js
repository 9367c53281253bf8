/** A sample rate converter for streams: band-limited interpolation with a windowed sinc. */

/** Pass band and stop band, as shares of the lower rate: 3.4 and 4.2 kHz of 8. */
const PASS = 0.425;
const STOP = 0.525;

const ATTENUATION = 70;
/** Rows of the kernel's table between two samples. Interpolation between rows has an error of -80 dB. */
const ROWS = 128;

export class Resampler {
  /** Rates are in hertz. `speed` above 1 consumes the input faster, which raises its pitch. */
  constructor(from, to) {
    const lower = Math.min(from, to);
    const edge = 2 * Math.PI * (STOP - PASS);
    // Kaiser's formula for the length of a window.
    const length = (ATTENUATION - 7.95) / (2.285 * edge);
    this.speed = 1;
    this.half = Math.ceil((length / 2) * (from / lower));
    this.step = from / to;
    this.table = kernel(this.half, ((PASS + STOP) / 2) * (lower / from));
    // Silence before the first sample aligns the first output sample with the first input sample.
    this.held = new Float32Array(4 * this.half);
    this.filled = this.half - 1;
    this.position = this.half - 1;
  }

  /** Convert samples. The last few are held back until more arrive. */
  push(samples) {
    this.hold(samples);
    const { half, held, table } = this;
    const taps = 2 * half;
    const step = this.step * this.speed;
    const output = new Float32Array(Math.ceil(samples.length / step) + 1);
    let written = 0;
    for (; Math.floor(this.position) + half < this.filled; this.position += step) {
      const whole = Math.floor(this.position);
      const row = (this.position - whole) * ROWS;
      const upper = Math.floor(row);
      const share = row - upper;
      const first = whole - half + 1;
      let above = 0;
      let below = 0;
      for (let tap = 0, at = upper * taps; tap < taps; tap += 1, at += 1) {
        above += held[first + tap] * table[at];
        below += held[first + tap] * table[at + taps];
      }
      output[written] = above + (below - above) * share;
      written += 1;
    }
    this.forget();
    return output.subarray(0, written);
  }

  hold(samples) {
    const size = this.filled + samples.length;
    if (size > this.held.length) {
      const wider = new Float32Array(2 * size);
      wider.set(this.held.subarray(0, this.filled));
      this.held = wider;
    }
    this.held.set(samples, this.filled);
    this.filled = size;
  }

  /** Drop samples that no further output needs. */
  forget() {
    const gone = Math.min(Math.floor(this.position) - this.half + 1, this.filled);
    this.held.copyWithin(0, gone, this.filled);
    this.filled -= gone;
    this.position -= gone;
  }
}

/**
 * Compute rows of 2 * half coefficients, one for each position between two samples. Each row adds up
 * to 1, which preserves silence and constant input. `cutoff` is a share of the input's rate.
 */
function kernel(half, cutoff) {
  const taps = 2 * half;
  const table = new Float32Array((ROWS + 1) * taps);
  const beta = 0.1102 * (ATTENUATION - 8.7);
  for (let row = 0; row <= ROWS; row += 1) {
    const values = Array.from({ length: taps }, (_, tap) => {
      const distance = tap - half + 1 - row / ROWS;
      const window = bessel(beta * Math.sqrt(Math.max(0, 1 - (distance / half) ** 2)));
      return sinc(2 * cutoff * distance) * window;
    });
    const sum = values.reduce((total, value) => total + value, 0);
    table.set(values.map((value) => value / sum), row * taps);
  }
  return table;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** Modified Bessel function of the first kind and order 0, by its series. */
function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let n = 1; term > sum * 1e-12; n += 1) {
    term *= (x / (2 * n)) ** 2;
    sum += term;
  }
  return sum;
}
