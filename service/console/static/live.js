/** The live socket: one for all pages, open while there are subscribers, and reconnected when lost. */

import { ask } from "./api.js";

/** Milliseconds before a retry. The pause doubles with each failure. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

/** Milliseconds without a message after which the socket is considered lost. Levels arrive five times a second. */
const SILENT_AFTER = 5_000;

/** Milliseconds for which the socket stays open without subscribers, while one page replaces another. */
const LINGER = 1_000;

const FULL = 1013;

const subscribers = new Set();
let socket = null;
let state = "connecting";
let pause = FIRST_PAUSE;
let retry = null;
let silenceTimer = null;
let lastMessageAt = 0;

/**
 * Subscribe to the live feed until the signal aborts. The subscriber's functions are optional:
 *
 * onLevels({at, calls: {callId: [said dB, heard dB, lost, jitter ms, buffer ms]}}), where null dB is
 * silence. onChanged() when the calls have changed, also after a reconnect.
 * onState("connecting" | "open" | "away" | "full"), the first time immediately.
 */
export function subscribeToLive(signal, subscriber) {
  if (signal.aborted) return;
  subscribers.add(subscriber);
  signal.addEventListener("abort", () => {
    subscribers.delete(subscriber);
    setTimeout(() => subscribers.size || stop(), LINGER);
  });
  subscriber.onState?.(state);
  if (!socket && !retry) connect();
  else if (state === "open") subscriber.onChanged?.();
}

function connect() {
  clearTimeout(retry);
  retry = null;
  if (socket || !subscribers.size) return;
  const opened = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/console/api/live`);
  socket = opened;
  lastMessageAt = performance.now();
  silenceTimer = setInterval(() => performance.now() - lastMessageAt > SILENT_AFTER && lose(opened), 1_000);
  opened.addEventListener("message", ({ data }) => socket === opened && receive(JSON.parse(data)));
  opened.addEventListener("close", ({ code }) => lose(opened, code));
}

function receive(message) {
  lastMessageAt = performance.now();
  pause = FIRST_PAUSE;
  enter("open");
  for (const subscriber of [...subscribers]) {
    if (message.event === "levels") subscriber.onLevels?.(message);
    else if (message.event === "changed") subscriber.onChanged?.();
  }
}

function lose(lost, code) {
  if (socket !== lost) return;
  const hadOpened = state === "open";
  release();
  enter(code === FULL ? "full" : "away");
  if (!subscribers.size) return;
  // A refused handshake gives no reason. This request finds out whether the session has ended.
  if (!hadOpened) ask("GET", "/console/api/session").catch(() => {});
  retry = setTimeout(connect, pause * (0.75 + Math.random() / 2));
  pause = code === FULL ? LONGEST_PAUSE : Math.min(2 * pause, LONGEST_PAUSE);
}

function stop() {
  clearTimeout(retry);
  retry = null;
  pause = FIRST_PAUSE;
  if (socket) release();
  state = "connecting";
}

function release() {
  clearInterval(silenceTimer);
  const closing = socket;
  socket = null;
  closing.close();
}

function enter(next) {
  if (state === next) return;
  state = next;
  for (const subscriber of [...subscribers]) subscriber.onState?.(state);
}

window.addEventListener("online", () => retry && connect());
