/** Descriptions of routing rules. */

/** Kinds of dynamic room: [prefix, text]. */
export const DYNAMIC = [
  ["blank", "A new room for each call"],
  ["participantNumber", "One room for each participant"],
  ["sipNumber", "One room for each of its numbers"],
];

/** Types of rule: [type, text]. */
export const TYPES = [
  ["inbound", "Incoming calls"],
  ["outbound", "Placed calls"],
];

/** Returns "static" or the prefix of a dynamic room. "random" and "blank" both create a room for each call. */
export function destination({ type, prefix }) {
  if (type === "static") return type;
  return prefix === "random" ? "blank" : prefix;
}
