/*
 * Merkle trees (RFC 6962): roots from one leaf and its path, from some leaves and their hashes, and
 * whether one tree begins another.
 */

import { equal } from "./bytes.mjs";
import { need } from "./refused.mjs";
import { sha256 } from "./sha2.mjs";

const LEAF_MARK = Uint8Array.of(0);
const NODE_MARK = Uint8Array.of(1);

/** SHA-256(00 ‖ leaf). */
function leafHash(data) {
  return sha256(LEAF_MARK, data);
}

/** SHA-256(01 ‖ left ‖ right). */
function nodeHash(left, right) {
  return sha256(NODE_MARK, left, right);
}

/** Root of a tree of `size` leaves from one leaf and its path (RFC 9162 §2.1.3.2). */
export function pathRoot(index, size, leaf, path) {
  let [node, at, last] = [leafHash(leaf), index, size - 1n];
  for (const sibling of path) {
    const good = last > 0n && sibling.length === 32;
    need(good, "bad-inclusion", "An inclusion path is too long.");
    if (at & 1n || at === last) {
      node = nodeHash(sibling, node);
      while (!(at & 1n) && at) {
        [at, last] = [at >> 1n, last >> 1n];
      }
    } else {
      node = nodeHash(node, sibling);
    }
    [at, last] = [at >> 1n, last >> 1n];
  }
  need(last === 0n, "bad-inclusion", "An inclusion path is too short.");
  return node;
}

/** The largest power of two below `count`, which is more than 1. */
function half(count) {
  const digits = (count - 1n).toString(16);
  return 1n << BigInt(4 * digits.length - 1 - (Math.clz32(parseInt(digits[0], 16)) - 28));
}

/**
 * Root of a tree of `size` leaves from some of them, [index, bytes] ascending, and `hashes`.
 *
 * From left to right, each largest subtree that holds none of the leaves takes one hash. All
 * hashes have to be used, so there is one proof for a set of leaves and a size.
 */
export function batchRoot(leaves, size, hashes) {
  let used = 0;
  function root(first, count, low, high) {
    if (low === high) {
      need(used < hashes.length, "bad-inclusion", "The inclusion proof is too short.");
      used += 1;
      return hashes[used - 1];
    }
    if (count === 1n) {
      return leafHash(leaves[low][1]);
    }
    const left = half(count);
    let [cut, above] = [low, high];
    while (cut < above) {
      const middle = (cut + above) >> 1;
      [cut, above] = leaves[middle][0] < first + left ? [middle + 1, above] : [cut, middle];
    }
    const begun = root(first, left, low, cut);
    return nodeHash(begun, root(first + left, count - left, cut, high));
  }
  const found = root(0n, size, 0, leaves.length);
  need(used === hashes.length, "bad-inclusion", "The inclusion proof is too long.");
  return found;
}

/** Whether the tree of `older` begins that of `newer` (RFC 9162 §2.1.4.2). */
export function consistent(older, newer, path) {
  if (older.size === newer.size || !(older.size > 0n && older.size < newer.size)) {
    return older.size === newer.size && equal(older.root, newer.root) && !path.length;
  }
  let [index, last] = [older.size - 1n, newer.size - 1n];
  while (index & 1n) {
    [index, last] = [index >> 1n, last >> 1n];
  }
  const [start, ...rest] = index ? path : [older.root, ...path];
  let [old, grown] = [start ?? new Uint8Array(0), start ?? new Uint8Array(0)];
  for (const node of rest) {
    if (!last) {
      return false;
    }
    if (index & 1n || index === last) {
      [old, grown] = [nodeHash(node, old), nodeHash(node, grown)];
      while (!(index & 1n) && index) {
        [index, last] = [index >> 1n, last >> 1n];
      }
    } else {
      grown = nodeHash(grown, node);
    }
    [index, last] = [index >> 1n, last >> 1n];
  }
  return equal(old, older.root) && equal(grown, newer.root) && last === 0n;
}
