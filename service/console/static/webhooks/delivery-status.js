/** The status of a webhook delivery as a pill. */

import { pill } from "../components.js";

const STATES = { delivered: "good", pending: "warn", dead: "bad" };

export function deliveryStatus({ status }) {
  return pill(status, STATES[status]);
}
