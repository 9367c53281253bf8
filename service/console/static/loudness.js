/** Plots of a call's loudness over time: audio said by the caller and audio heard by the caller. */

import { h, svg } from "./dom.js";
import { duration, moment } from "./format.js";

const FLOOR = -60;
const WIDTH = 720;
const HEIGHT = 72;

/** Build both plots from records, oldest first: [{start (ms), step (ms), said: [dBFS or null], heard: […]}]. */
export function loudnessPlots(records) {
  const first = Math.min(...records.map(({ start }) => start));
  const last = Math.max(...records.map(({ start, step, said }) => start + step * said.length));
  const span = Math.max(last - first, 1000);
  return h(
    "div.loudness",
    plot("Said by the caller", "said", records, first, span),
    plot("Heard by the caller", "heard", records, first, span),
    h("div.axis", h("span", moment(first)), h("span", duration(span)), h("span", moment(last))),
  );
}

function plot(label, direction, records, first, span) {
  const drawn = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": summary(label, direction, records) },
    [-20, -40].map((level) => svg("line.grid", { x1: 0, x2: WIDTH, y1: y(level), y2: y(level) })),
    records.map((record) => svg("path", { class: direction, d: outline(record, direction, first, span) })),
  );
  return h("figure", h("figcaption", label), h("div.scale", scale(), drawn));
}

function scale() {
  return h("div.levels", { "aria-hidden": "true" }, h("span", "0 dBFS"), h("span", "−60 dBFS"));
}

/** Build the path of one closed shape: a step for each value, at the floor where it was silent. */
function outline(record, direction, first, span) {
  const x = (time) => (((time - first) / span) * WIDTH).toFixed(1);
  const steps = record[direction].map((level, index) => {
    const from = record.start + index * record.step;
    return `L${x(from)} ${y(level)}L${x(from + record.step)} ${y(level)}`;
  });
  const end = record.start + record.step * record[direction].length;
  return `M${x(record.start)} ${HEIGHT}${steps.join("")}L${x(end)} ${HEIGHT}Z`;
}

function y(level) {
  return ((Math.max(level ?? FLOOR, FLOOR) / FLOOR) * HEIGHT).toFixed(1);
}

function summary(label, direction, records) {
  const levels = records.flatMap((record) => record[direction]).filter((level) => level !== null);
  if (!levels.length) return `${label}: silent throughout.`;
  return `${label}: at most ${Math.max(...levels)} dBFS, audible for ${levels.length} s.`;
}
