/** Instructions and the public key for checking a webhook's signature. */

import { ask } from "../api.js";
import { copyButton, panel } from "../components.js";
import { h } from "../dom.js";

const CHECK = `openssl base64 -d -A -in signature.txt -out signature.bin
openssl dgst -sha256 -verify patchbay.pem -signature signature.bin body.json`;

export async function signatures(signal) {
  const { publicKey } = await ask("GET", "/v2/public/rsa-public-key?format=spki", undefined, { signal });
  return panel(
    "Checking signatures",
    {},
    h(
      "div.stack",
      h("p", h("code", "videosdk-signature"), " is the RSA PKCS #1 v1.5 SHA-256 signature of the raw body, in base64."),
      h("p", "With this key in ", h("code", "patchbay.pem"), ", the header's text in ", h("code", "signature.txt"),
        " and the body in ", h("code", "body.json"), ", these commands print ", h("code", "Verified OK"), ":"),
      h("pre", CHECK),
      h("div.row", h("h3", "The public key"), copyButton(() => publicKey, "the public key")),
      h("details", h("summary", "Show it"), h("pre", publicKey)),
    ),
  );
}
