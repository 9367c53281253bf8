/** A meter of one sound: rises at once, falls slowly, and is drawn once a picture at most. */

import { SILENT } from "../audio/pcm.js";
import { h, newId } from "../dom.js";

/** dB by which it falls from one 20 ms frame to the next. */
const FALL = 0.8;

/** {element, set(level)}; levels are dBFS, SILENT to 0. */
export function soundMeter(name) {
  const id = newId("meter");
  const bar = h("div.bar");
  const figure = h("span.figure", { "aria-hidden": "true" });
  const scale = h("div.scale", {
    role: "meter",
    "aria-labelledby": id,
    "aria-valuemin": String(SILENT),
    "aria-valuemax": "0",
  }, bar);
  let shown = SILENT;
  let isDue = false;

  function draw() {
    isDue = false;
    const value = Math.round(shown);
    bar.style.transform = `scaleX(${1 - shown / SILENT})`;
    scale.setAttribute("aria-valuenow", String(value));
    const text = value <= SILENT ? "silent" : `${value} dB`.replace("-", "−");
    scale.setAttribute("aria-valuetext", text);
    figure.textContent = text;
  }

  draw();
  return {
    element: h("div.sound", h("span", { id }, name), scale, figure),
    set(level) {
      shown = Math.max(level, shown - FALL, SILENT);
      if (isDue) return;
      isDue = true;
      requestAnimationFrame(draw);
    },
  };
}
