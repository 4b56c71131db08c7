// Search by tag: every word must begin a word of some tag; "quoted text" must be a whole tag.
//
//     dog bea        photos with a dog and something that begins with "bea"
//     "red panda"    photos with exactly this tag

import { plain } from "./shown.js";

/** Text of the search box -> [{ text, exact }]. A quote that is still open counts to the end. */
export function parseQuery(query) {
  const terms = [];
  for (const [, quoted, word] of query.matchAll(/"([^"]*)"?|([^\s"]+)/g)) {
    const text = plain(quoted ?? word);
    if (text) terms.push({ text, exact: quoted !== undefined });
  }
  return terms;
}

/** Terms -> text that `parseQuery` reads back. */
export function formatQuery(terms) {
  return terms.map(({ text, exact }) => (exact ? `"${text}"` : text)).join(" ");
}

function matchesTerm(name, { text, exact }) {
  if (exact) return name === text;
  return name.startsWith(text) || name.split(/[ -]/).some((word) => word.startsWith(text));
}

/** Whether these tags satisfy every term. */
export function matches(tags, terms) {
  return terms.every((term) => tags.some((tag) => matchesTerm(plain(tag.name), term)));
}

/** How many photos have each tag, most first: [{ name, count, own }]. Photos must have `shown`. */
export function countTags(photos) {
  const found = new Map();
  for (const photo of photos) {
    for (const { name, own } of photo.shown) {
      const entry = found.get(name);
      if (entry) entry.count += 1;
      else found.set(name, { name, count: 1, own });
    }
  }
  return [...found.values()].sort((a, b) => b.count - a.count || a.name.localeCompare(b.name));
}

/** The word that is being typed at the end of a query; "" after a space or a closed quote. */
export function unfinished(query) {
  return /(?:^|\s)"?([^\s"]*)$/.exec(query)?.[1] ?? "";
}

/** Tags to propose for the word being typed. */
export function suggest(counts, query, limit) {
  const text = plain(unfinished(query));
  const taken = new Set(parseQuery(query).filter((term) => term.exact).map((term) => term.text));
  return counts
    .filter(({ name }) => !taken.has(plain(name)) && matchesTerm(plain(name), { text, exact: false }))
    .slice(0, limit);
}

/** The query with its unfinished word replaced by a whole tag. */
export function complete(query, name) {
  const rest = query.slice(0, query.length - unfinished(query).length).replace(/(^|\s)"$/, "$1");
  const before = rest.trimEnd();
  return `${before}${before ? " " : ""}"${plain(name)}" `;
}

/** The query with a whole tag put in, or taken out where it was. */
export function toggleTag(query, name) {
  const text = plain(name);
  const terms = parseQuery(query);
  const others = terms.filter((term) => !(term.exact && term.text === text));
  if (others.length === terms.length) others.push({ text, exact: true });
  return formatQuery(others);
}
