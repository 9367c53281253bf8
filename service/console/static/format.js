/** Format times, durations and numbers for people. Every number has its unit. */

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** Parse a time of the API: ISO text or epoch milliseconds. */
export function toDate(time) {
  return time instanceof Date ? time : new Date(time);
}

/** Format a time as "14:03:22", with the day unless it is today. */
export function moment(time) {
  const date = toDate(time);
  const now = new Date();
  if (date.toDateString() === now.toDateString()) return clock.format(date);
  const format = date.getFullYear() === now.getFullYear() ? day : dayOfYear;
  return `${format.format(date)}, ${clock.format(date)}`;
}

/** Format a duration as "1 h 05 min", "3 min 07 s" or "12 s". */
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const two = (value) => String(value).padStart(2, "0");
  if (hours) return `${hours} h ${two(minutes)} min`;
  if (minutes) return `${minutes} min ${two(seconds % 60)} s`;
  return `${seconds} s`;
}

/** Format an age as "just now", "12 s ago", "5 min ago", "3 h ago" or "6 days ago". */
export function ago(time, now = Date.now()) {
  const seconds = Math.floor((now - toDate(time).getTime()) / 1000);
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86400);
  return days === 1 ? "a day ago" : `${days} days ago`;
}

/** Format a short duration as "420 ms" or "3.2 s". */
export function milliseconds(value) {
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

/** Format a share between 0 and 1 as "0.2 %". */
export function percent(share) {
  const value = share * 100;
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/** Format a count as "1 call" or "2 calls". */
export function counted(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/** Format the total of a list. The server counts a long list only up to a limit: "at least 1000 calls". */
export function inAll({ total, totalIsMinimum }, one, many) {
  return `${totalIsMinimum ? "at least " : ""}${counted(total, one, many)}`;
}

export const PROVIDERS = { twilio: "Twilio", plivo: "Plivo", telnyx: "Telnyx", websocket: "WebSocket" };

export function provider(name) {
  return PROVIDERS[name] ?? name;
}
