/** One call: its ladder, loudness, markup and webhook deliveries. */

import { ask } from "../api.js";
import { attempt, button, confirmed, empty, facts, heading, panel, pill, table, time } from "../components.js";
import { h, put } from "../dom.js";
import { milliseconds, provider, toDate } from "../format.js";
import { endState, endText, statusState, stepText } from "../ladder.js";
import { loudnessPlots } from "../loudness.js";
import { href } from "../router.js";
import { deliveryStatus } from "../webhooks/delivery-status.js";
import { durationOf } from "./calls.js";

export const title = "Call";

const ENDED = new Set(["ended", "rejected", "missed", "abandoned", "failed"]);

export async function show(main, { id }, signal) {
  const [{ data: call }, { data: details }, { data: loudness }] = await Promise.all([
    ask("GET", `/v2/sip/call/${encodeURIComponent(id)}`, undefined, { signal }),
    ask("GET", `/console/api/calls/${encodeURIComponent(id)}`, undefined, { signal }),
    ask("GET", `/console/api/calls/${encodeURIComponent(id)}/loudness`, undefined, { signal }),
  ]);

  async function hangUp() {
    if (!(await confirmed("End this call?", `The call of ${call.from} ends immediately.`, "End call"))) return;
    await attempt(async () => {
      await ask("POST", "/v2/sip/call/end", { callId: id });
      await show(main, { id }, signal);
    });
  }

  put(
    main,
    heading(`Call from ${call.from}`, {
      actions: [
        button("Refresh", () => attempt(() => show(main, { id }, signal))),
        !ENDED.has(call.status) && button("End call", hangUp, { kind: "danger" }),
      ].filter(Boolean),
    }),
    h(
      "div.call",
      panel("Ladder", {}, ladder(call)),
      h("div.stack", panel("The call", {}, summary(call)), panel("Audio", {}, audio(call.stats))),
    ),
    h("div.stack.below", panel("Loudness", {}, plots(loudness)), panel("Markup", {}, markup(details.markup)), deliveries(details.deliveries)),
  );
}

function summary(call) {
  return facts([
    ["Status", pill(call.status, statusState(call.status))],
    ["Why it ended", call.endReason ? h("span", { class: endState(call.endReason) }, endText(call.endReason)) : null],
    ["From", call.from],
    ["To", call.to],
    ["Provider", provider(call.provider)],
    ["Direction", call.type],
    ["Room", call.roomId ? h("a", { href: href("rooms", call.roomId) }, call.roomId) : null],
    ["Connector", call.connectorId ? h("a", { href: href("connectors", call.connectorId) }, call.connectorId) : null],
    ["Started", time(call.start)],
    ["Duration", durationOf(call)],
    ["Transferred to", call.transfer ? `${call.transfer.to} (${call.transfer.status})` : null],
    ["Id", h("code", call.callId)],
  ]);
}

/** Build the ladder, each step with the time since the previous one. */
function ladder(call) {
  const steps = call.timelog;
  if (!steps.length) return empty("No step yet", "The provider has not asked what to do with the call.");
  return h(
    "ol.ladder",
    steps.map((step, index) => {
      const since = index ? toDate(step.timestamp) - toDate(steps[index - 1].timestamp) : 0;
      return h(
        "li",
        { class: step.event === "end" || step.event === "socket-lost" ? "stop" : null },
        h("span.at", time(step.timestamp), index > 0 && h("span.since", `+ ${milliseconds(since)}`)),
        h(
          "div",
          h("strong", stepText(step.event)),
          detailsOf(call, step).map((text) => h("p.soft", text)),
        ),
      );
    }),
  );
}

/** List the details of a step. The last step shows the end reason and how it was detected. */
function detailsOf(call, { event, detail }) {
  if (event !== "end") return detail ? [detail] : [];
  return detail === call.endReason ? [endText(detail)] : [endText(call.endReason), detail].filter(Boolean);
}

function audio(stats) {
  if (!stats) return empty("No audio", "The call had no media socket.");
  const frames = (count) => `${count} frames`;
  return [h("p.soft.small", "A frame is 20 ms."), facts([
    ["From the caller", frames(stats.framesIn)],
    ["To the caller", frames(stats.framesOut)],
    ["Lost", frames(stats.lost)],
    ["Late", frames(stats.late)],
    ["Dropped from the buffer", frames(stats.dropped)],
    ["Not sent", frames(stats.framesUnsent)],
    ["Gaps", `${stats.gaps}`],
    ["Jitter", `${stats.jitterMs} ms`],
    ["Buffer", `${stats.bufferMs} ms`],
    ["Clipped in the mix", frames(stats.clipped)],
    ["Malformed messages", `${stats.malformed}`],
    ["Ignored", `${stats.ignored ?? 0} fields or messages`],
    ["Renumbered", `${stats.renumbered ?? 0} times`],
  ])];
}

function plots(records) {
  if (!records.some(({ said }) => said.length)) {
    return empty("Nothing to plot yet", "The plots show one value for each second of audio in the call.");
  }
  return loudnessPlots(records);
}

/** Build the panel's content. Equal answers are shown once, with the time of each. */
function markup(answers) {
  if (!answers.length) return empty("No markup", "The provider received no markup for this call.");
  return [
    h("p.soft", "The answers to the provider, with secrets masked."),
    [...Map.groupBy(answers, ({ text }) => text)].map(([text, alike]) => [
      h("p.soft.small", alike.map(({ event, timestamp }, index) => [index > 0 && ", ", `${stepText(event)}, `, time(timestamp)])),
      h("pre", { tabindex: "0", "aria-label": "Markup" }, indented(text)),
    ]),
  ];
}

/** Indent a short XML document, with a line for each element. */
function indented(text) {
  let depth = 0;
  return text
    .replace(/></g, ">\n<")
    .split("\n")
    .map((line) => {
      if (line.startsWith("</")) depth -= 1;
      const indent = "  ".repeat(Math.max(depth, 0));
      if (/^<[^/?!][^>]*[^/]>$/.test(line)) depth += 1;
      return indent + line;
    })
    .join("\n");
}

function deliveries(sent) {
  const title = "Webhook deliveries";
  if (!sent.length) {
    return panel(title, {}, empty("No delivery", "No webhook is subscribed to the events of this call.",
      h("a.button", { href: "/console/webhooks" }, "Go to the webhooks")));
  }
  return panel(title, { flush: true }, table(title, [
    { heading: "Event", cell: (each) => h("code", each.event) },
    { heading: "Receiver", cell: receiver },
    { heading: "Status", cell: deliveryStatus },
    { heading: "Attempts", number: true, cell: (each) => `${each.attempts}` },
    { heading: "Answer", cell: (each) => each.responseStatus ?? each.error ?? "" },
    { heading: "Last attempt", cell: (each) => time(each.lastAttemptAt) },
  ], sent));
}

function receiver({ receiver }) {
  if (receiver.startsWith("room:")) return "the room's webhook";
  return h("a", { href: href("webhooks", receiver) }, receiver);
}
