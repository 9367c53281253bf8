/** A client of the JSON API, authenticated by the session cookie. */

/** An error response. `message` is the server's sentence, `errors` maps fields to their sentences. */
export class Refused extends Error {
  constructor(status, message, errors = {}) {
    super(message);
    this.name = "Refused";
    this.status = status;
    this.errors = errors;
  }
}

/** {proof, version, testCalls, severalMachines} of the current session, or null. */
let session = null;

/** Emits "out" when the session has ended, as a 401 response or another tab reports. */
export const signedOut = new EventTarget();

/** Tabs of one browser share the cookie, so each announces a sign-in or sign-out to the others. */
const tabs = new BroadcastChannel("patchbay-session");
tabs.addEventListener("message", async () => {
  const wasSignedIn = session !== null;
  // An unreachable server does not end the session. The next request finds out.
  if (!(await resume().catch(() => true)) && wasSignedIn) signedOut.dispatchEvent(new Event("out"));
});

export function currentSession() {
  return session;
}

/** Load the current session. Returns whether there is one. */
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
 * Send a request and return its JSON, such as {data, message, pageInfo, warnings}. Throws Refused
 * with a message to show, also when the server cannot be reached.
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

/** Fetch every page of a list. */
export async function askAll(path, query = {}) {
  const all = [];
  for (let page = 1; ; page += 1) {
    const { data, pageInfo } = await ask("GET", withQuery(path, { ...query, page, perPage: 100 }));
    all.push(...data);
    if (page >= pageInfo.lastPage) return all;
  }
}

/** Append a query string of the values that are not empty. */
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
