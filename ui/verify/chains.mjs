/*
 * Chains: their names, links and openings, and the buckets in which their heads stand.
 */

import { b64u, fromBigEndian, hex, u64be, utf8 } from "./bytes.mjs";
import { ascends, compareText, compareTexts, fromB64u, isCount, readLines, readObject, show } from "./json.mjs";
import { HEADS, opens } from "./leaves.mjs";
import { pathRoot } from "./merkle.mjs";
import { need } from "./refused.mjs";
import { sha256 } from "./sha2.mjs";

const MAX_NAMED = 8; // chains that the verdict names one by one
const SLOT = utf8("affidavit/slot/v1\0");
const CHAIN = utf8("affidavit/chain/v1\0");
const HEAD = utf8("affidavit/head/v1\0");

/** A chain's name: [tenant, dimension, value] as text, with a key for maps. */
export class Chain {
  constructor(tenant, dimension, value) {
    this.name = [tenant, dimension, value];
    [this.tenant, this.dimension, this.value] = this.name;
    this.key = JSON.stringify(this.name);
  }

  /** The chain as the verdict names it. */
  toString() {
    const tenant = this.tenant ? `, tenant ${show(this.tenant)}` : "";
    const derived = this.dimension.includes(".") && !this.value;
    return `${show(this.dimension)}${derived ? "" : `=${show(this.value)}`}${tenant}`;
  }
}

/** Order of two chains. */
export function compareChains(left, right) {
  return compareTexts(left.name, right.name);
}

/** Lists under the keys of a map, in the order in which they were met. */
function gathered(pairs) {
  const found = new Map();
  for (const [key, value] of pairs) {
    found.set(key, [...(found.get(key) ?? []), value]);
  }
  return found;
}

/** The union of chains in words; many of one dimension are named together, each value once. */
export function anyOf(chains) {
  if (chains.length <= MAX_NAMED) {
    return chains.join(" or ");
  }
  const values = gathered(
    chains.map((chain) => [JSON.stringify([chain.dimension, chain.tenant]), chain.value]),
  );
  const tenants = gathered(
    [...values].map(([key, found]) => {
      const [dimension, tenant] = JSON.parse(key);
      return [JSON.stringify([dimension, found]), tenant];
    }),
  );
  const said = [...tenants].map(([key, names]) => {
    const [dimension, shared] = JSON.parse(key);
    const whose = names.map((name) => (name ? `tenant ${show(name)}` : "no tenant")).join(" and ");
    return `${show(dimension)} one of ${shared.map(show).join(", ")} of ${whose}`;
  });
  return said.join(" or ");
}

/** The chains of what may belong to `chains` and could not be attributed. */
export function unattributed(chains) {
  const own = new Set(chains.map((chain) => chain.key));
  const found = new Map();
  const beside = chains.map(({ tenant, dimension }) => {
    return new Chain(tenant, `${dimension.split(".")[0]}.unattributed`, "");
  });
  for (const chain of [new Chain("", "unattributed", ""), ...beside]) {
    if (chain.dimension !== "unattributed.unattributed" && !own.has(chain.key)) {
      found.set(chain.key, chain);
    }
  }
  return [...found.values()].sort(compareChains);
}

/** What a bucket of heads holds for a chain that ends with this link. */
export function asHead(link) {
  return hex(sha256(HEAD, u64be(link.leaf), link.raw));
}

/** Parse `links.jsonl`: chain id → links by leaf, each committed to by its leaf. */
export function readLinks(data, leaves) {
  const chains = new Map();
  const order = [];
  for (const line of readLines(data, "links.jsonl")) {
    const [index, encoded] = readObject(line, "A link", ["leaf", "link"]).values();
    const raw = fromB64u(encoded, 49, "A link");
    const known = isCount(index) && leaves.has(index);
    need(known, "stray-piece", "A link belongs to no leaf here.");
    const good = leaves.get(index).links.includes(b64u(sha256(raw)));
    need(good, "wrong-chain", () => `Leaf ${index} did not commit to the link shown for it.`);
    const id = hex(raw.subarray(17, 33));
    const n = fromBigEndian(raw.subarray(33, 41));
    const previous = fromBigEndian(raw.subarray(41));
    const run = chains.get(id) ?? [];
    run.push({ leaf: index, raw, dimension: raw[16], n, previous });
    chains.set(id, run);
    order.push([index, encoded]);
  }
  const good = ascends(order, ([a, b], [c, d]) => (a === c ? compareText(b, d) : a < c ? -1 : 1));
  need(good, "not-canonical", "links.jsonl is not in order.");
  return chains;
}

