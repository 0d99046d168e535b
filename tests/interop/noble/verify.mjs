// ML-DSA-44 (FIPS 204) by @noble/post-quantum, which knows none of our code.
// Reads {"public","message","signature"} in hex, one JSON object a line; prints true or false each.
import { createInterface } from "node:readline";
import { ml_dsa44 } from "@noble/post-quantum/ml-dsa.js";

const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));
for await (const line of createInterface({ input: process.stdin })) {
  const one = JSON.parse(line);
  console.log(ml_dsa44.verify(bytes(one.signature), bytes(one.message), bytes(one.public)));
}
