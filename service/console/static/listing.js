/** A list with search, filters and pages, loaded from the server after each change. */

import { ask, withQuery } from "./api.js";
import { attempt, button, empty, pager, table } from "./components.js";
import { h, on, put, renew } from "./dom.js";
import { inAll } from "./format.js";

const PER_PAGE = 20;

/** Milliseconds without a key press after which the search runs. */
const SEARCH_DELAY = 250;

/**
 * Load the list at `path`: {element, refresh()}. Search, filters and page are kept in the address,
 * so that going back restores them. `one` and `many` name an item, `filters` are selects whose
 * values narrow the list, and `nothing()` builds the placeholder of an empty list.
 */
export async function listing({ path, one, many = `${one}s`, filters = [], columns, nothing }, signal) {
  const query = new URLSearchParams(location.search);
  let search = query.get("search") ?? "";
  let page = Math.max(1, Number.parseInt(query.get("page"), 10) || 1);
  let requests = 0;
  let timer = null;

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
    const request = (requests += 1);
    const wanted = { search, ...chosen() };
    const answer = await ask("GET", withQuery(path, { ...wanted, page, perPage: PER_PAGE }), undefined, { signal });
    if (request !== requests) return;
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
    const text = search ? `No ${one} contains “${search}”.` : `No ${one} matches the filters.`;
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
    clearTimeout(timer);
    timer = setTimeout(seek, SEARCH_DELAY);
  }, signal);
  on(signal, "abort", () => clearTimeout(timer));
  await refresh();
  return { element: [bar, body], refresh };
}
