/** Call events that a webhook can subscribe to. */

/** Events: [name, text]. */
export const EVENTS = [
  ["call-started", "A call arrives or is placed"],
  ["call-ringing", "A placed call rings"],
  ["call-answered", "The caller is in the room"],
  ["call-hangup", "The call ended"],
  ["call-missed", "The call ended unanswered"],
  ["call-update", "The status of a call has changed"],
  ["call-transfer-initiated", "A transfer was requested"],
  ["call-transferring", "The provider dials the other number"],
  ["call-transferred", "The other number has answered"],
  ["call-transfer-failed", "Nobody answered, and the caller is back"],
  ["switch-room-initiated", "A move to another room was requested"],
  ["switch-room-completed", "The call is in the other room"],
  ["switch-room-failed", "The call could not be moved"],
];

/** Returns whether these names include every event. */
export function areAll(names) {
  return EVENTS.every(([name]) => names.includes(name));
}
