/** What a routing rule does, in words. */

/** [prefix of a dynamic room, where that leads] */
export const DYNAMIC = [
  ["blank", "A new room for each call"],
  ["participantNumber", "One room for each caller"],
  ["sipNumber", "One room for each called number"],
];

/** [type, which numbers it is about] */
export const TYPES = [
  ["inbound", "Calls that come in"],
  ["outbound", "Calls that are placed"],
];

/** "static", or the prefix of its dynamic room; what makes a new room for each call is one thing. */
export function destination({ type, prefix }) {
  if (type === "static") return type;
  return prefix === "random" ? "blank" : prefix;
}
