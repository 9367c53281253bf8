/** The custom WebSocket's audio format: 16-bit little-endian samples at 8 kHz, in base64. */

export const RATE = 8000;

/** Samples in a frame of 20 ms. */
export const FRAME = 160;

/** The level that meters show for silence, in dBFS. */
export const SILENT = -60;

// Typed arrays are little-endian on every platform that browsers support.

export function toFloats(integers) {
  return Float32Array.from(integers, (value) => value / 32768);
}

export function toIntegers(floats) {
  return Int16Array.from(floats, (value) => Math.max(-32768, Math.min(32767, Math.round(value * 32768))));
}

/** Encode a typed array. Not available in a worklet, which has no base64. */
export function toBase64(array) {
  const bytes = new Uint8Array(array.buffer);
  const parts = [];
  // The number of arguments of a function call is limited.
  for (let at = 0; at < bytes.length; at += 8192) {
    parts.push(String.fromCharCode(...bytes.subarray(at, at + 8192)));
  }
  return btoa(parts.join(""));
}

/** Decode to an Int16Array. Not available in a worklet. */
export function fromBase64(text) {
  return new Int16Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

/** Level in dBFS, where a full-scale sine is 0. At least SILENT. */
export function level(floats) {
  const power = floats.reduce((sum, value) => sum + value * value, 0) / floats.length;
  return Math.max(SILENT, Math.min(0, 10 * Math.log10(2 * power)));
}
