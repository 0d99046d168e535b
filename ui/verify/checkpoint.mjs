/*
 * A signed checkpoint (C2SP signed-note, tlog-checkpoint, tlog-cosignature): what it says, and who
 * signed it. ML-DSA-44 is not checked here, and who signed so is named.
 */

import { equal, fromBase64, fromBigEndian, fromUtf8, utf8 } from "./bytes.mjs";
import { ed25519 } from "./ed25519.mjs";
import { show } from "./json.mjs";
import { need } from "./refused.mjs";

/** Where the last empty line of a note begins, -1 if there is none. */
function lastEmptyLine(data) {
  for (let at = data.length - 2; at >= 0; at -= 1) {
    if (data[at] === 10 && data[at + 1] === 10) {
      return at;
    }
  }
  return -1;
}

/**
 * Open a signed checkpoint under a policy.
 *
 * Each line by a key that is known has to verify, and one of the log that counts for this size has
 * to be there, unless none was given; lines by unknown keys are left aside. `cosigned`: witness →
 * seconds since 1970; `unchecked`: whose ML-DSA-44 signatures stand there unchecked.
 */
export function readCheckpoint(data, policy) {
  const cut = lastEmptyLine(data);
  const body = fromUtf8(data.subarray(0, Math.max(cut, 0)));
  const tail = fromUtf8(data.subarray(cut < 0 ? 0 : cut + 2));
  need(body !== null && tail !== null, "not-canonical", "The checkpoint is not UTF-8.");
  const lines = body.split("\n");
  const signatures = tail.split("\n");
  const rest = lines.length >= 3 ? signatures.pop() : null;
  let good = rest === "" && signatures.length > 0 && signatures.length <= 100;
  good &&= /^(0|[1-9][0-9]{0,18})$/.test(lines[1]);
  const root = good ? fromBase64(lines[2]) : new Uint8Array(0);
  const sentence = "The checkpoint is not origin, size, root, signatures.";
  need(root.length === 32, "not-canonical", sentence);
  const note = { origin: lines[0], size: BigInt(lines[1]), root, cosigned: new Map() };
  note.unchecked = [];
  const given = [...policy.logs.values()];
  const receipts = given.some((key) => `${key.name}/receipts` === note.origin);
  need(!receipts, "wrong-key", "A receipt key signs no checkpoints.");
  const counting = given.filter((key) => key.first <= note.size && note.size <= key.last);
  const own = counting.filter((key) => key.name === note.origin).map((key) => ["", key]);
  const keys = [...own, ...policy.witnesses];
  let signed = given.length === 0;
  for (const line of signatures) {
    const [dash, name, blob] = [...line.split(" "), "", ""];
    const bytes = fromBase64(blob);
    good = dash === "\u2014" && line.split(" ").length === 3 && name !== "" && bytes.length > 4;
    need(good, "not-canonical", "A signature line of the checkpoint is malformed.");
    for (const [witness, key] of keys) {
      if (key.name !== name || !equal(key.keyId, bytes.subarray(0, 4))) {
        continue;
      }
      const moment = signedAt(key, note, `${body}\n`, bytes.subarray(4));
      if (moment === null) {
        note.unchecked.push(witness || name);
      } else if (witness) {
        const before = note.cosigned.get(witness) ?? moment;
        note.cosigned.set(witness, moment < before ? moment : before);
      } else {
        signed = true;
      }
    }
  }
  need(signed, "wrong-key", () => {
    return `No signature for ${show(note.origin)} by a key that was given and counts here.`;
  });
  return note;
}

/** When `key` signed: seconds since 1970, 0 if it does not say; `null` if not checked. */
function signedAt(key, note, text, signature) {
  const where = `of ${show(key.name)}`;
  let [moment, rest] = [0n, signature];
  if (key.kind !== 1) {
    moment = fromBigEndian(signature.subarray(0, 8));
    rest = signature.subarray(8);
    const good = moment > 0n && moment < 2n ** 37n;
    need(good, "bad-signature", `The cosignature ${where} has no time.`);
  }
  if (key.kind === 6) {
    const longest = Math.max(utf8(key.name).length, utf8(note.origin).length);
    need(longest < 256, "bad-signature", `A name is too long to sign ${where}.`);
    return null;
  }
  const said = key.kind === 4 ? `cosignature/v1\ntime ${moment}\n${text}` : text;
  const good = ed25519(key.known, utf8(said), rest);
  need(good, "bad-signature", `The signature ${where} does not verify.`);
  return moment;
}
