/** The microphone of this browser, or one sentence that says why there is none. */

const REFUSALS = {
  NotAllowedError: "The browser does not let this page use the microphone. Allow it beside the address.",
  NotFoundError: "There is no microphone. Connect one first.",
  NotReadableError: "The microphone cannot be used: another program may have it. Close that first.",
};

/** Throws an Error whose message can be shown where sound is not to be had at this address. */
export function requireSound() {
  if (window.isSecureContext) return;
  throw new Error("Browsers give sound to pages on https or on localhost only: open the console at such an address.");
}

/** A MediaStream, for which the browser may ask. Throws an Error whose message can be shown. */
export async function openMicrophone(constraints = {}) {
  requireSound();
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, ...constraints } });
  } catch (error) {
    throw new Error(REFUSALS[error.name] ?? `The microphone cannot be used: ${error.message}.`);
  }
}

export function closeMicrophone(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
