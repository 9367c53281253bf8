/** Sign-in with a link from the terminal, with a token, or with the API key and secret. */

import { currentSession, signIn } from "../api.js";
import { heading, panel } from "../components.js";
import { h, put } from "../dom.js";
import { field, form, input } from "../forms.js";
import { go } from "../router.js";

export const title = "Sign in";

export async function show(main) {
  const secret = location.hash.slice(1);
  let failure = null;
  if (secret) {
    // Remove the secret from the address and the history.
    history.replaceState(null, "", location.pathname + location.search);
    try {
      await signIn({ link: secret });
    } catch (error) {
      failure = error.message;
    }
  }
  if (currentSession()) {
    go(next(), { replace: true });
    return;
  }
  put(main, heading("Sign in to Patchbay"), body(failure));
}

function body(failure) {
  const key = input("apiKey", { autocomplete: "username", spellcheck: "false" });
  const secret = input("apiSecret", { type: "password", autocomplete: "current-password" });
  const token = input("token", { type: "password", spellcheck: "false" });
  return h(
    "div.stack",
    failure && h("p.form-fault", { role: "alert" }, failure),
    panel("With the API key and secret", {}, form([field("API key", key), field("API secret", secret)], {
      verb: "Sign in",
      submit: enter,
    })),
    panel("With a token", {}, form([field("Token", token, { hint: "A token that is not tied to a room or participant." })], {
      verb: "Sign in with the token",
      submit: enter,
    })),
    h("p.soft.small", "On the server, ", h("code", ".venv/bin/flask --app wsgi console"),
      " prints a link that signs you in without them."),
  );
}

async function enter(credentials) {
  await signIn(credentials);
  go(next(), { replace: true });
}

/** Returns the page to open after sign-in, always within the console. */
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "";
  return /^\/console\/(?!\/)/.test(wanted) ? wanted : "/console/";
}
