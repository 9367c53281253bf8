/** Asking again for what may have changed meanwhile. */

import { on } from "./dom.js";

const PAUSE = 5000;

/** Milliseconds that pass at most before another question, where questions fail. */
const LONGEST_PAUSE = 30_000;

/**
 * `act` as often as it is asked for, but never twice at a time, nor sooner than `pause` milliseconds
 * after it has answered; after each that fails, twice as long. What fails is asked again with the
 * next change, or once the server is back.
 */
export function throttled(act, signal, pause) {
  let isWanted = false;
  let isBusy = false;
  let rest = pause;
  async function run() {
    isWanted = true;
    if (isBusy) return;
    isBusy = true;
    while (isWanted && !signal.aborted) {
      isWanted = false;
      rest = await act().then(() => pause, () => Math.min(2 * rest, LONGEST_PAUSE));
      await new Promise((resolve) => setTimeout(resolve, rest));
    }
    isBusy = false;
  }
  return run;
}

/** Calls `changed()` from time to time while the page is looked at, until it is left. */
export function poll(signal, changed) {
  const look = () => {
    // Where it fails, the next time will tell.
    if (!document.hidden) changed().catch(() => {});
  };
  const timer = setInterval(look, PAUSE);
  on(document, "visibilitychange", look, signal);
  on(signal, "abort", () => clearInterval(timer));
}
