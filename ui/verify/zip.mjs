/*
 * The members of a canonical zip: stored one after another from offset 0, manifest.json first,
 * then by name, dated 1980-01-01; no flags, extra fields, comments or gaps. So the bytes of the
 * zip follow from names and contents, and here they are compared with what they have to be.
 */

import { equal, joined, latin1, utf8 } from "./bytes.mjs";
import { show } from "./json.mjs";
import { need } from "./refused.mjs";

export const REQUIRED = [
  "README.txt",
  "chains.jsonl",
  "checkpoint",
  "disclosures.jsonl",
  "leaves.jsonl",
  "links.jsonl",
  "proofs/inclusion",
  "report.html",
  "verify.py",
];
const NAMES = ["manifest.json", "verify.html", ...REQUIRED].join("|").replaceAll(".", "\\.");
const MEMBER = new RegExp(
  `^(?:${NAMES}|heads/[0-9]+-[0-9]+\\.json|content/(salts\\.jsonl|[0-9]+-[0-9]+)` +
    "|timestamps/(0|[1-9][0-9]{0,18})\\.(checkpoint|consistency|tsr))$",
);
const LOCAL = [0x50, 0x4b, 3, 4];
const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let word = byte;
  for (let bit = 0; bit < 8; bit += 1) {
    word = word & 1 ? (word >>> 1) ^ 0xedb88320 : word >>> 1;
  }
  return word;
});

/** CRC-32 as zip has it. */
function crc32(data) {
  let word = -1;
  for (let place = 0; place < data.length; place += 1) {
    word = CRC[(word ^ data[place]) & 255] ^ (word >>> 8);
  }
  return ~word >>> 0;
}

/** Little-endian numbers: [bytes, value] each. */
function packed(...numbers) {
  const data = new Uint8Array(numbers.reduce((sum, [size]) => sum + size, 0));
  let offset = 0;
  for (const [size, value] of numbers) {
    for (let place = 0; place < size; place += 1) {
      data[offset + place] = Math.floor(value / 256 ** place) % 256;
    }
    offset += size;
  }
  return data;
}

/** Name → bytes of each member of a canonical zip. */
export function readZip(data) {
  const members = new Map();
  const listed = [];
  let offset = 0;
  need(data.length < 2 ** 31, "not-canonical", "The file is larger than a bundle may be.");
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  while (offset + 30 <= data.length && equal(data.subarray(offset, offset + 4), LOCAL)) {
    const size = view.getUint32(offset + 22, true);
    const length = view.getUint16(offset + 26, true);
    const start = offset + 30 + length;
    const name = latin1(data.subarray(offset + 30, start));
    const body = data.subarray(start, start + size);
    const head = [[2, 20], [2, 0], [2, 0], [2, 0], [2, 33], [4, crc32(body)]];
    const fixed = packed(...head, [4, size], [4, size], [2, length], [2, 0]);
    let good = equal(data.subarray(offset + 4, offset + 30), fixed) && body.length === size;
    need(good, "not-canonical", `${show(name)} does not stand in the zip as it has to.`);
    good = MEMBER.test(name) && !members.has(name);
    need(good, "not-canonical", `${show(name)} is no member of a bundle, or is there twice.`);
    listed.push(Uint8Array.of(0x50, 0x4b, 1, 2, 0x14, 3), fixed);
    listed.push(packed([2, 0], [2, 0], [2, 0], [4, 0o100644 * 2 ** 16], [4, offset]), utf8(name));
    members.set(name, body);
    offset = start + size;
  }
  const [first, ...names] = members.keys();
  let good = first === "manifest.json" && members.size < 2 ** 16;
  good &&= names.every((name, place) => place === 0 || names[place - 1] < name);
  need(good, "not-canonical", "This is no zip with the manifest first and the rest by name.");
  const directory = joined(listed);
  const count = members.size;
  const end = packed([2, 0], [2, 0], [2, count], [2, count], [4, directory.length], [4, offset]);
  const wanted = joined([directory, Uint8Array.of(0x50, 0x4b, 5, 6), end, packed([2, 0])]);
  good = equal(data.subarray(offset), wanted);
  need(good, "not-canonical", "The zip's directory is not as it has to be.");
  return members;
}
