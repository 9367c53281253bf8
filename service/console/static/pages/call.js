/** One call: its ladder, how loud it was, what was answered, and who was told of it. */

import { ask } from "../api.js";
import { attempt, button, confirmed, empty, facts, heading, panel, pill, table, time } from "../components.js";
import { h, put } from "../dom.js";
import { milliseconds, provider, toDate } from "../format.js";
import { end, endState, rung, statusState } from "../ladder.js";
import { loudnessPlots } from "../loudness.js";
import { href } from "../router.js";
import { deliveryStatus } from "../webhooks/delivery-status.js";
import { lasted } from "./calls.js";

export const title = "Call";

const OVER = new Set(["ended", "rejected", "missed", "abandoned", "failed"]);

export async function show(main, { id }, signal) {
  const [{ data: call }, { data: more }, { data: loudness }] = await Promise.all([
    ask("GET", `/v2/sip/call/${encodeURIComponent(id)}`, undefined, { signal }),
    ask("GET", `/console/api/calls/${encodeURIComponent(id)}`, undefined, { signal }),
    ask("GET", `/console/api/calls/${encodeURIComponent(id)}/loudness`, undefined, { signal }),
  ]);

  async function hangUp() {
    if (!(await confirmed("End this call?", `${call.from} is hung up on at once.`, "End call"))) return;
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
        !OVER.has(call.status) && button("End call", hangUp, { kind: "danger" }),
      ].filter(Boolean),
    }),
    h(
      "div.call",
      panel("Ladder", {}, ladder(call)),
      h("div.stack", panel("The call", {}, summary(call)), panel("Audio", {}, audio(call.stats))),
    ),
    h("div.stack.below", panel("Loudness", {}, plots(loudness)), panel("Markup", {}, markup(more.markup)), deliveries(more.deliveries)),
  );
}

function summary(call) {
  return facts([
    ["Status", pill(call.status, statusState(call.status))],
    ["Why it ended", call.endReason ? h("span", { class: endState(call.endReason) }, end(call.endReason)) : null],
    ["From", call.from],
    ["To", call.to],
    ["Provider", provider(call.provider)],
    ["Direction", call.type],
    ["Room", call.roomId ? h("a", { href: href("rooms", call.roomId) }, call.roomId) : null],
    ["Connector", call.connectorId ? h("a", { href: href("connectors", call.connectorId) }, call.connectorId) : null],
    ["Began", time(call.start)],
    ["Lasted", lasted(call)],
    ["Handed on to", call.transfer ? `${call.transfer.to} (${call.transfer.status})` : null],
    ["Id", h("code", call.callId)],
  ]);
}

/** The rungs with the time each took since the one before. */
function ladder(call) {
  const steps = call.timelog;
  if (!steps.length) return empty("Nothing yet", "The provider has not asked what to do with it.");
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
          h("strong", rung(step.event)),
          said(call, step).map((text) => h("p.soft", text)),
        ),
      );
    }),
  );
}

/** What a rung says beside its name; the last one says why, and how that was noticed. */
function said(call, { event, detail }) {
  if (event !== "end") return detail ? [detail] : [];
  return detail === call.endReason ? [end(detail)] : [end(call.endReason), detail].filter(Boolean);
}

function audio(stats) {
  if (!stats) return empty("No audio", "The call has had no media socket.");
  const frames = (count) => `${count} frames`;
  return [h("p.soft.small", "A frame is 20 ms."), facts([
    ["From the caller", frames(stats.framesIn)],
    ["To the caller", frames(stats.framesOut)],
    ["Lost on the way", frames(stats.lost)],
    ["Came too late", frames(stats.late)],
    ["Dropped from the buffer", frames(stats.dropped)],
    ["Could not be sent", frames(stats.framesUnsent)],
    ["Gaps", `${stats.gaps}`],
    ["Jitter", `${stats.jitterMs} ms`],
    ["In the buffer", `${stats.bufferMs} ms`],
    ["Too loud together", frames(stats.clipped)],
    ["Malformed messages", `${stats.malformed}`],
    ["Left out", `${stats.ignored ?? 0} fields or messages`],
    ["Counted anew", `${stats.renumbered ?? 0} times`],
  ])];
}

function plots(records) {
  if (!records.some(({ said }) => said.length)) {
    return empty("Nothing to plot yet", "There is a value for each second of the call, once it is over or goes on for a while.");
  }
  return loudnessPlots(records);
}

/** Each answer once: a provider that asks again is mostly told the same. */
function markup(answers) {
  if (!answers.length) return empty("No markup", "The provider was not told what to do with this call.");
  return [
    h("p.soft", "What the provider was answered, with the secrets masked."),
    [...Map.groupBy(answers, ({ text }) => text)].map(([text, alike]) => [
      h("p.soft.small", alike.map(({ event, timestamp }, index) => [index > 0 && ", ", `${rung(event)}, `, time(timestamp)])),
      h("pre", { tabindex: "0", "aria-label": "Markup" }, indented(text)),
    ]),
  ];
}

/** A line for each element of one short XML document. */
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
  const about = "Webhooks that told of it";
  if (!sent.length) {
    return panel(about, {}, empty("Nobody was told", "No webhook is subscribed to what happened.",
      h("a.button", { href: "/console/webhooks" }, "Go to the webhooks")));
  }
  return panel(about, { flush: true }, table(about, [
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
