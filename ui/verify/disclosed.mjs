/*
 * What is disclosed: sections and parts of content, each under the digest that its leaf or its
 * section committed to. A value is read again when it is asked for, so that a large bundle is not
 * held in memory twice.
 */

import { b64u, decodeB64u, utf8 } from "./bytes.mjs";
import { ascends, fromB64u, isCount, parse, readLines, readObject, show } from "./json.mjs";
import { SECTIONS } from "./leaves.mjs";
import { need } from "./refused.mjs";
import { sha256 } from "./sha2.mjs";

const FIELDS = ["leaf", "section", "disclosure"];

/** Order of two pairs of numbers. */
function comparePairs([a, b], [c, d]) {
  return a === c ? b - d : a < c ? -1 : 1;
}

/** The sections that a bundle shows: leaf → section → line of `disclosures.jsonl`. */
export class Shown {
  constructor(data, answer) {
    this.lines = new Map();
    this.number = 0n;
    const order = [];
    for (const line of readLines(data, "disclosures.jsonl")) {
      const [index, name, disclosure] = readObject(line, "A disclosure", FIELDS).values();
      const where = () => `Section ${show(name)} of leaf ${show(index)}`;
      const place = SECTIONS.indexOf(name);
      let good = isCount(index) && answer.shown.has(index) && place >= 0;
      need(good, "stray-piece", () => `${where()} has no place in the answer.`);
      const inner = fromB64u(disclosure, -1, where());
      good = b64u(sha256(utf8(disclosure))) === answer.leaves.get(index).sections[place];
      need(good, "altered-disclosure", () => `${where()} is not what was recorded.`);
      const value = parse(inner, where());
      good = Array.isArray(value) && value.length === 3 && value[1] === name;
      need(good, "altered-disclosure", () => `${where()} discloses something else.`);
      fromB64u(value[0], 16, `The salt of ${where()}`);
      const sections = this.lines.get(index) ?? new Map();
      this.lines.set(index, sections.set(name, line));
      order.push([index, place]);
    }
    need(ascends(order, comparePairs), "not-canonical", "disclosures.jsonl is not in order.");
    this.number = BigInt(order.length);
  }

  /** The leaves of which any section is shown, and these sections' names. */
  *leaves() {
    for (const [index, sections] of this.lines) {
      yield [index, [...sections.keys()]];
    }
  }

  /** Whether any section of a leaf is shown. */
  hasLeaf(index) {
    return this.lines.has(index);
  }

  /** Whether a section of a leaf is shown. */
  has(index, name) {
    return this.lines.get(index)?.has(name) ?? false;
  }

  /** The value of a section; `null` if it is not shown. */
  value(index, name) {
    const line = this.lines.get(index)?.get(name);
    if (line === undefined) {
      return null;
    }
    const disclosure = readObject(line, "A disclosure", FIELDS).get("disclosure");
    return parse(decodeB64u(disclosure), "A disclosure")[2];
  }
}

/** Size and digest of a part as its section has them; `null` if it is a part of nothing shown. */
function committedPart(shown, index, number) {
  const section = isCount(index) ? shown.value(index, "content") : null;
  const parts = section instanceof Map ? section.get("parts") : null;
  const part = Array.isArray(parts) && isCount(number) ? parts[Number(number)] : null;
  const whole = part instanceof Map && part.has("size") && part.has("digest");
  return whole ? [part.get("size"), part.get("digest")] : null;
}

/** Check every part of content by the `content` section of its leaf; returns their number. */
export function checkContent(members, shown) {
  const salts = "content/salts.jsonl";
  const names = new Set([...members.keys()].filter((name) => name.startsWith("content/")));
  names.delete(salts);
  const order = [];
  for (const line of readLines(members.get(salts) ?? new Uint8Array(0), salts)) {
    const [index, number, salt] = readObject(line, "A salt", ["leaf", "part", "salt"]).values();
    const name = `content/${show(index)}-${show(number)}`;
    const committed = members.has(name) ? committedPart(shown, index, number) : null;
    need(committed !== null, "altered-content", `${name} is a part of nothing shown.`);
    const body = members.get(name);
    const digest = b64u(sha256(fromB64u(salt, 16, name), body));
    const good = committed[0] === BigInt(body.length) && committed[1] === digest;
    need(good, "altered-content", `${name} is not the content that was recorded.`);
    order.push([index, Number(number)]);
    names.delete(name);
  }
  need(ascends(order, comparePairs), "not-canonical", "content/salts.jsonl is not in order.");
  const [extra] = [...names].sort();
  need(extra === undefined, "altered-content", `${show([extra ?? ""])} has no salt.`);
  return BigInt(order.length);
}
