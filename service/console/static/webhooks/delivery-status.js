/** How far a delivery has come, as a pill. */

import { pill } from "../components.js";

const STATES = { delivered: "good", pending: "warn", dead: "bad" };

export function deliveryStatus({ status }) {
  return pill(status, STATES[status]);
}
