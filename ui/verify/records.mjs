/*
 * What a page shows of a bundle that was checked: rows of records, and one record with all that is
 * disclosed of it. All of it is text; where it came from outside, it is hostile.
 */

import { fromUtf8 } from "./bytes.mjs";
import { holds } from "./conditions.mjs";
import { dumps } from "./json.mjs";
import { SECTIONS } from "./leaves.mjs";

const MAX_CELL = 150; // characters of a name in the table
const MAX_TEXT = 50_000; // characters shown of a section or a part

/** A value as text over several lines, its characters as they are. */
export function written(value, margin = "") {
  const inner = `${margin}  `;
  if (Array.isArray(value) && value.length && value.every((one) => typeof one !== "object")) {
    return `[${value.map((one) => written(one)).join(", ")}]`;
  }
  if (Array.isArray(value) && value.length) {
    return `[\n${value.map((one) => inner + written(one, inner)).join(",\n")}\n${margin}]`;
  }
  if (value instanceof Map && value.size) {
    const lines = [...value].map(([key, one]) => {
      return `${inner}${JSON.stringify(key)}: ${written(one, inner)}`;
    });
    return `{\n${lines.join(",\n")}\n${margin}}`;
  }
  return typeof value === "string" ? JSON.stringify(value) : dumps(value);
}

/** Text, cut where it is longer than people read. */
export function cut(text) {
  const more = text.length - MAX_TEXT;
  return more > 0 ? `${text.slice(0, MAX_TEXT)} … (${more} characters more)` : text;
}

function field(shown, index, section, ...names) {
  const value = shown.value(index, section);
  for (const name of value instanceof Map ? names : []) {
    const text = value.get(name);
    if (typeof text === "string") {
      return text.length > MAX_CELL ? `${text.slice(0, MAX_CELL)} …` : text;
    }
  }
  return "";
}

/** The rows of some records, from the place `start`. */
export function rows({ answer, shown, manifest, verdict }, start, number) {
  const drawn = verdict.facts.get("sample");
  const kept = drawn === null ? null : new Set(drawn.flatMap((one) => [one, answer.halves.get(one)]));
  const conditions = manifest.get("question").get("conditions");
  return answer.records.slice(start, start + number).map((index) => {
    const leaf = answer.leaves.get(index);
    const half = answer.halves.get(index) ?? null;
    const silent = answer.open.includes(index) ? "open" : "";
    const met = holds(["and", ...conditions], index, answer, shown);
    const sections = SECTIONS.filter((name) => shown.has(index, name));
    const unseen = kept === null || kept.has(index) ? "withheld" : "not drawn";
    return {
      index,
      time: leaf.time,
      type: leaf.type,
      tier: leaf.tier,
      actor: field(shown, index, "who", "actor"),
      model: field(shown, index, "what", "gen_ai.response.model", "gen_ai.request.model"),
      outcome: field(shown, index, "outcome", "outcome"),
      met: met === null ? "not shown" : met ? "yes" : "no",
      sections: sections.join(", ") || (leaf.sections.some(Boolean) ? unseen : "none"),
      half: answer.notShown.includes(index) ? "not shown" : half === null ? silent : `${half}`,
    };
  });
}

/** The parts of content of a record: what its section says of each, and its text. */
function parts({ members, shown }, index) {
  const section = shown.value(index, "content");
  const listed = section instanceof Map ? section.get("parts") : null;
  return (Array.isArray(listed) ? listed : []).map((part, number) => {
    const body = members.get(`content/${index}-${number}`);
    const text = body === undefined ? null : fromUtf8(body);
    const name = part instanceof Map ? dumps(part.get("name") ?? null) : "";
    const size = body === undefined ? "" : `, ${body.length} bytes`;
    const instead = body === undefined ? "not in this bundle" : "these bytes are no text";
    return { title: `part ${number}: ${name}${size}`, text: text === null ? instead : cut(text) };
  });
}

/** All that a bundle shows of a record: pieces with a title and a text each. */
export function record(found, index) {
  const leaf = found.answer.leaves.get(index);
  const head = [`record ${leaf.id}`, `source time ${leaf.at}`, `writer ${leaf.src[0]}, ${leaf.src[1]}`];
  const pieces = [{ title: `leaf ${index}`, text: head.join("\n") }];
  SECTIONS.forEach((name, place) => {
    if (found.shown.has(index, name)) {
      pieces.push({ title: name, text: cut(written(found.shown.value(index, name))) });
    } else {
      const there = leaf.sections[place] !== null;
      pieces.push({ title: name, text: there ? "recorded, not disclosed" : "not recorded" });
    }
  });
  return [...pieces, ...parts(found, index)];
}
