/** The room's text messages by topic, and the keys that callers press. */

import { empty, panel, time } from "../components.js";
import { h } from "../dom.js";
import { field, form, input, select } from "../forms.js";

const CHAT = "CHAT";
const KEYS = "DTMF_EVENT";

/** Maximum number of entries on the page. */
const MAX_ENTRIES = 200;

/** Milliseconds within which a caller's keys are shown on one line. */
const SAME_LINE = 10_000;

/**
 * Build the panels: {element, receive(document), joined(isJoined)}. `send(document)` returns whether it was sent.
 */
export function messages(send) {
  const topics = [CHAT];
  const list = h("ol.plain.entries", { "aria-live": "polite", "aria-label": "Messages" });
  const keys = h("ol.plain.entries", { "aria-live": "polite", "aria-label": "Keys" });
  const none = empty("No message yet", "Messages published to your topics appear here.");
  const noKeys = empty("No key yet", "Keys that callers press appear here.");
  const outside = h("p.soft.outside", "Join to read and write messages. Only participants receive them.");
  const topic = select("topic", [[CHAT, CHAT]], CHAT);
  const writing = form([h("div.writing", field("Topic", topic), field("Text", input("text", { maxlength: 4000 })))], {
    verb: "Send",
    submit: publish,
  });
  const subscribing = form([field("Another topic", input("topic", { maxlength: 128 }))], {
    verb: "Subscribe",
    submit: subscribe,
  });
  const inside = h("div.stack", { hidden: true }, none, list, writing, h("details", h("summary", "Topics"), subscribing));
  const keysInside = h("div.stack", { hidden: true }, noKeys, keys);
  const keysOutside = h("p.soft.outside", "Join to see the keys that callers press.");
  let lastKeys = null;

  async function publish({ topic: name, text }) {
    if (!text) return;
    if (!send({ event: "message", topic: name, data: text })) {
      throw new Error("The message was not sent, because you are not in the room at the moment.");
    }
    writing.elements.text.value = "";
    writing.elements.text.focus();
  }

  async function subscribe({ topic: name }) {
    if (!name) return;
    if (!topics.includes(name)) {
      topics.push(name);
      topic.append(h("option", { value: name }, name));
      send({ event: "subscribe", topic: name });
    }
    topic.value = name;
    subscribing.reset();
  }

  function receive(document) {
    if (document.event === "meeting-joined") {
      // Subscriptions belong to the socket, so a new socket subscribes again.
      for (const name of [...topics, KEYS]) send({ event: "subscribe", topic: name });
    }
    if (document.event !== "message") return;
    if (document.topic === KEYS) press(document.data);
    else add(list, none, entry(document.data, document.data.message));
  }

  function press({ senderId, payload, ...data }) {
    const key = h("kbd", String(payload.number));
    const now = performance.now();
    if (lastKeys?.senderId === senderId && now - lastKeys.at < SAME_LINE) lastKeys.row.append(key);
    else {
      const row = h("span.keys", key);
      add(keys, noKeys, entry({ ...data, topic: null }, row));
      lastKeys = { senderId, row };
    }
    lastKeys.at = now;
  }

  return {
    element: [
      panel("Messages", {}, outside, inside),
      panel("Keys", {}, keysOutside, keysInside),
    ],
    receive,
    joined(isJoined) {
      outside.hidden = keysOutside.hidden = isJoined;
      inside.hidden = keysInside.hidden = !isJoined;
    },
  };
}

function entry({ timestamp, senderName, topic }, child) {
  const where = topic && topic !== CHAT ? h("code", topic) : null;
  return h("li", h("div.said-by", h("strong", senderName), where, h("span.soft.small", time(timestamp))), h("div", child));
}

/** Append an entry, and scroll to it if the end of the list was visible. */
function add(list, none, item) {
  none.hidden = true;
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(item);
  if (list.children.length > MAX_ENTRIES) list.firstChild.remove();
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}
