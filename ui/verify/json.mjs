/*
 * Strict JSON. An integer is a BigInt and any other number a Number, so that nothing is rounded
 * and 1 differs from 1.0; an object is a Map, in the order of its keys, whatever they are called.
 */

import { decodeB64u, fromUtf8, latin1 } from "./bytes.mjs";
import { Refused, need } from "./refused.mjs";

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const SPACE = /[ \t\n\r]*/y;
const TO_ESCAPE = /[\\\u0000-\u001f]/;
const LONE = /\p{Surrogate}/u;
const SHORT = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r" };
const ESCAPES = { b: "\b", t: "\t", n: "\n", f: "\f", r: "\r", '"': '"', "\\": "\\", "/": "/" };
const WORDS = [
  ["true", true],
  ["false", false],
  ["null", null],
];
const CONSTANTS = ["NaN", "Infinity", "-Infinity"];
const MAX_DIGITS = 4300; // of an integer, as Python has it
const MAX_DEPTH = 900; // of lists and objects in one another; Python stops at about a thousand

/** Text that is no JSON; `parse` names what it was. */
class NotJson extends Error {}

/** A parser of one text; `canonical` until something is written in another than the one form. */
class Parser {
  constructor(text, what) {
    this.text = text;
    this.what = what;
    this.at = 0;
    this.depth = 0;
    this.canonical = true;
  }

  /** The only value of the text. */
  whole() {
    this.space();
    const value = this.value();
    this.space();
    if (this.at !== this.text.length) {
      throw new NotJson();
    }
    return value;
  }

  space() {
    SPACE.lastIndex = this.at;
    SPACE.test(this.text);
    this.canonical &&= SPACE.lastIndex === this.at;
    this.at = SPACE.lastIndex;
  }

  /** Take `character` if it stands here. */
  takes(character) {
    const there = this.text[this.at] === character;
    this.at += there ? 1 : 0;
    return there;
  }

  expect(character) {
    if (!this.takes(character)) {
      throw new NotJson();
    }
  }

  value() {
    const first = this.text[this.at];
    if (first === '"') {
      this.at += 1;
      return this.string();
    }
    if (first === "{" || first === "[") {
      this.at += 1;
      this.depth += 1;
      if (this.depth > MAX_DEPTH) {
        throw new NotJson();
      }
      const found = first === "{" ? this.object() : this.list();
      this.depth -= 1;
      return found;
    }
    for (const [word, meant] of WORDS) {
      if (first === word[0] && this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return meant;
      }
    }
    for (const word of CONSTANTS) {
      if (this.text.startsWith(word, this.at)) {
        throw new Refused("not-canonical", `${this.what}: ${word} is not JSON.`);
      }
    }
    return this.number();
  }

  list() {
    const found = [];
    this.space();
    if (this.takes("]")) {
      return found;
    }
    for (;;) {
      found.push(this.value());
      this.space();
      if (this.takes("]")) {
        return found;
      }
      this.expect(",");
      this.space();
    }
  }

  object() {
    const found = new Map();
    let keys = 0;
    this.space();
    if (this.takes("}")) {
      return found;
    }
    for (;;) {
      this.expect('"');
      const key = this.string();
      this.space();
      this.expect(":");
      this.space();
      found.set(key, this.value());
      keys += 1;
      this.space();
      if (this.takes("}")) {
        break;
      }
      this.expect(",");
      this.space();
    }
    need(found.size === keys, "not-canonical", () => `${this.what} has a key twice.`);
    return found;
  }

  /** What stands behind an opening quote, up to the closing one. */
  string() {
    const start = this.at;
    const end = this.text.indexOf('"', start);
    const plain = this.text.slice(start, end);
    if (end >= 0 && !TO_ESCAPE.test(plain)) {
      this.at = end + 1;
      return plain;
    }
    let value = "";
    for (;;) {
      const character = this.text[this.at];
      if (character === undefined || character < " ") {
        throw new NotJson();
      }
      this.at += 1;
      if (character === '"') {
        break;
      }
      value += character === "\\" ? this.escaped() : character;
    }
    const same = !LONE.test(value) && quote(value, false) === this.text.slice(start - 1, this.at);
    this.canonical &&= same;
    return value;
  }

  escaped() {
    const letter = this.text[this.at];
    this.at += 1;
    if (letter === "u") {
      const digits = this.text.slice(this.at, this.at + 4);
      this.at += 4;
      if (/^[0-9a-fA-F]{4}$/.test(digits)) {
        return String.fromCharCode(parseInt(digits, 16));
      }
    } else if (letter !== undefined && Object.hasOwn(ESCAPES, letter)) {
      return ESCAPES[letter];
    }
    throw new NotJson();
  }

  number() {
    NUMBER.lastIndex = this.at;
    const found = NUMBER.exec(this.text);
    if (found === null) {
      throw new NotJson();
    }
    const [text, fraction, exponent] = found;
    this.at += text.length;
    if (fraction !== undefined || exponent !== undefined) {
      const value = Number(text);
      this.canonical &&= floatText(value) === text;
      return value;
    }
    if (text.replace("-", "").length > MAX_DIGITS) {
      throw new NotJson();
    }
    this.canonical &&= text !== "-0";
    return BigInt(text);
  }
}

