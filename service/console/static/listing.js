/** A list that is searched and paged through, and asked for again after each change. */

import { ask, withQuery } from "./api.js";
import { attempt, button, empty, pager, table } from "./components.js";
import { h, on, put, renew } from "./dom.js";
import { inAll } from "./format.js";

const PER_PAGE = 20;

/** Milliseconds without a key after which it is searched. */
const REST = 250;

/**
 * The list at `path`: {element, refresh()}. Its search, filters and page are in the address, so that
 * they are still there on the way back. `one` is the word for what is listed, `filters` are selects
 * by whose values the list is narrowed, and `nothing()` is shown where there is none yet.
 */
export async function listing({ path, one, many = `${one}s`, filters = [], columns, nothing }, signal) {
  const query = new URLSearchParams(location.search);
  let search = query.get("search") ?? "";
  let page = Math.max(1, Number.parseInt(query.get("page"), 10) || 1);
  let asked = 0;
  let rest = null;

  const box = h("input", {
    type: "search",
    "aria-label": `Search ${many}`,
    placeholder: `Search ${many}`,
    maxlength: 128,
    value: search,
  });
  const count = h("p.soft.small", { role: "status" });
  const bar = h("search.search", box, filters, count);
  for (const filter of filters) {
    filter.value = query.get(filter.name) ?? "";
    on(filter, "change", seek, signal);
  }
  const body = h("div.listed", { tabindex: "-1" });

  async function refresh() {
    const turn = (asked += 1);
    const wanted = { search, ...chosen() };
    const answer = await ask("GET", withQuery(path, { ...wanted, page, perPage: PER_PAGE }), undefined, { signal });
    if (turn !== asked) return;
    const { data, pageInfo } = answer;
    if (page > pageInfo.lastPage) {
      page = pageInfo.lastPage;
      await refresh();
      return;
    }
    history.replaceState(null, "", withQuery(location.pathname, { ...wanted, page: page > 1 ? page : "" }));
    bar.hidden = !isNarrowed() && pageInfo.total === 0;
    put(count, isNarrowed() ? `${pageInfo.totalIsMinimum ? "at least " : ""}${pageInfo.total} found` : inAll(pageInfo, one, many));
    renew(body, data.length ? [table(`All ${many}`, columns, data), pager(pageInfo, turnTo)] : none());
  }

  function chosen() {
    return Object.fromEntries(filters.map(({ name, value }) => [name, value]));
  }

  function isNarrowed() {
    return Boolean(search) || filters.some(({ value }) => value);
  }

  function none() {
    if (!isNarrowed()) return nothing();
    const text = search ? `No ${one} holds “${search}”.` : `No ${one} is like that.`;
    return empty("Nothing found", text, button("Show all", () => {
      box.value = "";
      for (const filter of filters) filter.value = "";
      box.focus();
      seek();
    }));
  }

  function turnTo(wanted) {
    page = wanted;
    attempt(refresh);
  }

  function seek() {
    search = box.value.trim();
    page = 1;
    attempt(refresh);
  }

  on(box, "input", () => {
    clearTimeout(rest);
    rest = setTimeout(seek, REST);
  }, signal);
  on(signal, "abort", () => clearTimeout(rest));
  await refresh();
  return { element: [bar, body], refresh };
}
