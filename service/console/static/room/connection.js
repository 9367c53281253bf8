/** A participant's custom WebSocket, reconnected with the same participant id when it is lost. */

import { ask, currentSession } from "../api.js";
import { counted } from "../format.js";

/** Close codes after which a reconnect may succeed: the server restarted, is full, or was unreachable. */
const RETRIABLE = new Set([1001, 1005, 1006, 1011, 1012, 1013]);

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5000;

/** Milliseconds in the room after which the next loss counts as the first. */
const STABLE_AFTER = 10_000;

/** Milliseconds without a message after which a socket is considered dead. The server sends fifty a second. */
const DEAD_AFTER = 5000;

/** Unsent bytes beyond which audio is dropped instead of sent late: a quarter of a second. */
const MAX_UNSENT = 6000;

/**
 * Return the address to connect to. With several machines it is the ticket's, which names the machine of the
 * room. Otherwise it is the page's own origin, because the page may connect to no other.
 */
function reachable(wsUrl) {
  if (currentSession()?.severalMachines) return wsUrl;
  const { pathname, search } = new URL(wsUrl);
  const url = new URL(pathname + search, location.href);
  url.protocol = location.protocol.replace("http", "ws");
  return url;
}

/**
 * `listener` is an object of three functions: `state(name, sentence)`, where name is joining, joined,
 * waiting or left; `message(document)` for each message except audio; `audio(payload)`.
 */
export class Connection {
  #leaving = new AbortController();
  #socket = null;
  #losses = 0;
  #joinedAt = null;
  #receivedAt = 0;
  #currentRoom = null;
  #roomId;
  #participant;
  #listener;

  constructor(roomId, participant, listener) {
    this.#roomId = roomId;
    this.#participant = participant;
    this.#listener = listener;
  }

  /** Request a ticket and connect with it. The listener is told the outcome. */
  async open() {
    const { signal } = this.#leaving;
    this.#listener.state("joining", this.#losses ? "Rejoining …" : "Joining …");
    const wanted = { roomId: this.#roomId, participant: this.#participant };
    try {
      const { data } = await ask("POST", "/v2/ingest/sessions", wanted, { signal });
      if (!signal.aborted) this.#connect(data.wsUrl);
    } catch (error) {
      if (signal.aborted) return;
      const isTemporary = error.status === 0 || error.status === 429 || error.status >= 500;
      if (isTemporary) this.#wait(error.message);
      else this.#end(error.message);
    }
  }

  /** Send a message. Returns whether the socket was open. */
  send(document) {
    if (!this.#isJoined) return false;
    this.#socket.send(JSON.stringify(document));
    return true;
  }

  /** Send a frame of audio in base64. */
  speak(payload) {
    if (this.#isJoined && this.#socket.bufferedAmount < MAX_UNSENT) this.send({ event: "media", payload });
  }

  /** Leave the room without reconnecting. */
  close() {
    if (this.#leaving.signal.aborted) return;
    this.send({ event: "stop" });
    this.#socket?.close(1000);
    this.#end("You have left the room.");
  }

  get #isJoined() {
    return this.#joinedAt !== null && this.#socket.readyState === WebSocket.OPEN;
  }

  #connect(wsUrl) {
    const socket = new WebSocket(reachable(wsUrl));
    const lost = new AbortController();
    const options = { signal: AbortSignal.any([lost.signal, this.#leaving.signal]) };
    const listening = setInterval(() => {
      if (performance.now() - this.#receivedAt > DEAD_AFTER) lose(1006, "");
    }, 1000);
    options.signal.addEventListener("abort", () => clearInterval(listening));

    const lose = (code, reason) => {
      lost.abort();
      socket.close();
      this.#lose(code, reason);
    };
    this.#socket = socket;
    this.#receivedAt = performance.now();
    socket.addEventListener("open", () => socket.send('{"event": "start"}'), options);
    socket.addEventListener("message", ({ data }) => this.#receive(JSON.parse(data)), options);
    socket.addEventListener("close", ({ code, reason }) => lose(code, reason), options);
  }

  #receive(document) {
    this.#receivedAt = performance.now();
    if (document.event === "media") {
      this.#listener.audio(document.payload);
      return;
    }
    // A lost connection is made again to the room of the last move, which may be on another machine.
    if (document.roomId && document.event.startsWith("meeting-")) this.#roomId = document.roomId;
    if (document.event === "meeting-joined") {
      const isMoved = this.#currentRoom !== null && document.roomId !== this.#currentRoom;
      this.#currentRoom = document.roomId;
      this.#joinedAt ??= this.#receivedAt;
      this.#listener.state("joined", isMoved ? `You were moved to ${document.roomId}.` : "You are in the room.");
    }
    this.#listener.message(document);
  }

  #lose(code, reason) {
    if (this.#joinedAt !== null && performance.now() - this.#joinedAt > STABLE_AFTER) this.#losses = 0;
    this.#joinedAt = null;
    if (!RETRIABLE.has(code)) this.#end(reason ? `You are no longer in the room: ${reason}` : "You are no longer in the room.");
    else this.#wait(code === 1012 ? "The server is restarting." : "The connection was lost.");
  }

  #wait(sentence) {
    const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#losses);
    // Jitter, because many connections may have been lost together.
    const pause = longest * (0.5 + Math.random() / 2);
    this.#losses += 1;
    const seconds = Math.ceil(pause / 1000);
    this.#listener.state("waiting", `${sentence} Rejoining in ${counted(seconds, "second")}.`);
    const timer = setTimeout(() => this.open(), pause);
    this.#leaving.signal.addEventListener("abort", () => clearTimeout(timer));
  }

  #end(sentence) {
    this.#joinedAt = null;
    this.#leaving.abort();
    this.#listener.state("left", sentence);
  }
}
