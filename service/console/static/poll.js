/** Repeated requests: on change, at most at an interval, and on a timer. */

import { on } from "./dom.js";

const PAUSE = 5000;

/** Longest pause between requests that fail, in milliseconds. */
const LONGEST_PAUSE = 30_000;

/**
 * Wrap `act` so that it runs on request, but never twice at once and at most every `pause`
 * milliseconds. The pause doubles after each failure. A failed run is not retried before the next
 * request.
 */
export function throttled(act, signal, pause) {
  let isWanted = false;
  let isBusy = false;
  let wait = pause;
  async function run() {
    isWanted = true;
    if (isBusy) return;
    isBusy = true;
    while (isWanted && !signal.aborted) {
      isWanted = false;
      wait = await act().then(() => pause, () => Math.min(2 * wait, LONGEST_PAUSE));
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
    isBusy = false;
  }
  return run;
}

/** Call `changed()` at an interval while the page is visible, until the signal aborts. */
export function poll(signal, changed) {
  const look = () => {
    // The next run retries a failure.
    if (!document.hidden) changed().catch(() => {});
  };
  const timer = setInterval(look, PAUSE);
  on(document, "visibilitychange", look, signal);
  on(signal, "abort", () => clearInterval(timer));
}
