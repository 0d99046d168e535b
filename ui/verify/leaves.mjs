/*
 * Leaves: their form (docs/format/ledger.md), their order, and that records and answers agree.
 */

import { ascends, compareText, fromB64u, isCount, isList, isText, readLines, readObject, show } from "./json.mjs";
import { need } from "./refused.mjs";
import { isTime, moved } from "./times.mjs";

export const SECTIONS = ["who", "person", "what", "context", "control", "outcome", "content"];
export const TIERS = ["observed", "reported", "imported"];
export const ANSWERS = new Map([
  ["exchange.response", "exchange.request"],
  ["tool.result", "tool.call"],
]);
export const HEADS = "ledger.heads";
const OPENED = "ledger.opened";
const LEAF = ["v", "index", "time", "at", "id", "type", "tier", "src", "sections", "links"];
const LEAF_OF_ANSWER = [...LEAF.slice(0, 8), "re", ...LEAF.slice(8)];
const EPOCH = ["previous", "dimensions", "rules", "salts"];
const EXTRA = new Map([
  [OPENED, EPOCH],
  ["ledger.epoch", EPOCH],
  [HEADS, ["epoch", "bits", "map"]],
]);

/** Whether a leaf of this type opens an epoch. */
export function opens(type) {
  return EXTRA.get(type) === EPOCH;
}

/** Whether a leaf of this type is the ledger's own and no record. */
export function isOwn(type) {
  return EXTRA.has(type);
}

/** Parse a leaf and check its form; `re` is undefined in leaves that answer nothing. */
export function readLeaf(data) {
  const found = readObject(data, "A leaf");
  const kind = found.get("type");
  const fields = ANSWERS.has(kind) ? LEAF_OF_ANSWER : [...LEAF, ...(EXTRA.get(kind) ?? [])];
  const whole = isList([...found.keys()], fields);
  need(whole, "bad-leaf", "A leaf does not have the fields of its type.");
  const leaf = { ...Object.fromEntries(found), line: data };
  const { index, src, sections, links, re } = leaf;
  const answers = re !== undefined && re !== null;
  let digests = Array.isArray(sections) && Array.isArray(links) ? [...sections, ...links] : [];
  let good =
    leaf.v === 1n &&
    isCount(index) &&
    (!answers || isCount(re)) &&
    isTime(leaf.time) &&
    isTime(leaf.at) &&
    isText(leaf.id) &&
    isText(kind) &&
    TIERS.includes(leaf.tier) &&
    Array.isArray(src) &&
    src.length === 2 &&
    isText(src[0]) &&
    isCount(src[1]) &&
    Array.isArray(sections) &&
    Array.isArray(links) &&
    links.every(isText) &&
    sections.length === 7 &&
    ascends(links, compareText) &&
    (!EXTRA.has(kind) || (digests.length === 7 && digests.every((digest) => digest === null))) &&
    (!answers || re < index) &&
    data.length < 2 ** 16;
  if (good && opens(kind)) {
    const { dimensions: names, previous } = leaf;
    good = Array.isArray(names) && names.every(isText);
    good &&= new Set(names).size === names.length && names.length <= 256;
    good &&= typeof previous === "bigint" && previous >= -1n && previous < index;
    good &&= (kind === OPENED) === (index === 0n) && (index === 0n) === (previous === -1n);
    digests = [leaf.salts];
  }
  if (good && kind === HEADS) {
    good = isCount(leaf.epoch) && leaf.epoch < index;
    good &&= typeof leaf.bits === "bigint" && leaf.bits >= 1n && leaf.bits <= 48n;
    digests = [leaf.map];
  }
  need(good, "bad-leaf", () => `Leaf ${show(index)} is not in the form of the format.`);
  for (const digest of digests) {
    if (digest !== null) {
      fromB64u(digest, 32, `Leaf ${index}: a digest`);
    }
  }
  return leaf;
}

/** Parse `leaves.jsonl`, ascending by index; times, records and answers agree. */
export function readLeaves(data) {
  const leaves = new Map();
  const [ids, sources, answered] = [new Set(), new Set(), new Set()];
  let [index, time] = [-1n, ""];
  for (const line of readLines(data, "leaves.jsonl")) {
    const leaf = readLeaf(line);
    need(leaf.index > index, "not-canonical", "leaves.jsonl is not in order.");
    index = leaf.index;
    const later = leaf.time >= time;
    need(later, "time-decreases", () => `Leaf ${index} is earlier than a leaf before it.`);
    time = leaf.time;
    let good = moved(leaf.at, -300) <= time;
    need(good, "bad-leaf", () => `Leaf ${index} claims a time that had not come.`);
    const source = `${leaf.src[1]} ${leaf.src[0]}`;
    good = !ids.has(leaf.id) && !sources.has(source);
    need(good, "repeated-record", () => `Leaf ${index} repeats a record.`);
    const request = leaf.re ?? null;
    need(request === null || !answered.has(request), "answered-twice", () => {
      return `Leaf ${request} is answered by two leaves.`;
    });
    ids.add(leaf.id);
    sources.add(source);
    if (request !== null) {
      answered.add(request);
      good = !leaves.has(request) || leaves.get(request).type === ANSWERS.get(leaf.type);
      need(good, "wrong-half", () => `Leaf ${index} answers leaf ${request}, of another kind.`);
    }
    leaves.set(index, leaf);
  }
  return leaves;
}
