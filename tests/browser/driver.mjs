/*
 * Runs the script of verify.html as a browser's worker would, for tests: a request a line on
 * standard input, an answer a line on standard output, both JSON.
 */

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { runInThisContext } from "node:vm";

const page = readFileSync(process.argv[2], "utf8");
const [, script] = /<script>([^]*)<\/script>/.exec(page);
let heard = [];
globalThis.self = globalThis;
globalThis.postMessage = (message) => heard.push(message);
runInThisContext(script, { filename: "verify.html" });

/** Any value of the worker as JSON: integers exactly, maps as objects. */
function written(value) {
  if (typeof value === "bigint") {
    return String(value);
  }
  if (Array.isArray(value)) {
    return `[${value.map(written).join(",")}]`;
  }
  const pairs = value instanceof Map ? [...value] : value !== null && typeof value === "object" ? Object.entries(value) : null;
  if (pairs) {
    return `{${pairs.map(([key, one]) => `${JSON.stringify(key)}:${written(one)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

async function asked(message) {
  heard = [];
  await self.onmessage({ data: message });
  return heard.at(-1);
}

function check({ trust, manifest }, data) {
  const file = { arrayBuffer: async () => data.slice().buffer };
  return asked({ op: "check", file, trust, manifest });
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const data = request.path ? new Uint8Array(readFileSync(request.path)) : null;
  let answer;
  if (request.changes) { // the name under which each change of one byte is refused
    answer = [];
    for (const [place, change] of request.changes) {
      data[place] ^= change;
      const found = await check(request, data);
      answer.push(found.name ?? found.op);
      data[place] ^= change;
    }
  } else {
    answer = await (data ? check(request, data) : asked(request));
  }
  process.stdout.write(`${written(answer)}\n`);
}
