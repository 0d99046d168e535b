/*
 * Outside trust: the log's key alone, or a policy (C2SP tlog-policy, with the lines that are ours
 * and begin with #). What is trusted is given, and never taken from a bundle.
 */

import { equal, fromBase64, hex, joined, utf8 } from "./bytes.mjs";
import { show } from "./json.mjs";
import { WrongUse } from "./refused.mjs";
import { sha256 } from "./sha2.mjs";

const KEY_BYTES = { 1: 32, 4: 32, 6: 1312 }; // Ed25519; Ed25519 with a time; ML-DSA-44 with one
const OURS = ["#monitor", "#valid", "#timestamps", "#post-quantum"];
const BLANK = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const VKEY = new RegExp(`^([^${BLANK}+]+)\\+([0-9a-f]{8})\\+([A-Za-z0-9+/]+={0,2})$`);
const AROUND = new RegExp(`^[${BLANK}]+|[${BLANK}]+$`, "g");
const BETWEEN = new RegExp(`[${BLANK}]+`);
const SIZE = /^(0|[1-9][0-9]{0,18})$/;
const BASE64 = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function stripped(text) {
  return text.replace(AROUND, "");
}

/** Parse `name+hash+base64` (C2SP signed-note); `WrongUse` if it is none. */
export function readKey(line) {
  const [, name, digest, encoded] = VKEY.exec(stripped(line)) ?? ["", "", "", ""];
  const data = fromBase64(encoded);
  const keyId = sha256(utf8(`${name}\n`), data).subarray(0, 4);
  if (hex(keyId) !== digest || KEY_BYTES[data[0]] !== data.length - 1) {
    throw new WrongUse(`Not a verifier key (name+hash+base64): ${show(stripped(line))}`);
  }
  return { name, kind: data[0], keyId, known: data.subarray(1), first: 0n, last: 2n ** 63n };
}

/**
 * What is trusted: `logs` by verifier key, `witnesses` by name; `groups`: name → how many of which
 * members, a group behind its members; `quorum`: one name, or "none"; `monitors`: witnesses that
 * replay the chains; `authorities`: names of those whose timestamps would be believed.
 */
function emptyPolicy() {
  return {
    logs: new Map(),
    witnesses: new Map(),
    groups: new Map(),
    quorum: [],
    monitors: new Set(),
    authorities: new Set(),
    postQuantum: false,
  };
}

/** Parse a policy; `WrongUse` names the line that is none. */
export function readPolicy(text) {
  const lines = text.split("\n");
  if ([...text].length > 1_000_000 || lines.length > 1001) {
    throw new WrongUse("The policy is larger than a policy may be.");
  }
  const policy = emptyPolicy();
  lines.forEach((line, place) => {
    const words = stripped(line).split(BETWEEN);
    const [word, ...rest] = words[0] === "" ? ["#"] : words;
    if (!((word[0] === "#" && !OURS.includes(word)) || takes(policy, word, rest))) {
      throw new WrongUse(`Line ${place + 1} is no line of a policy: ${show(line)}`);
    }
  });
  if (!policy.logs.size || !policy.quorum.length) {
    throw new WrongUse("A policy names at least one key of a log, and one quorum.");
  }
  return policy;
}

/** Take one line of a policy; returns whether it is one. */
function takes(policy, word, rest) {
  try {
    return LINES[word] !== undefined && LINES[word](policy, rest);
  } catch (error) {
    if (error instanceof WrongUse) {
      return false;
    }
    throw error;
  }
}

function isNew(policy, name) {
  return name !== "none" && !policy.witnesses.has(name) && !policy.groups.has(name);
}

const LINES = {
  __proto__: null,
  log(policy, [vkey, ...urls]) {
    if (vkey === undefined || policy.logs.has(vkey) || urls.length > 1) {
      return false;
    }
    policy.logs.set(vkey, readKey(vkey));
    return true;
  },
  witness(policy, [name, vkey, ...urls]) {
    if (vkey === undefined || urls.length > 1 || !isNew(policy, name)) {
      return false;
    }
    const key = readKey(vkey);
    const others = [...policy.witnesses.values()];
    policy.witnesses.set(name, key);
    return key.kind !== 1 && !others.some((other) => equal(other.known, key.known));
  },
  group(policy, [name, how, ...members]) {
    if (how === undefined || !isNew(policy, name) || new Set(members).size < members.length) {
      return false;
    }
    const counted = /^[1-9][0-9]{0,3}$/.test(how) ? Number(how) : 0;
    const needed = how === "all" ? members.length : how === "any" ? 1 : counted;
    const known = members.every((one) => policy.witnesses.has(one) || policy.groups.has(one));
    policy.groups.set(name, [needed, members]);
    return known && needed >= 1 && needed <= members.length;
  },
  quorum(policy, rest) {
    const [name] = rest;
    const known = name === "none" || policy.witnesses.has(name) || policy.groups.has(name);
    const good = rest.length === 1 && !policy.quorum.length && known;
    policy.quorum.push(name);
    return good;
  },
  "#monitor"(policy, rest) {
    policy.monitors.add(rest[0]);
    return rest.length === 1 && policy.witnesses.has(rest[0]);
  },
  "#valid"(policy, [vkey, ...sizes]) {
    const key = policy.logs.get(vkey);
    const [from, to] = sizes;
    if (key === undefined || sizes.length !== 2 || !SIZE.test(from)) {
      return false;
    }
    key.first = BigInt(from);
    key.last = SIZE.test(to) ? BigInt(to) : 2n ** 63n;
    return SIZE.test(to) || to === "-";
  },
  "#timestamps"(policy, rest) {
    const [name, certificate] = rest;
    const good = rest.length === 2 && !policy.authorities.has(name) && BASE64.test(certificate);
    policy.authorities.add(name);
    return good;
  },
  "#post-quantum"(policy, rest) {
    policy.postQuantum = true;
    return rest.length === 0;
  },
};

/** The policy of the log's key alone, one key a line; without any, of nothing. */
export function readKeys(text) {
  const lines = text.split(/\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/);
  const keys = lines.filter((line) => stripped(line) && !line.startsWith("#")).map(readKey);
  if (stripped(text) && !keys.length) {
    throw new WrongUse("The key file holds no key.");
  }
  if (keys.some((key) => key.kind === 4)) {
    throw new WrongUse("The key of a witness belongs into a policy: --policy");
  }
  const logs = new Map(keys.map((key) => [`${key.name} ${key.kind} ${hex(key.known)}`, key]));
  return { ...emptyPolicy(), logs, quorum: ["none"] };
}

/** Whether cosignatures by these witnesses are what the policy asks for. */
export function satisfied(policy, cosigned) {
  const have = new Map([...policy.witnesses.keys()].map((name) => [name, cosigned.has(name)]));
  for (const [name, [needed, members]] of policy.groups) {
    have.set(name, members.filter((member) => have.get(member)).length >= needed);
  }
  return have.get(policy.quorum[0]) ?? true;
}
