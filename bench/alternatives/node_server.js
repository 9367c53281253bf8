// Server with Node and the ws package: one event loop and one mixing timer. Like rooms.py it has a
// short queue instead of a jitter buffer. https://github.com/websockets/ws

'use strict';

const { WebSocketServer } = require('ws');

const PERIOD = 20; // milliseconds
const FRAME = 160; // samples
const LONGEST_QUEUE = 3; // frames

// ITU-T G.711 mu-law.
const DECODED = new Int16Array(256);
for (let code = 0; code < 256; code++) {
  const bits = ~code & 0xff;
  const magnitude = ((((bits & 15) << 3) + 132) << ((bits >> 4) & 7)) - 132;
  DECODED[code] = bits & 128 ? -magnitude : magnitude;
}
const ENCODED = new Uint8Array(65536);
for (let sample = -32768; sample < 32768; sample++) {
  const biased = Math.min(Math.abs(sample), 32635) + 132;
  const exponent = 31 - Math.clz32(biased) - 7;
  const mantissa = (biased >> (exponent + 3)) & 15;
  ENCODED[sample & 0xffff] = ~((sample < 0 ? 128 : 0) | (exponent << 4) | mantissa);
}
const SILENCE = Buffer.alloc(FRAME, 0xff);

const rooms = new Map();
const total = new Int32Array(FRAME);
const encoded = Buffer.alloc(FRAME);

function mix(callers) {
  total.fill(0);
  for (const caller of callers) {
    caller.frame = caller.queue.shift() ?? SILENCE;
    for (let i = 0; i < FRAME; i++) total[i] += DECODED[caller.frame[i]];
  }
  for (const caller of callers) {
    for (let i = 0; i < FRAME; i++) {
      const others = total[i] - DECODED[caller.frame[i]];
      encoded[i] = ENCODED[Math.max(-32768, Math.min(32767, others)) & 0xffff];
    }
    const media = { payload: encoded.toString('base64') };
    caller.ws.send(JSON.stringify({ event: 'media', streamSid: caller.streamSid, media }));
  }
}

let due = performance.now();
function tick() {
  for (const callers of rooms.values()) mix(callers);
  due += PERIOD;
  setTimeout(tick, Math.max(0, due - performance.now()));
}

const options = { host: '127.0.0.1', port: Number(process.argv[2]), perMessageDeflate: false };
new WebSocketServer(options).on('connection', (ws, request) => {
  const room = request.url.split('/')[2];
  let caller = null;
  ws.on('error', console.error);
  ws.on('message', (data) => {
    const message = JSON.parse(data);
    if (message.event === 'media' && caller) {
      caller.queue.push(Buffer.from(message.media.payload, 'base64'));
      if (caller.queue.length > LONGEST_QUEUE) caller.queue.shift();
    } else if (message.event === 'start') {
      caller = { ws, streamSid: message.streamSid, queue: [], frame: SILENCE };
      if (!rooms.has(room)) rooms.set(room, new Set());
      rooms.get(room).add(caller);
    }
  });
  ws.on('close', () => {
    const callers = rooms.get(room);
    callers?.delete(caller);
    if (callers?.size === 0) rooms.delete(room);
  });
});
tick();
