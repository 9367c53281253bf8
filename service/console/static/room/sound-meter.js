/** A meter of a stream of frames. It rises immediately and falls slowly. */

import { SILENT } from "../audio/pcm.js";
import { h } from "../dom.js";
import { meter } from "../meters.js";

/** Decrease in dB from one 20 ms frame to the next. */
const FALL = 0.8;

/** Build a meter with its name: {elements, set(level)}. Levels are in dBFS, from SILENT to 0. */
export function soundMeter(name) {
  const { element, show } = meter(name);
  let shown = SILENT;
  return {
    elements: [h("span", { "aria-hidden": "true" }, name), element],
    set(level) {
      shown = Math.max(level, shown - FALL, SILENT);
      show(shown > SILENT ? shown : null);
    },
  };
}
