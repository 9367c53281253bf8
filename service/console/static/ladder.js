/** The ladder of a call in plain words: what each rung means, and why a call is over. */

const RUNGS = {
  placed: "Placed through the provider",
  ringing: "Ringing",
  webhook: "The provider asked what to do",
  pin: "PIN",
  verified: "The PIN was right",
  markup: "Answered with streaming markup",
  socket: "The provider opened the media socket",
  start: "The stream began: in the room",
  "first-audio-in": "First audio from the caller",
  "first-audio-out": "First audio to the caller",
  "socket-lost": "The media socket was lost",
  "no-audio": "No audio from the caller",
  overrun: "Audio came too fast",
  moved: "Moved to another room",
  transfer: "Transfer",
  provider: "The provider said",
  agent: "Agent",
  omitted: "A long ladder has lost its middle",
  end: "The call ended",
};

const ENDS = {
  "caller-hung-up": "The caller hung up.",
  "ended-by-api": "It was ended here, or through the API.",
  "connection-lost": "The connection was lost and did not come back.",
  "no-media-socket": "The provider never opened the media socket.",
  "max-duration": "It reached the longest time a call may take.",
  "protocol-error": "The provider's messages could not be understood.",
  replaced: "Another connection took its place.",
  "no-route": "Nothing says which room it belongs to.",
  "not-allowed": "The caller is not among the allowed numbers.",
  "no-pin": "The caller did not know the PIN.",
  busy: "There was no place for another call.",
  "room-deactivated": "Its room was deactivated.",
  "participant-not-allowed": "The room does not let this participant in.",
  "session-ended": "The session was ended.",
  "session-timeout": "The session had lasted long enough.",
  "participant-removed": "The participant was put out.",
  alone: "It was alone in the room for too long.",
  transferred: "It was handed on to another number.",
  "ring-timeout": "Nobody answered in time.",
  "no-answer": "Nobody answered.",
  "callee-busy": "The line was busy.",
  canceled: "It was given up while it rang.",
  "provider-failed": "The provider could not place it.",
};

const TROUBLE = new Set(["connection-lost", "no-media-socket", "protocol-error", "provider-failed", "no-route"]);

export function rung(event) {
  return RUNGS[event] ?? event;
}

export function end(reason) {
  return ENDS[reason] ?? reason;
}

/** "bad" for an end that somebody should look into, "" for the others. */
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

/** The state that a call's status is shown in. */
export function statusState(status) {
  return STATES[status] ?? "";
}
