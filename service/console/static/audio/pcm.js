/** Audio as the custom WebSocket has it: 16-bit little-endian samples at 8 kHz, in base64. */

export const RATE = 8000;

/** Samples in a frame of 20 ms. */
export const FRAME = 160;

/** What a meter shows of silence, in dBFS. */
export const SILENT = -60;

// Typed arrays are little-endian wherever a browser runs.

export function toFloats(integers) {
  return Float32Array.from(integers, (value) => value / 32768);
}

export function toIntegers(floats) {
  return Int16Array.from(floats, (value) => Math.max(-32768, Math.min(32767, Math.round(value * 32768))));
}

/** Of a typed array; not in a worklet, which has no base64. */
export function toBase64(array) {
  const bytes = new Uint8Array(array.buffer);
  const parts = [];
  // A call takes only so many arguments.
  for (let at = 0; at < bytes.length; at += 8192) {
    parts.push(String.fromCharCode(...bytes.subarray(at, at + 8192)));
  }
  return btoa(parts.join(""));
}

/** Int16Array; not in a worklet. */
export function fromBase64(text) {
  return new Int16Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

/** dBFS, where a full-scale sine is 0; never below SILENT. */
export function level(floats) {
  const power = floats.reduce((sum, value) => sum + value * value, 0) / floats.length;
  return Math.max(SILENT, Math.min(0, 10 * Math.log10(2 * power)));
}
