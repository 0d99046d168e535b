/*
 * Ed25519 by the algorithm of RFC 8032 §5.1.7, without cofactor: the same points and signatures
 * are taken as by verify.py, which browsers do not agree on among themselves.
 */

import { hex, joined } from "./bytes.mjs";
import { sha512 } from "./sha2.mjs";

const P = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

const mod = (value, by = P) => ((value % by) + by) % by;

function power(base, exponent) {
  let [result, square] = [1n, mod(base)];
  for (let rest = exponent; rest; rest >>= 1n) {
    result = rest & 1n ? (result * square) % P : result;
    square = (square * square) % P;
  }
  return result;
}

const D = mod(-121665n * power(121666n, P - 2n));

/** Add two points X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z (§5.1.4). */
function add(left, right) {
  const a = mod((left[1] - left[0]) * (right[1] - right[0]));
  const b = mod((left[1] + left[0]) * (right[1] + right[0]));
  const c = mod(2n * left[3] * right[3] * D);
  const d = mod(2n * left[2] * right[2]);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

/** Multiply a point. */
function multiplied(number, point) {
  let [total, addend] = [[0n, 1n, 1n, 0n], point];
  for (let rest = number; rest; rest >>= 1n) {
    total = rest & 1n ? add(total, addend) : total;
    addend = add(addend, addend);
  }
  return total;
}

/** The integer of some bytes, little-endian. */
function littleEndian(data) {
  return BigInt(`0x${hex(data.slice().reverse())}`);
}

/** Decode 32 bytes (§5.1.3); `null` if they are no point in canonical form. */
function decodePoint(data) {
  const number = littleEndian(data);
  const sign = number >> 255n;
  const y = number & (2n ** 255n - 1n);
  const square = mod((y * y - 1n) * power(D * y * y + 1n, P - 2n));
  let x = power(square, (P + 3n) / 8n);
  if (mod(x * x - square)) {
    x = mod(x * power(2n, (P - 1n) / 4n));
  }
  if (y >= P || mod(x * x - square) || (x === 0n && sign)) {
    return null;
  }
  x = (x & 1n) === sign ? x : P - x;
  return [x, y, 1n, mod(x * y)];
}

const BASE = decodePoint(Uint8Array.of(0x58, ...new Array(31).fill(0x66)));

/** Whether `signature` over `message` is by the key `known`. */
export function ed25519(known, message, signature) {
  if (known.length !== 32 || signature.length !== 64) {
    return false;
  }
  const s = littleEndian(signature.subarray(32));
  const nonce = signature.subarray(0, 32);
  const [key, point] = [decodePoint(known), decodePoint(nonce)];
  if (s >= ORDER || key === null || point === null) {
    return false;
  }
  const digest = littleEndian(sha512(joined([nonce, known, message])));
  const left = multiplied(s, BASE);
  const right = add(point, multiplied(mod(digest, ORDER), key));
  const crossed = (place) => mod(left[place] * right[2] - right[place] * left[2]);
  return crossed(0) === 0n && crossed(1) === 0n;
}
