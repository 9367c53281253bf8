/** The JSON API, as whoever is signed in may use it. */

/** What the server refused, in its own sentence; `errors` has those of single fields. */
export class Refused extends Error {
  constructor(status, message, errors = {}) {
    super(message);
    this.name = "Refused";
    this.status = status;
    this.errors = errors;
  }
}

/** {proof, version, testCalls} of this sign-in, or null. */
let session = null;

/** Emits "out" when nobody is signed in any more, as a request has found or another tab has said. */
export const signedOut = new EventTarget();

/** The tabs of this browser share the cookie, and tell each other when it has changed. */
const tabs = new BroadcastChannel("patchbay-session");
tabs.addEventListener("message", async () => {
  const wasIn = session !== null;
  // A server that is away says nothing about it: the next request will.
  if (!(await resume().catch(() => true)) && wasIn) signedOut.dispatchEvent(new Event("out"));
});

export function currentSession() {
  return session;
}

/** Whether somebody is signed in already. */
export async function resume() {
  try {
    session = (await send("GET", "/console/api/session")).data;
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) throw error;
    session = null;
  }
  return session !== null;
}

/** Sign in with {token}, {apiKey, apiSecret} or {link}. Throws Refused. */
export async function signIn(credentials) {
  session = (await send("POST", "/console/api/session", credentials)).data;
  tabs.postMessage("in");
}

export async function signOut() {
  await send("DELETE", "/console/api/session");
  session = null;
  tabs.postMessage("out");
}

/**
 * One request: {data, message, pageInfo, warnings}. Throws Refused, whose message is one sentence
 * that can be shown; also where the server cannot be reached.
 */
export async function ask(method, path, body, { signal } = {}) {
  try {
    return await send(method, path, body, signal);
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      session = null;
      signedOut.dispatchEvent(new Event("out"));
    }
    throw error;
  }
}

/** All of a list that has pages. */
export async function askAll(path, query = {}) {
  const all = [];
  for (let page = 1; ; page += 1) {
    const { data, pageInfo } = await ask("GET", withQuery(path, { ...query, page, perPage: 100 }));
    all.push(...data);
    if (page >= pageInfo.lastPage) return all;
  }
}

/** A path with a query of what is not empty. */
export function withQuery(path, query) {
  const entries = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  return entries.length ? `${path}?${new URLSearchParams(entries)}` : path;
}

async function send(method, path, body, signal) {
  const headers = {};
  if (session) headers["X-Console-Proof"] = session.proof;
  const isRaw = body instanceof Blob;
  if (body !== undefined) headers["Content-Type"] = isRaw ? body.type : "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      signal,
      credentials: "same-origin",
      body: body === undefined || isRaw ? body : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(0, "The server cannot be reached.");
  }
  let answer = {};
  try {
    answer = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    if (response.ok) throw new Refused(response.status, "The server's answer cannot be read.");
  }
  if (!response.ok) {
    throw new Refused(
      response.status,
      answer.message || `The server answered ${response.status}.`,
      answer.errors,
    );
  }
  return answer;
}
