/** The frame around the pages: navigation, sign-out, and the current page. */

import { currentSession, resume, signedOut, signOut } from "./api.js";
import { attempt, button, empty, heading } from "./components.js";
import { h, put } from "./dom.js";
import { followLinks, go, match } from "./router.js";

const NAVIGATION = [
  ["/console/", "Live", ["live"]],
  ["/console/calls", "Calls", ["calls", "call"]],
  ["/console/rooms", "Rooms", ["rooms", "room"]],
  ["/console/connectors", "Connectors", ["connectors", "connector"]],
  ["/console/rules", "Rules", ["rules"]],
  ["/console/webhooks", "Webhooks", ["webhooks", "webhook"]],
  ["/console/agents", "Agents", ["agents"]],
  ["/console/health", "Health", ["health"]],
];

const root = document.getElementById("frame");
const links = NAVIGATION.map(([path, name, pages]) => ({ pages, element: h("a", { href: path }, name) }));
const main = h("main#main", { tabindex: "-1" });
const foot = h("div.foot");
const rail = h(
  "header.rail",
  h("a.brand", { href: "/console/" }, h("img", { src: "/console/static/icon.svg", alt: "" }), "Patchbay"),
  h("nav", { "aria-label": "Console" }, h("ul", links.map(({ element }) => h("li", element)))),
  foot,
);

/** Aborted when the current page is left, to stop its listeners, timers and sockets. */
let leaving = new AbortController();

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const found = match(location.pathname);
  if (!currentSession() && found?.page !== "sign-in") {
    const returnTo = location.pathname + location.search;
    go(`/console/sign-in?next=${encodeURIComponent(returnTo)}`, { replace: true });
    return;
  }
  arrange(found?.page);
  put(main);
  if (!found) {
    document.title = "Not found · Patchbay";
    put(main, heading("There is no such page"), empty("Not found", "No page has this address.",
      h("a.button", { href: "/console/" }, "Go to the live calls")));
  } else {
    await open(found, signal);
  }
  if (signal.aborted) return;
  window.scrollTo(0, 0);
  main.querySelector("h1")?.focus({ preventScroll: true });
}

/** A page module exports `title` and `show(main, params, signal)`. The signal aborts when the page is left. */
async function open({ page, params }, signal) {
  try {
    const module = await import(`./pages/${page}.js`);
    if (signal.aborted) return;
    document.title = `${module.title} · Patchbay`;
    await module.show(main, params, signal);
  } catch (error) {
    if (signal.aborted || (error.status === 401 && !currentSession())) return;
    put(main, heading("This page cannot be shown"), empty("The page did not load", error.message,
      button("Try again", () => window.dispatchEvent(new Event("route")))));
  }
}

function arrange(page) {
  const isSignIn = page === "sign-in";
  root.className = isSignIn ? "sign-in" : "frame";
  put(root, !isSignIn && rail, main);
  for (const { pages, element } of links) {
    element.removeAttribute("aria-current");
    if (!pages.includes(page)) continue;
    element.setAttribute("aria-current", "page");
    element.scrollIntoView({ block: "nearest", inline: "center" });
  }
  put(
    foot,
    h("span.version", `Version ${currentSession()?.version ?? ""}`),
    button("Sign out", leave, { kind: "bare small" }),
  );
}

async function leave() {
  if (await attempt(signOut)) go("/console/sign-in");
}

followLinks();
window.addEventListener("route", show);
signedOut.addEventListener("out", show);
try {
  await resume();
  await show();
} catch (error) {
  put(root, h("main#main", heading("Patchbay"), empty("The console did not load", error.message)));
}
