/** The events of calls that a webhook can be told of. */

/** [name, when it happens] */
export const EVENTS = [
  ["call-started", "A provider has asked, or a call is placed"],
  ["call-ringing", "A placed call rings"],
  ["call-answered", "The caller is in the room"],
  ["call-hangup", "The call is over"],
  ["call-missed", "The call is over, and nobody has answered"],
  ["call-update", "The status of a call has changed"],
  ["call-transfer-initiated", "A call is to be handed on"],
  ["call-transferring", "The provider dials the other number"],
  ["call-transferred", "The other number has answered"],
  ["call-transfer-failed", "Nobody has answered; the caller is back"],
  ["switch-room-initiated", "A call is to be moved to another room"],
  ["switch-room-completed", "It is in the other room"],
  ["switch-room-failed", "It could not be moved"],
];

/** Whether all of what can happen is among these names. */
export function areAll(names) {
  return EVENTS.every(([name]) => names.includes(name));
}
