/*
 * Samples: the seed draws again from the population that the chain proves to be all.
 */

import { b64u, hex, joined, utf8 } from "./bytes.mjs";
import { holds } from "./conditions.mjs";
import { dumps, quoted } from "./json.mjs";
import { SECTIONS } from "./leaves.mjs";
import { need } from "./refused.mjs";
import { hmac256, sha256 } from "./sha2.mjs";

/**
 * Draw a sample: its leaves in the order drawn, how many it is from, and their digest.
 *
 * The population is every record that is not shown to fail the conditions; the digest is over
 * their ids, each and LF. Drawn are those with the smallest HMAC-SHA-256 of id under seed.
 */
function drawn(answer, shown, conditions, seed, size) {
  const population = answer.records.filter((index) => {
    return holds(["and", ...conditions], index, answer, shown) !== false;
  });
  const ids = population.map((index) => utf8(`${answer.leaves.get(index).id}\n`));
  const ranks = ids.map((id) => hex(hmac256(utf8(seed), id.subarray(0, -1))));
  const order = population.map((_, place) => place);
  order.sort((left, right) => (ranks[left] < ranks[right] ? -1 : ranks[left] > ranks[right] ? 1 : 0));
  const kept = BigInt(order.length) < size ? order : order.slice(0, Number(size));
  return [kept.map((place) => population[place]), BigInt(ids.length), b64u(sha256(joined(ids)))];
}

/** Draw the sample again; its leaves, null if there is none, and the verdict's words for it. */
export function checkSample(answer, shown, conditions, stated) {
  if (stated === null) {
    return { drawn: null, said: [] };
  }
  const [seed, size] = [stated.get("seed"), stated.get("size")];
  const [leaves, number, digest] = drawn(answer, shown, conditions, seed, size);
  const good = number === stated.get("population") && digest === stated.get("digest");
  need(good, "wrong-sample", () => {
    return `The population found is [${number}, '${digest}'], not the one stated.`;
  });
  const halves = leaves.map((index) => answer.halves.get(index));
  const whole = new Set([...leaves, ...answer.gaps, ...halves]);
  const words = dumps(conditions);
  const needed = SECTIONS.filter((name) => words.includes(`"${name}.`));
  for (const [index, names] of shown.leaves()) {
    const fits = whole.has(index) || names.every((name) => needed.includes(name));
    need(fits, "wrong-sample", () => `Shown is also what was not drawn: leaf [${index}].`);
  }
  const withheld = leaves.filter((index) => !shown.hasLeaf(index)).length;
  const picked = new Set(leaves);
  const rest = answer.records.filter((index) => !picked.has(index) && !shown.hasLeaf(index));
  let said = `sample of ${leaves.length} of ${number} drawn by the seed ${quoted(seed)}`;
  said += `, ${withheld} of them withheld`;
  const more = rest.length ? [`${rest.length} not drawn and not shown`] : [];
  return { drawn: leaves, said: [said, ...more] };
}
