/*
 * The check beside the page, in a worker: messages in, messages out, so that a large bundle does
 * not freeze the window.
 */

import { readKeys, readPolicy } from "./policy.mjs";
import { record, rows } from "./records.mjs";
import { REASONS, Refused, WrongUse } from "./refused.mjs";
import { check } from "./verdict.mjs";

/** Whether lines of outside trust are a policy and not bare keys. */
function isPolicy(text) {
  return /^[ \t]*(log|witness|group|quorum)[ \t]/m.test(text);
}

/** A service that answers messages by `post`: check, rows, record. */
export function service(post) {
  let found = null;

  async function run({ file, trust, manifest }) {
    found = null;
    const data = new Uint8Array(await file.arrayBuffer());
    const policy = isPolicy(trust) ? readPolicy(trust) : readKeys(trust);
    found = check(data, policy, manifest, (what) => post({ op: "told", what }));
    const { verdict, manifest: stated, answer } = found;
    post({ op: "verdict", verdict, stated, number: answer.records.length });
  }

  return async (message) => {
    try {
      if (message.op === "rows") {
        post({ op: "rows", start: message.start, rows: rows(found, message.start, message.number) });
      } else if (message.op === "record") {
        post({ op: "record", index: message.index, pieces: record(found, message.index) });
      } else {
        await run(message);
      }
    } catch (error) {
      if (error instanceof Refused) {
        const reason = REASONS.get(error.refusal);
        post({ op: "refused", name: error.refusal, sentence: error.message, reason });
      } else if (error instanceof WrongUse) {
        post({ op: "wrong", sentence: error.message });
      } else {
        post({ op: "broken", sentence: String(error) });
      }
    }
  };
}