/** The key of a chain in an epoch. */
export function opened(epoch, chain) {
  return `${epoch} ${chain.key}`;
}

/** Parse `chains.jsonl`: (epoch leaf, chain) → chain and its id, by the salts of that leaf. */
export function readOpenings(data, leaves) {
  const ids = new Map();
  const order = [];
  for (const line of readLines(data, "chains.jsonl")) {
    const fields = ["epoch", "tenant", "dimension", "value", "salt", "path"];
    const found = readObject(line, "An opening", fields);
    const [epoch, tenant, dimension, value, salt, path] = found.values();
    let good = isCount(epoch) && [tenant, dimension, value].every((one) => typeof one === "string");
    good &&= Array.isArray(path) && path.length === 16 && !`${tenant}${dimension}`.includes("\0");
    need(good, "not-canonical", "An opening in chains.jsonl is malformed.");
    const chain = new Chain(tenant, dimension, value);
    const leaf = leaves.get(epoch);
    good = leaf !== undefined && opens(leaf.type) && leaf.dimensions.includes(dimension);
    need(good, "wrong-opening", () => `Leaf ${epoch} opens no epoch with ${chain}.`);
    const name = utf8(chain.name.join("\0"));
    const slot = fromBigEndian(sha256(SLOT, name).subarray(0, 2));
    const raw = fromB64u(salt, 16, "A salt");
    const root = pathRoot(slot, 2n ** 16n, raw, path.map((node) => fromB64u(node, 32, "A hash")));
    need(b64u(root) === leaf.salts, "wrong-opening", () => `${chain} does not open in ${epoch}.`);
    const id = hex(sha256(CHAIN, u64be(epoch), raw, name).subarray(0, 16));
    ids.set(opened(epoch, chain), { epoch, chain, id });
    order.push([epoch, chain]);
  }
  const good = ascends(order, ([a, b], [c, d]) => (a === c ? compareChains(b, d) : a < c ? -1 : 1));
  need(good, "not-canonical", "chains.jsonl is not in order.");
  return ids;
}

/** The first `bits` bits of a chain id in hexadecimal digits. */
export function bucketOf(id, bits) {
  return BigInt(`0x${id}`) >> (128n - bits);
}

/** Parse a file of `heads/`: chain id → digest of its head, by the map of a heads leaf. */
export function readBucket(name, data, leaves) {
  const found = readObject(data, name, ["heads", "bucket", "entries", "path"]);
  const [heads, number, encoded, path] = found.values();
  let good = isCount(heads) && isCount(number) && Array.isArray(path);
  good &&= name === `heads/${heads}-${number}.json`;
  need(good, "not-canonical", `${name} is malformed.`);
  const leaf = leaves.get(heads);
  const known = leaf !== undefined && leaf.type === HEADS;
  need(known, "stray-piece", `${name} belongs to no heads leaf here.`);
  const entries = fromB64u(encoded, -1, name);
  const hashes = path.map((node) => fromB64u(node, 32, name));
  const size = 2n ** leaf.bits;
  good = number < size && b64u(pathRoot(number, size, entries, hashes)) === leaf.map;
  need(good, "wrong-head", `${name} is not in the map of leaf ${heads}.`);
  const bucket = new Map();
  const ids = [];
  for (let at = 0; at < entries.length; at += 48) {
    ids.push(hex(entries.subarray(at, at + 16)));
    bucket.set(ids.at(-1), hex(entries.subarray(at + 16, at + 48)));
  }
  good = entries.length % 48 === 0 && ascends(ids, compareText);
  good &&= ids.every((id) => bucketOf(id, leaf.bits) === number);
  need(good, "wrong-head", `${name} is not a sorted bucket.`);
  return bucket;
}
