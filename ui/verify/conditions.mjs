/*
 * Conditions: their form, in words, and whether they are true of a record as far as it is shown.
 */

import { compareText, quoted, show } from "./json.mjs";
import { SECTIONS } from "./leaves.mjs";

const INHERITED = ["who", "person", "what"];
const FIELD = new RegExp(`^(?:type|tier|at|time|id|index|(${SECTIONS.join("|")})\\..+)$`, "s");
const ORDERS = new Map([
  ["<", (order) => order < 0],
  ["<=", (order) => order <= 0],
  [">", (order) => order > 0],
  [">=", (order) => order >= 0],
]);
const COMPARISONS = ["has", "is", "prefix", ...ORDERS.keys()];

const isNumber = (value) => typeof value === "bigint" || typeof value === "number";

/** Whether `value` is a condition: a list of a word and what it applies to, not too deep. */
export function isCondition(value, depth = 0) {
  if (!Array.isArray(value) || typeof value[0] !== "string" || depth > 50) {
    return false;
  }
  const [word, ...rest] = value;
  if (["and", "or", "not", "half"].includes(word)) {
    const fits = rest.length === 1 || word === "and" || word === "or";
    return fits && rest.every((one) => isCondition(one, depth + 1));
  }
  if (!COMPARISONS.includes(word)) {
    return word === "stated" && rest.length === 1 && typeof rest[0] === "string";
  }
  const [field] = rest;
  const plain = rest.every((one) => isNumber(one) || ["string", "boolean"].includes(typeof one));
  const named = typeof field === "string" && FIELD.test(field);
  return named && plain && rest.length === (word === "has" ? 1 : 2);
}

/** A condition as people say it; each text in quotes, so that it ends where it seems to. */
export function inWords([word, ...rest]) {
  if (word === "and" || word === "or") {
    return `(${rest.map(inWords).join(` ${word} `) || `${word} of nothing`})`;
  }
  if (word === "not" || word === "half") {
    return `${word === "not" ? "not" : "the other half:"} ${inWords(rest[0])}`;
  }
  if (word === "stated") {
    return `${quoted(rest[0])} (in the exporter's words, not evaluated)`;
  }
  if (word === "has") {
    return `has ${show(rest[0])}`;
  }
  return `${show(rest[0])} ${word} ${quoted(rest[1])}`;
}

/**
 * Whether a condition is true of a record: true, false, or null where that is not shown.
 *
 * What a response does not say of who and what, it takes from the request it answers.
 */
export function holds([word, ...rest], index, answer, shown) {
  if (word === "and" || word === "or") {
    const results = rest.map((part) => holds(part, index, answer, shown));
    const decided = word === "or";
    return results.includes(decided) ? decided : results.includes(null) ? null : !decided;
  }
  if (word === "not") {
    const inner = holds(rest[0], index, answer, shown);
    return inner === null ? null : !inner;
  }
  if (word === "stated") { // in the exporter's words: not for this program to judge
    return null;
  }
  if (word === "half") { // of the other half of the exchange
    const half = answer.halves.get(index);
    const unknown = answer.notShown.includes(index) ? null : false;
    return half === undefined ? unknown : holds(rest[0], half, answer, shown);
  }
  const wanted = rest.at(-1);
  const [section, ...keys] = rest[0].split(".");
  const leaf = answer.leaves.get(index);
  if (!keys.length) {
    return compared(word, leaf[section], wanted);
  }
  const places = [index];
  if (INHERITED.includes(section) && (leaf.re ?? null) !== null) {
    places.push(leaf.re);
  }
  for (const place of places) {
    const value = shown.value(place, section);
    const there = answer.leaves.get(place);
    const committed = !there || there.sections[SECTIONS.indexOf(section)] !== null;
    if (value === null && committed) {
      return null;
    }
    const found = lookedUp(value, keys.join("."));
    if (found !== null) {
      const each = Array.isArray(found) ? found : [found];
      return each.some((one) => compared(word, one, wanted));
    }
  }
  return false;
}

/** The value under a key, or under the rest of the key in an object; `null` if not there. */
function lookedUp(value, key) {
  let [found, rest] = [value, key];
  while (found instanceof Map && !found.has(rest)) {
    const dot = rest.indexOf(".");
    const inner = dot < 0 ? "" : rest.slice(dot + 1);
    found = inner ? (found.get(rest.slice(0, dot)) ?? null) : null;
    rest = inner;
  }
  return found instanceof Map ? found.get(rest) : null;
}

/** One comparison; a value of another type, or none, is not what is wanted. */
function compared(word, value, wanted) {
  if (word === "has") {
    return value !== null;
  }
  if (word === "is") {
    return typeof value !== "object" && value === wanted;
  }
  const texts = typeof value === "string" && typeof wanted === "string";
  if (word === "prefix") {
    return texts && value.startsWith(wanted);
  }
  const fits = texts || (isNumber(value) && isNumber(wanted));
  const order = texts ? compareText(value, wanted) : value < wanted ? -1 : value > wanted ? 1 : 0;
  return fits && ORDERS.get(word)(order);
}
