/** Asking again for what may have changed meanwhile. */

import { on } from "./dom.js";

const PAUSE = 5000;

/** Calls `changed()` from time to time while the page is looked at, until it is left. */
export function watch(signal, changed) {
  const look = () => {
    // Where it fails, the next time will tell.
    if (!document.hidden) changed().catch(() => {});
  };
  const timer = setInterval(look, PAUSE);
  on(document, "visibilitychange", look, signal);
  on(signal, "abort", () => clearInterval(timer));
}
