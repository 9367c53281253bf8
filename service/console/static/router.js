/** Routes from addresses to pages. A page is a module that is imported when it is first opened. */

const ROUTES = [
  ["/console/", "live"],
  ["/console/calls", "calls"],
  ["/console/calls/:id", "call"],
  ["/console/rooms", "rooms"],
  ["/console/rooms/:id", "room"],
  ["/console/connectors", "connectors"],
  ["/console/connectors/:id", "connector"],
  ["/console/rules", "rules"],
  ["/console/webhooks", "webhooks"],
  ["/console/webhooks/:id", "webhook"],
  ["/console/agents", "agents"],
  ["/console/health", "health"],
  ["/console/sign-in", "sign-in"],
];

/** Match a path to its route: {page, params}, or null. */
export function match(path) {
  for (const [pattern, page] of ROUTES) {
    const wanted = pattern.split("/");
    const given = path.split("/");
    if (wanted.length !== given.length) continue;
    const params = {};
    const isMatch = wanted.every((part, index) => {
      if (!part.startsWith(":")) return part === given[index];
      params[part.slice(1)] = decodeURIComponent(given[index]);
      return given[index] !== "";
    });
    if (isMatch) return { page, params };
  }
  return null;
}

/** Navigate to another page. */
export function go(path, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", path);
  window.dispatchEvent(new Event("route"));
}

/** Build the address of one item: href("rooms", room.roomId). */
export function href(...parts) {
  return `/console/${parts.map(encodeURIComponent).join("/")}`;
}

/** Route clicks on the console's own links without reloading the document. */
export function followLinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
    if (!link || !isPlain || event.defaultPrevented || link.target || link.hasAttribute("download")) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || !match(url.pathname)) return;
    if (url.pathname === location.pathname && url.hash) return;
    event.preventDefault();
    go(url.pathname + url.search);
  });
  window.addEventListener("popstate", () => window.dispatchEvent(new Event("route")));
}
