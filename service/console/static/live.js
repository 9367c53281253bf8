/** The live socket: one for all pages, open while anybody watches, and back by itself. */

import { ask } from "./api.js";

/** Milliseconds before another try; it doubles with each that fails. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

/** Levels come five times a second: a socket that says nothing for so long is lost. */
const SILENT_AFTER = 5_000;

/** Between two pages that watch, nobody does for a moment. */
const LINGER = 1_000;

const FULL = 1013;

const watchers = new Set();
let socket = null;
let state = "connecting";
let pause = FIRST_PAUSE;
let retry = null;
let guard = null;
let spokenAt = 0;

/**
 * Watch the calls until the signal says that the page is left.
 *
 * onLevels({at, calls: {callId: [said dB, heard dB, lost, jitter ms, buffer ms]}}), where null dB is
 * silence; onChanged() when calls are to be read anew, also after the socket was away;
 * onState("connecting" | "open" | "away" | "full"), the first time at once.
 */
export function watchLive(signal, watcher) {
  if (signal.aborted) return;
  watchers.add(watcher);
  signal.addEventListener("abort", () => {
    watchers.delete(watcher);
    setTimeout(() => watchers.size || stop(), LINGER);
  });
  watcher.onState?.(state);
  if (!socket && !retry) connect();
  else if (state === "open") watcher.onChanged?.();
}

function connect() {
  clearTimeout(retry);
  retry = null;
  if (socket || !watchers.size) return;
  const opened = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/console/api/live`);
  socket = opened;
  spokenAt = performance.now();
  guard = setInterval(() => performance.now() - spokenAt > SILENT_AFTER && lose(opened), 1_000);
  opened.addEventListener("message", ({ data }) => socket === opened && hear(JSON.parse(data)));
  opened.addEventListener("close", ({ code }) => lose(opened, code));
}

function hear(news) {
  spokenAt = performance.now();
  pause = FIRST_PAUSE;
  enter("open");
  for (const watcher of [...watchers]) {
    if (news.event === "levels") watcher.onLevels?.(news);
    else if (news.event === "changed") watcher.onChanged?.();
  }
}

function lose(lost, code) {
  if (socket !== lost) return;
  const hadOpened = state === "open";
  release();
  enter(code === FULL ? "full" : "away");
  if (!watchers.size) return;
  // A refused handshake does not say why: where nobody is signed in any more, this finds out.
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
  clearInterval(guard);
  const closing = socket;
  socket = null;
  closing.close();
}

function enter(next) {
  if (state === next) return;
  state = next;
  for (const watcher of [...watchers]) watcher.onState?.(state);
}

window.addEventListener("online", () => retry && connect());
