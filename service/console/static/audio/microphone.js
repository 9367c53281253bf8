/** Access to the browser's microphone, with a sentence for each failure. */

const REFUSALS = {
  NotAllowedError: "The browser does not let this page use the microphone. Allow it in the address bar.",
  NotFoundError: "There is no microphone. Connect one and try again.",
  NotReadableError: "The microphone cannot be used. Another program may be using it.",
};

/** Throw an Error with a message to show if browsers block audio at this address. */
export function requireSecureContext() {
  if (window.isSecureContext) return;
  throw new Error("Browsers allow audio only on https or localhost. Open the console at such an address.");
}

/** Open a MediaStream, for which the browser may ask permission. Throws an Error with a message to show. */
export async function openMicrophone(constraints = {}) {
  requireSecureContext();
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, ...constraints } });
  } catch (error) {
    throw new Error(REFUSALS[error.name] ?? `The microphone cannot be used: ${error.message}.`);
  }
}

export function closeMicrophone(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
