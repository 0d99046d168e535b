/*
 * Timestamps (RFC 3161) over checkpoints, and what somebody else's time says of the log's own. The
 * token is read strictly; the signature inside it is not checked here, so it vouches for nothing.
 */

import { equal, hex, latin1 } from "./bytes.mjs";
import { readCheckpoint } from "./checkpoint.mjs";
import { readHashes, show } from "./json.mjs";
import { consistent } from "./merkle.mjs";
import { Refused, need } from "./refused.mjs";
import { sha256 } from "./sha2.mjs";
import { DAY_ONE, isMoment, moved } from "./times.mjs";

const SIGNED_DATA = "2a864886f70d010702"; // object identifiers, as DER has them
const TST_INFO = "2a864886f70d0109100104";
const SHA_256 = "608648016503040201";

/** Tag and contents of the DER values that follow one another, strictly (X.690 §10.1). */
function derValues(data) {
  const values = [];
  let rest = data;
  while (rest.length) {
    let size = rest.length > 1 ? rest[1] : 255;
    const long = size > 127;
    const at = long ? size - 126 : 2;
    if (long) {
      size = rest.subarray(2, Math.min(at, 6)).reduce((sum, byte) => sum * 256 + byte, 0);
    }
    let good = at <= 6 && (rest[0] & 31) !== 31 && rest.length >= at + size;
    good &&= !(long && (size < 128 || rest[2] === 0));
    need(good, "bad-timestamp", "A timestamp is not DER.");
    values.push([rest[0], rest.subarray(at, at + size)]);
    rest = rest.subarray(at + size);
  }
  return values;
}

/** The contents of one value: at each step the value at a place, which has this tag. */
function der(data, ...path) {
  let found = data;
  for (const [place, tag] of path) {
    const values = derValues(found);
    const good = values.length > place && values[place][0] === tag;
    need(good, "bad-timestamp", "A timestamp is not built as RFC 3161 says.");
    found = values[place][1];
  }
  return found;
}

/** The SHA-256 that a TimeStampResp is over, and its time; its signature is not looked at. */
export function readToken(response) {
  let good = hex(der(response, [0, 0x30], [0, 0x30], [0, 0x02])) === "00";
  good &&= derValues(response).length === 1;
  const signed = [[0, 0x30], [1, 0x30]];
  good &&= hex(der(response, ...signed, [0, 0x06])) === SIGNED_DATA;
  const content = der(response, ...signed, [1, 0xa0], [0, 0x30], [2, 0x30]);
  good &&= hex(der(content, [0, 0x06])) === TST_INFO;
  const info = der(content, [1, 0xa0], [0, 0x04], [0, 0x30]);
  good &&= hex(der(info, [0, 0x02])) === "01";
  good &&= hex(der(info, [2, 0x30], [0, 0x30], [0, 0x06])) === SHA_256;
  const form = /^([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})(?:\.([0-9]{0,5}[1-9]))?Z$/;
  const stated = form.exec(latin1(der(info, [4, 0x18])));
  good &&= stated !== null && isMoment(...stated.slice(1, 7).map(Number));
  const sentence = "A timestamp is not granted, not over SHA-256 or has no time.";
  need(good, "bad-timestamp", sentence);
  const [, year, month, day, hour, minute, second, part] = stated;
  const time = `${year}-${month}-${day}T${hour}:${minute}:${second}.${(part ?? "").padEnd(6, "0")}Z`;
  return [der(info, [2, 0x30], [1, 0x04]), time];
}

/** Check every timestamp: over a checkpoint of this log that begins the history of `note`. */
export function readStamps(members, note, policy) {
  const named = [...members.keys()].filter((name) => name.startsWith("timestamps/"));
  const sizes = [...new Set(named.map((name) => BigInt(name.slice(11).split(".")[0])))];
  sizes.sort((left, right) => (left < right ? -1 : 1));
  return sizes.map((size) => {
    const place = `timestamps/${size}`;
    const [text, proof, response] = ["checkpoint", "consistency", "tsr"].map((kind) => {
      return members.get(`${place}.${kind}`);
    });
    need(text && proof && response, "bad-timestamp", `${place} is not whole.`);
    const older = readCheckpoint(text, policy);
    let good = older.origin === note.origin && older.size === size;
    good &&= size > 0n && size <= note.size;
    need(good, "bad-timestamp", `${place}.checkpoint is of another log or size, or later.`);
    const same = older.size !== note.size || equal(older.root, note.root);
    need(same, "split-view", `This log has signed two trees of ${size} leaves.`);
    good = consistent(older, note, readHashes(proof, place));
    need(good, "bad-consistency", `The tree of ${size} leaves does not begin this one.`);
    const [digest, time] = readToken(response);
    good = equal(digest, sha256(text));
    need(good, "bad-timestamp", `${place}.tsr is not over ${place}.checkpoint.`);
    return { note: older, time };
  });
}

/** When a witness cosigned. */
export function cosignedAt(seconds) {
  return moved(DAY_ONE, Number(seconds));
}

/** When somebody else had seen how many leaves, and who; "" a timestamp, which is unchecked. */
export function outsideTimes(note, stamps) {
  const found = stamps.map((stamp) => [stamp.note.size, stamp.time, ""]);
  for (const one of [note, ...stamps.map((stamp) => stamp.note)]) {
    for (const [name, seconds] of one.cosigned) {
      found.push([one.size, cosignedAt(seconds), `witness ${show(name)}`]);
    }
  }
  return found;
}

/**
 * Refuse a time of the log's own that lies five minutes after somebody else had seen it.
 *
 * Where that is a token, whose signature is not checked, nobody knows which of the two is wrong.
 */
export function checkTimes(leaves, note, stamps) {
  const times = outsideTimes(note, stamps);
  for (const [size, time, who] of [...times.filter((one) => one[2]), ...times.filter((one) => !one[2])]) {
    const limit = moved(time, 300);
    for (const leaf of leaves.values()) {
      if (leaf.index < size && leaf.time > limit) {
        const said = who ? `${who} saw it at ${time}.` : `a timestamp, unchecked, says ${time}.`;
        const name = who ? "dated-ahead" : "bad-timestamp";
        throw new Refused(name, `Leaf ${leaf.index} is dated ${leaf.time}; ${said}`);
      }
    }
  }
}
