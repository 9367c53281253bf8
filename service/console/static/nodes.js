/** The node of a call, shown where there are several. */

import { h } from "./dom.js";

/** Build a quiet line with the node of a call, or null where the server has only one. */
export function nodeLine({ node }) {
  return node && h("div.node", { title: "The node that mixes this call" }, node);
}
