/** The meter of a sound that is told of frame by frame: it rises at once and falls slowly. */

import { SILENT } from "../audio/pcm.js";
import { h } from "../dom.js";
import { meter } from "../meters.js";

/** dB by which it falls from one 20 ms frame to the next. */
const FALL = 0.8;

/** {parts, set(level)}: a name and its meter; levels are dBFS, SILENT to 0. */
export function soundMeter(name) {
  const { element, show } = meter(name);
  let shown = SILENT;
  return {
    parts: [h("span", { "aria-hidden": "true" }, name), element],
    set(level) {
      shown = Math.max(level, shown - FALL, SILENT);
      show(shown > SILENT ? shown : null);
    },
  };
}