function parser(data, what) {
  const text = fromUtf8(data);
  need(text !== null, "not-canonical", () => `${what} is not JSON in UTF-8.`);
  return new Parser(text, what);
}

function parsed(reader) {
  try {
    return reader.whole();
  } catch (error) {
    if (error instanceof NotJson || error instanceof RangeError) {
      throw new Refused("not-canonical", `${reader.what} is not JSON in UTF-8.`);
    }
    throw error;
  }
}

/** Parse JSON that is UTF-8, with no key twice, no NaN and nothing behind it. */
export function parse(data, what) {
  return parsed(parser(data, what));
}

/** Parse an object in its one form: no whitespace, no needless escapes, `fields` in order. */
export function readObject(data, what, fields = null) {
  const reader = parser(data, what);
  const value = parsed(reader);
  const good = reader.canonical && value instanceof Map;
  need(good && (fields === null || isList([...value.keys()], fields)), "not-canonical", () => {
    return `${what} is not in canonical form.`;
  });
  return value;
}

/** Whether two lists have the same values, in order. */
export function isList(left, right) {
  return left.length === right.length && left.every((value, place) => value === right[place]);
}

/** Split lines, each ended by one LF. */
export function readLines(data, what) {
  const lines = [];
  let start = 0;
  for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, start)) {
    lines.push(data.subarray(start, end));
    start = end + 1;
  }
  need(start === data.length, "not-canonical", () => `${what} does not end in a newline.`);
  return lines;
}

/** Decode canonical base64url without padding to `size` bytes (any, if negative). */
export function fromB64u(text, size, what) {
  const data = typeof text === "string" ? decodeB64u(text) : null;
  const good = data !== null && (size === -1 || data.length === size);
  need(good, "not-canonical", () => `${what} is not base64url of the right length.`);
  return data;
}

/** Read lines of b64u, 32 bytes each. */
export function readHashes(data, what) {
  return readLines(data, what).map((line) => fromB64u(latin1(line), 32, what));
}

/** Whether `value` is text. */
export function isText(value) {
  return typeof value === "string";
}

/** Whether `value` is an integer from 0 to 2^63 − 1. */
export function isCount(value) {
  return typeof value === "bigint" && value >= 0n && value < 2n ** 63n;
}

/** A number that is no integer as Python writes it: the shortest digits that mean it. */
function floatText(value) {
  if (!Number.isFinite(value)) {
    return value > 0 ? "Infinity" : "-Infinity";
  }
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const [mantissa, power] = Math.abs(value).toExponential().split("e");
  const digits = mantissa.replace(".", "");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    const rest = digits.length > 1 ? `.${digits.slice(1)}` : "";
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${sign}${digits[0]}${rest}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  if (exponent < 0) {
    return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  }
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${digits.slice(exponent + 1) || "0"}`;
}

/** Text as a JSON string; what is not ASCII escaped, too, if `ascii`. */
function quote(text, ascii) {
  const wanted = ascii ? /[^ !#-[\]-~]/g : /["\\\u0000-\u001f]/g;
  const inside = text.replace(wanted, (character) => {
    if (character === '"' || character === "\\") {
      return `\\${character}`;
    }
    const code = character.charCodeAt(0).toString(16).padStart(4, "0");
    return SHORT[character] ?? `\\u${code}`;
  });
  return `"${inside}"`;
}

/** A value as JSON in ASCII, as Python writes it. */
export function dumps(value) {
  if (typeof value === "string") {
    return quote(value, true);
  }
  if (Array.isArray(value)) {
    return `[${value.map(dumps).join(", ")}]`;
  }
  if (value instanceof Map) {
    return `{${[...value].map(([key, one]) => `${quote(key, true)}: ${dumps(one)}`).join(", ")}}`;
  }
  return typeof value === "number" ? floatText(value) : String(value);
}

/** A value as JSON in ASCII with no two spaces in a row, so that no text fills up a line. */
export function quoted(value) {
  return dumps(value).replaceAll("  ", " \\u0020");
}

/** A value as ASCII, so that it neither hides nor turns around what stands near it. */
export function show(value) {
  return typeof value === "string" && /^[!-~]+$/.test(value) ? value : quoted(value);
}

/** Order of two texts by their code points: negative, 0 or positive. */
export function compareText(left, right) {
  if (left === right) {
    return 0;
  }
  let at = 0;
  while (at < left.length && left[at] === right[at]) {
    at += 1;
  }
  const paired = /[\ud800-\udbff]/.test(left[at - 1] ?? "");
  const low = /[\udc00-\udfff]/;
  if (paired && (low.test(left[at] ?? "") || low.test(right[at] ?? ""))) {
    at -= 1; // both differ in the second half of what may be one character
  }
  return (left.codePointAt(at) ?? -1) - (right.codePointAt(at) ?? -1);
}

/** Order of two lists of texts, one after the other. */
export function compareTexts(left, right) {
  for (let place = 0; place < Math.min(left.length, right.length); place += 1) {
    const order = compareText(left[place], right[place]);
    if (order) {
      return order;
    }
  }
  return left.length - right.length;
}

/** Whether each value comes after the one before it. */
export function ascends(values, compare) {
  return values.every((value, place) => place === 0 || compare(values[place - 1], value) < 0);
}
