/*
 * SHA-256 and SHA-512 (FIPS 180-4), at once and not by promises: a bundle asks for hundreds of
 * thousands of small digests, and a page that is opened from a disk may have no WebCrypto.
 */

import { fromBigEndian, joined, u64be } from "./bytes.mjs";

/** The first 64 bits of the fractions of the cube roots of the first 80 primes (§4.2.3). */
const ROUNDS = [
  0x428a2f98d728ae22n, 0x7137449123ef65cdn, 0xb5c0fbcfec4d3b2fn, 0xe9b5dba58189dbbcn,
  0x3956c25bf348b538n, 0x59f111f1b605d019n, 0x923f82a4af194f9bn, 0xab1c5ed5da6d8118n,
  0xd807aa98a3030242n, 0x12835b0145706fben, 0x243185be4ee4b28cn, 0x550c7dc3d5ffb4e2n,
  0x72be5d74f27b896fn, 0x80deb1fe3b1696b1n, 0x9bdc06a725c71235n, 0xc19bf174cf692694n,
  0xe49b69c19ef14ad2n, 0xefbe4786384f25e3n, 0x0fc19dc68b8cd5b5n, 0x240ca1cc77ac9c65n,
  0x2de92c6f592b0275n, 0x4a7484aa6ea6e483n, 0x5cb0a9dcbd41fbd4n, 0x76f988da831153b5n,
  0x983e5152ee66dfabn, 0xa831c66d2db43210n, 0xb00327c898fb213fn, 0xbf597fc7beef0ee4n,
  0xc6e00bf33da88fc2n, 0xd5a79147930aa725n, 0x06ca6351e003826fn, 0x142929670a0e6e70n,
  0x27b70a8546d22ffcn, 0x2e1b21385c26c926n, 0x4d2c6dfc5ac42aedn, 0x53380d139d95b3dfn,
  0x650a73548baf63den, 0x766a0abb3c77b2a8n, 0x81c2c92e47edaee6n, 0x92722c851482353bn,
  0xa2bfe8a14cf10364n, 0xa81a664bbc423001n, 0xc24b8b70d0f89791n, 0xc76c51a30654be30n,
  0xd192e819d6ef5218n, 0xd69906245565a910n, 0xf40e35855771202an, 0x106aa07032bbd1b8n,
  0x19a4c116b8d2d0c8n, 0x1e376c085141ab53n, 0x2748774cdf8eeb99n, 0x34b0bcb5e19b48a8n,
  0x391c0cb3c5c95a63n, 0x4ed8aa4ae3418acbn, 0x5b9cca4f7763e373n, 0x682e6ff3d6b2b8a3n,
  0x748f82ee5defb2fcn, 0x78a5636f43172f60n, 0x84c87814a1f0ab72n, 0x8cc702081a6439ecn,
  0x90befffa23631e28n, 0xa4506cebde82bde9n, 0xbef9a3f7b2c67915n, 0xc67178f2e372532bn,
  0xca273eceea26619cn, 0xd186b8c721c0c207n, 0xeada7dd6cde0eb1en, 0xf57d4f7fee6ed178n,
  0x06f067aa72176fban, 0x0a637dc5a2c898a6n, 0x113f9804bef90daen, 0x1b710b35131c471bn,
  0x28db77f523047d84n, 0x32caab7b40c72493n, 0x3c9ebe0a15c9bebcn, 0x431d67c49c100d4cn,
  0x4cc5d4becb3e42b6n, 0x597f299cfc657e2an, 0x5fcb6fab3ad6faecn, 0x6c44198c4a475817n,
];
/** Those of the square roots of the first 8 primes (§5.3.5). */
const START = [
  0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
];
const ROUNDS_32 = Int32Array.from(ROUNDS.slice(0, 64), (word) => Number(word >> 32n)); // §4.2.2
const START_32 = Int32Array.from(START, (word) => Number(word >> 32n)); // §5.3.3
const SCHEDULE = new Int32Array(64);

