/*
 * Bytes and text: UTF-8, Latin-1, base64 in its one canonical form, numbers of eight bytes.
 */

const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const ENCODER = new TextEncoder();
const URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const STANDARD = `${URL_SAFE.slice(0, 62)}+/`;
const FROM_URL_SAFE = reversed(URL_SAFE);
const FROM_STANDARD = reversed(STANDARD);

function reversed(alphabet) {
  const table = new Int8Array(128).fill(-1);
  for (let place = 0; place < 64; place += 1) {
    table[alphabet.charCodeAt(place)] = place;
  }
  return table;
}

/** Text of bytes that are UTF-8; `null` if they are not. A byte order mark is a character. */
export function fromUtf8(data) {
  try {
    return STRICT.decode(data);
  } catch {
    return null;
  }
}

/** Bytes of text. */
export function utf8(text) {
  return ENCODER.encode(text);
}

/** Text with a character for each byte. */
export function latin1(data) {
  let text = "";
  for (let start = 0; start < data.length; start += 4096) {
    text += String.fromCharCode(...data.subarray(start, start + 4096));
  }
  return text;
}

/** One array of all bytes of several. */
export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** Whether two arrays hold the same bytes. */
export function equal(left, right) {
  return left.length === right.length && left.every((byte, place) => byte === right[place]);
}

/** Bytes as lower-case hexadecimal digits, for keys of maps. */
export function hex(data) {
  let text = "";
  for (const byte of data) {
    text += byte.toString(16).padStart(2, "0");
  }
  return text;
}

/** Eight bytes, big-endian, of an integer from 0 to 2^64 − 1. */
export function u64be(value) {
  const data = new Uint8Array(8);
  new DataView(data.buffer).setBigUint64(0, value);
  return data;
}

/** The integer of some bytes, big-endian. */
export function fromBigEndian(data) {
  return data.length ? BigInt(`0x${hex(data)}`) : 0n;
}

/** base64url without padding. */
export function b64u(data) {
  let text = "";
  for (let place = 0; place < data.length; place += 3) {
    const left = data.length - place;
    const word = (data[place] << 16) | ((data[place + 1] ?? 0) << 8) | (data[place + 2] ?? 0);
    text += URL_SAFE[word >> 18] + URL_SAFE[(word >> 12) & 63];
    text += left > 1 ? URL_SAFE[(word >> 6) & 63] : "";
    text += left > 2 ? URL_SAFE[word & 63] : "";
  }
  return text;
}

/** The bytes of canonical base64 without padding, `null` for anything else. */
function decoded(text, table) {
  const rest = text.length % 4;
  if (rest === 1) {
    return null;
  }
  const data = new Uint8Array(Math.floor((text.length * 3) / 4));
  let word = 0;
  let filled = 0;
  let bits = 0;
  for (let place = 0; place < text.length; place += 1) {
    const code = text.charCodeAt(place);
    const value = code < 128 ? table[code] : -1;
    if (value < 0) {
      return null;
    }
    word = ((word << 6) | value) & 0xfff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      data[filled] = word >> bits;
      filled += 1;
    }
  }
  return word & ((1 << bits) - 1) ? null : data; // bits that stand for nothing are zero
}

/** Decode canonical base64url without padding; `null` for anything else. */
export function decodeB64u(text) {
  return decoded(text, FROM_URL_SAFE);
}

/** Decode canonical standard base64, padded; empty for anything else. */
export function fromBase64(text) {
  const bare = text.replace(/={0,2}$/, "");
  const data = decoded(bare, FROM_STANDARD);
  const whole = bare + "=".repeat((4 - (bare.length % 4)) % 4) === text;
  return data !== null && whole ? data : new Uint8Array(0);
}
