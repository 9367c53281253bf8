/** What a routing rule does, in words. */

/** [prefix of a dynamic room, where that leads] */
export const DYNAMIC = [
  ["blank", "A new room for each call"],
  ["participantNumber", "One room for each participant"],
  ["sipNumber", "One room for each of its numbers"],
];

/** [type, which calls it is for] */
export const TYPES = [
  ["inbound", "Incoming calls"],
  ["outbound", "Placed calls"],
];

/** "static", or the prefix of its dynamic room; what makes a new room for each call is one thing. */
export function destination({ type, prefix }) {
  if (type === "static") return type;
  return prefix === "random" ? "blank" : prefix;
}
