/** Texts for the steps of a call's ladder, its end reasons and its statuses. */

const STEPS = {
  placed: "Placed through the provider",
  ringing: "Ringing",
  webhook: "The provider asked what to do",
  pin: "PIN",
  verified: "The PIN was correct",
  markup: "Answered with streaming markup",
  socket: "The provider opened the media socket",
  start: "The stream started, and the call is in the room",
  "first-audio-in": "First audio from the caller",
  "first-audio-out": "First audio to the caller",
  "socket-lost": "The media socket was lost",
  "no-audio": "No audio from the caller",
  overrun: "Audio arrived too fast",
  moved: "Moved to another room",
  transfer: "Transfer",
  provider: "Message from the provider",
  agent: "Agent",
  omitted: "Some steps were left out of a long ladder",
  end: "The call ended",
};

const ENDS = {
  "caller-hung-up": "The caller hung up.",
  "ended-by-api": "It was ended in the console or through the API.",
  "connection-lost": "The connection was lost and not restored.",
  "no-media-socket": "The provider never opened the media socket.",
  "max-duration": "It reached the maximum duration of a call.",
  "protocol-error": "The provider's messages could not be parsed.",
  replaced: "Another connection replaced it.",
  "no-route": "No routing rule or connector names a room for it.",
  "not-allowed": "The caller is not among the allowed numbers.",
  "no-pin": "The caller did not enter the correct PIN.",
  busy: "The server had no capacity for another call.",
  "room-deactivated": "Its room was deactivated.",
  "participant-not-allowed": "The room does not allow this participant.",
  "session-ended": "The session was ended.",
  "session-timeout": "The session reached its time limit.",
  "participant-removed": "The participant was removed.",
  alone: "It was alone in the room for too long.",
  transferred: "It was transferred to another number.",
  "ring-timeout": "Nobody answered in time.",
  "no-answer": "Nobody answered.",
  "callee-busy": "The line was busy.",
  canceled: "It was canceled while it rang.",
  "provider-failed": "The provider could not place the call.",
};

const TROUBLE = new Set(["connection-lost", "no-media-socket", "protocol-error", "provider-failed", "no-route"]);

export function stepText(event) {
  return STEPS[event] ?? event;
}

export function endText(reason) {
  return ENDS[reason] ?? reason;
}

/** Returns "bad" for an end reason that points to a fault, else "". */
export function endState(reason) {
  return TROUBLE.has(reason) ? "bad" : "";
}

const STATES = {
  answered: "good",
  incoming: "warn",
  initiated: "warn",
  ringing: "warn",
  verified: "warn",
  rejected: "bad",
  failed: "bad",
};

/** Map a call's status to the state of its pill. */
export function statusState(status) {
  return STATES[status] ?? "";
}