/** SHA-256 over the bytes of `parts`, one after another: 32 bytes. */
export function sha256(...parts) {
  const state = START_32.slice();
  const block = new Uint8Array(64);
  let filled = 0;
  let total = 0;
  for (const part of parts) {
    total += part.length;
    let at = 0;
    if (filled) {
      at = Math.min(64 - filled, part.length);
      block.set(part.subarray(0, at), filled);
      filled += at;
      if (filled < 64) {
        continue;
      }
      compress(state, block, 0);
    }
    for (; at + 64 <= part.length; at += 64) {
      compress(state, part, at);
    }
    filled = part.length - at;
    block.set(part.subarray(at));
  }
  block[filled] = 0x80;
  block.fill(0, filled + 1);
  if (filled > 55) {
    compress(state, block, 0);
    block.fill(0);
  }
  const view = new DataView(block.buffer);
  view.setUint32(56, Math.floor(total / 2 ** 29));
  view.setUint32(60, (total * 8) % 2 ** 32);
  compress(state, block, 0);
  const digest = new Uint8Array(32);
  for (let place = 0; place < 32; place += 1) {
    digest[place] = state[place >> 2] >> (24 - 8 * (place & 3));
  }
  return digest;
}

/** HMAC-SHA-256 (RFC 2104) of `data` under `key`: 32 bytes. */
export function hmac256(key, data) {
  const block = new Uint8Array(64);
  block.set(key.length > 64 ? sha256(key) : key);
  const [inner, outer] = [0x36, 0x5c].map((pad) => block.map((byte) => byte ^ pad));
  return sha256(outer, sha256(inner, data));
}

/** Take one block of 64 bytes into a state (§6.2.2). */
function compress(state, data, at) {
  for (let t = 0; t < 16; t += 1) {
    const from = at + 4 * t;
    SCHEDULE[t] =
      (data[from] << 24) | (data[from + 1] << 16) | (data[from + 2] << 8) | data[from + 3];
  }
  for (let t = 16; t < 64; t += 1) {
    const x = SCHEDULE[t - 15];
    const y = SCHEDULE[t - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    SCHEDULE[t] = SCHEDULE[t - 16] + s0 + SCHEDULE[t - 7] + s1;
  }
  let a = state[0];
  let b = state[1];
  let c = state[2];
  let d = state[3];
  let e = state[4];
  let f = state[5];
  let g = state[6];
  let h = state[7];
  for (let t = 0; t < 64; t += 1) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const first = (h + s1 + ((e & f) ^ (~e & g)) + ROUNDS_32[t] + SCHEDULE[t]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + second) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

const wrap = (value) => BigInt.asUintN(64, value);
const turned = (word, by) => wrap((word >> by) | (word << (64n - by)));

/** SHA-512 over short `data`: 64 bytes. Only signatures ask for it. */
export function sha512(data) {
  const padding = new Uint8Array(((111 - (data.length % 128) + 128) % 128) + 9);
  padding[0] = 0x80;
  const whole = joined([data, padding, u64be(BigInt(data.length) * 8n)]);
  const state = START.slice();
  for (let at = 0; at < whole.length; at += 128) {
    const words = [];
    for (let t = 0; t < 80; t += 1) {
      if (t < 16) {
        words.push(fromBigEndian(whole.subarray(at + 8 * t, at + 8 * t + 8)));
        continue;
      }
      const [x, y] = [words[t - 15], words[t - 2]];
      const s0 = turned(x, 1n) ^ turned(x, 8n) ^ (x >> 7n);
      const s1 = turned(y, 19n) ^ turned(y, 61n) ^ (y >> 6n);
      words.push(wrap(words[t - 16] + s0 + words[t - 7] + s1));
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let t = 0; t < 80; t += 1) {
      const s1 = turned(e, 14n) ^ turned(e, 18n) ^ turned(e, 41n);
      const first = wrap(h + s1 + ((e & f) ^ (wrap(~e) & g)) + ROUNDS[t] + words[t]);
      const s0 = turned(a, 28n) ^ turned(a, 34n) ^ turned(a, 39n);
      const second = wrap(s0 + ((a & b) ^ (a & c) ^ (b & c)));
      [h, g, f, e, d, c, b, a] = [g, f, e, wrap(d + first), c, b, a, wrap(first + second)];
    }
    [a, b, c, d, e, f, g, h].forEach((word, place) => {
      state[place] = wrap(state[place] + word);
    });
  }
  return joined(state.map(u64be));
}
