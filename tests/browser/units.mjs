/*
 * Parts of verify.html by themselves, for tests: a request a line, an answer a line, both JSON;
 * bytes are hexadecimal.
 */

import { createInterface } from "node:readline";
import { fromBase64, hex } from "../../ui/verify/bytes.mjs";
import { ed25519 } from "../../ui/verify/ed25519.mjs";
import { compareText, dumps, fromB64u, parse, readObject } from "../../ui/verify/json.mjs";
import { readKeys, readPolicy, satisfied } from "../../ui/verify/policy.mjs";
import { Refused, WrongUse } from "../../ui/verify/refused.mjs";
import { sha256, sha512 } from "../../ui/verify/sha2.mjs";
import { isTime, moved } from "../../ui/verify/times.mjs";
import { readToken } from "../../ui/verify/timestamps.mjs";

const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));

function policyOf(policy, cosigned) {
  return {
    logs: [...policy.logs.values()].map((key) => [key.name, key.kind, `${key.first}`, `${key.last}`]),
    witnesses: [...policy.witnesses.keys()],
    groups: Object.fromEntries(policy.groups),
    quorum: policy.quorum,
    monitors: [...policy.monitors].sort(),
    authorities: [...policy.authorities],
    postQuantum: policy.postQuantum,
    satisfied: satisfied(policy, new Map(cosigned.map((name) => [name, 1n]))),
  };
}

const PARTS = {
  parse: ([data]) => dumps(parse(bytes(data), "It")),
  object: ([data]) => dumps(readObject(bytes(data), "It")),
  compare: ([left, right]) => Math.sign(compareText(left, right)),
  time: ([text, seconds]) => [isTime(text), moved(text, seconds)],
  ed25519: ([known, message, signature]) => ed25519(bytes(known), bytes(message), bytes(signature)),
  digests: ([data]) => [hex(sha256(bytes(data))), hex(sha512(bytes(data)))],
  b64u: ([text, size]) => hex(fromB64u(text, size, "It")),
  base64: ([text]) => hex(fromBase64(text)),
  policy: ([text, cosigned]) => policyOf(readPolicy(text), cosigned),
  keys: ([text]) => policyOf(readKeys(text), []),
  token: ([data]) => {
    const [digest, time] = readToken(bytes(data));
    return [hex(digest), time];
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [part, ...rest] = JSON.parse(line);
  let answer;
  try {
    answer = { is: PARTS[part](rest) };
  } catch (error) {
    if (error instanceof Refused) {
      answer = { refused: error.refusal, sentence: error.message };
    } else if (error instanceof WrongUse) {
      answer = { wrong: error.message };
    } else {
      throw error;
    }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
