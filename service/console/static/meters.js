/** Level meters: a bar from -60 to 0 dBFS with peak hold, and its value in dB. */

import { h } from "./dom.js";

export const FLOOR = -60;

/** Milliseconds for which a peak is held, and between updates of the value, which must stay readable. */
const PEAK_HOLD = 1_500;
const VALUE_INTERVAL = 500;

/** Build a meter: {element, show(level)}. A level is in dBFS, null is silence. `label` is for screen readers. */
export function meter(label) {
  const bar = h("span.bar");
  const peak = h("span.peak");
  const figure = h("span.figure", { "aria-hidden": "true" });
  const scale = h("span.scale", bar, peak);
  const element = h(
    "div.meter",
    {
      role: "meter",
      "aria-label": label,
      "aria-valuemin": FLOOR,
      "aria-valuemax": 0,
      title: `${label}, from ${FLOOR} to 0 dB below full scale`,
    },
    scale,
    figure,
  );
  let held = 0;
  let heldAt = 0;
  let readAt = -VALUE_INTERVAL;

  function show(level) {
    const now = performance.now();
    const share = level === null ? 0 : Math.min(1, Math.max(0, 1 - level / FLOOR));
    bar.style.transform = `scaleX(${share})`;
    if (share >= held || now - heldAt > PEAK_HOLD) {
      held = share;
      heldAt = now;
      peak.style.left = `${held * 100}%`;
      peak.hidden = held === 0;
    }
    if (now - readAt < VALUE_INTERVAL) return;
    readAt = now;
    const text = level === null || level < FLOOR ? "silent" : `${Math.round(level).toString().replace("-", "−")} dB`;
    if (figure.textContent === text) return;
    figure.textContent = text;
    element.setAttribute("aria-valuenow", level === null ? FLOOR : Math.max(FLOOR, Math.round(level)));
    element.setAttribute("aria-valuetext", text);
  }

  show(null);
  return { element, show };
}
