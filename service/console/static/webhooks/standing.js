/** How far a delivery has come, as a pill. */

import { pill } from "../parts.js";

const STATES = { delivered: "good", pending: "warn", dead: "bad" };

export function standing({ status }) {
  return pill(status, STATES[status]);
}
