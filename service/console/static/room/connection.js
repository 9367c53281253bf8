/** One participant's custom WebSocket, opened anew with the same participant id when it is lost. */

import { ask } from "../api.js";
import { counted } from "../format.js";

/** Close codes after which somebody else may be let in: the server restarts, is full, or was lost. */
const AGAIN = new Set([1001, 1005, 1006, 1011, 1012, 1013]);

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5000;

/** Milliseconds of being in after which a loss counts as the first one. */
const STEADY = 10_000;

/** Milliseconds without a word, of which the server says fifty a second, after which a socket is dead. */
const DEAF = 5000;

/** Bytes that wait to be sent, beyond which audio is dropped and not sent late: a quarter of a second. */
const BACKLOG = 6000;

/**
 * `tell` is an object of three functions: `state(name, sentence)`, where name is joining, joined,
 * waiting or left; `message(document)` for each message but audio; `audio(payload)`.
 */
export class Connection {
  #leaving = new AbortController();
  #socket = null;
  #losses = 0;
  #joinedAt = null;
  #heardAt = 0;
  #placedIn = null;
  #roomId;
  #participant;
  #tell;

  constructor(roomId, participant, tell) {
    this.#roomId = roomId;
    this.#participant = participant;
    this.#tell = tell;
  }

  /** Ask for a ticket and use it. Whatever comes of it is told. */
  async open() {
    const { signal } = this.#leaving;
    this.#tell.state("joining", this.#losses ? "Joining again …" : "Joining …");
    const wanted = { roomId: this.#roomId, participant: this.#participant };
    try {
      const { data } = await ask("POST", "/v2/ingest/sessions", wanted, { signal });
      if (!signal.aborted) this.#connect(data.wsUrl);
    } catch (error) {
      if (signal.aborted) return;
      const mayPass = error.status === 0 || error.status === 429 || error.status >= 500;
      if (mayPass) this.#wait(error.message);
      else this.#end(error.message);
    }
  }

  /** Send a message; whether the room was there to take it. */
  send(document) {
    if (!this.#isIn) return false;
    this.#socket.send(JSON.stringify(document));
    return true;
  }

  /** Say a frame: base64. */
  speak(payload) {
    if (this.#isIn && this.#socket.bufferedAmount < BACKLOG) this.send({ event: "media", payload });
  }

  /** Leave the room for good. */
  close() {
    if (this.#leaving.signal.aborted) return;
    this.send({ event: "stop" });
    this.#socket?.close(1000);
    this.#end("You have left the room.");
  }

  get #isIn() {
    return this.#joinedAt !== null && this.#socket.readyState === WebSocket.OPEN;
  }

  #connect(wsUrl) {
    // The ticket may name another address of this server, and a page reaches its own origin only.
    const { pathname, search } = new URL(wsUrl);
    const url = new URL(pathname + search, location.href);
    url.protocol = location.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    const lost = new AbortController();
    const options = { signal: AbortSignal.any([lost.signal, this.#leaving.signal]) };
    const listening = setInterval(() => {
      if (performance.now() - this.#heardAt > DEAF) lose(1006, "");
    }, 1000);
    options.signal.addEventListener("abort", () => clearInterval(listening));

    const lose = (code, reason) => {
      lost.abort();
      socket.close();
      this.#lose(code, reason);
    };
    this.#socket = socket;
    this.#heardAt = performance.now();
    socket.addEventListener("open", () => socket.send('{"event": "start"}'), options);
    socket.addEventListener("message", ({ data }) => this.#hear(JSON.parse(data)), options);
    socket.addEventListener("close", ({ code, reason }) => lose(code, reason), options);
  }

  #hear(document) {
    this.#heardAt = performance.now();
    if (document.event === "media") {
      this.#tell.audio(document.payload);
      return;
    }
    if (document.event === "meeting-joined") {
      const isMoved = this.#joinedAt !== null && document.roomId !== this.#placedIn;
      this.#placedIn = document.roomId;
      this.#joinedAt ??= this.#heardAt;
      this.#tell.state("joined", isMoved ? `You were moved to ${document.roomId}.` : "You are in the room.");
    }
    this.#tell.message(document);
  }

  #lose(code, reason) {
    if (this.#joinedAt !== null && performance.now() - this.#joinedAt > STEADY) this.#losses = 0;
    this.#joinedAt = null;
    if (!AGAIN.has(code)) this.#end(reason ? `You are out of the room: ${reason}` : "You are out of the room.");
    else this.#wait(code === 1012 ? "The server restarts." : "The connection was lost.");
  }

  #wait(sentence) {
    const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#losses);
    // Not all at once: many may have been lost together.
    const pause = longest * (0.5 + Math.random() / 2);
    this.#losses += 1;
    const seconds = Math.ceil(pause / 1000);
    this.#tell.state("waiting", `${sentence} You join again in ${counted(seconds, "second")}.`);
    const timer = setTimeout(() => this.open(), pause);
    this.#leaving.signal.addEventListener("abort", () => clearTimeout(timer));
  }

  #end(sentence) {
    this.#joinedAt = null;
    this.#leaving.abort();
    this.#tell.state("left", sentence);
  }
}
