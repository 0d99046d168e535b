/*
 * Every name of a refusal, and what it says. The same names and sentences as verify.py.
 */

export const REASONS = new Map([
  ["not-canonical", "the file or one of its members is not in the one form the format allows"],
  ["altered-file", "a member is not the one the manifest lists, or is missing or unlisted"],
  ["wrong-manifest", "the manifest is not the one whose digest was given"],
  ["bad-signature", "a signature under the checkpoint does not verify"],
  ["wrong-key", "the checkpoint is of another log, or not signed by a key that was given"],
  ["split-view", "two checkpoints of one size have different roots"],
  ["bad-consistency", "a stamped checkpoint is not the beginning of this history"],
  ["bad-timestamp", "a timestamp is not whole, not over its checkpoint, or is wrong"],
  ["dated-ahead", "the log claims a time that had not come when somebody else saw it"],
  ["bad-inclusion", "the leaves are not in the tree that the checkpoint signs"],
  ["bad-leaf", "a leaf is not in the form of the format"],
  ["time-decreases", "a later leaf has an earlier ledger time"],
  ["repeated-record", "two leaves carry the same record or the same number of the same writer"],
  ["answered-twice", "two leaves answer the same request"],
  ["wrong-half", "a leaf answers something that is no request"],
  ["stray-piece", "a leaf, link, opening, bucket or section belongs to nothing that was asked"],
  ["wrong-opening", "a chain's name does not open to an id of its epoch"],
  ["wrong-chain", "a link is not of the leaf, the dimension or the epoch it is shown for"],
  ["omitted-record", "a record of a chain is missing at the start, in between or at the end"],
  ["duplicate-number", "two records of a chain carry the same number"],
  ["reordered", "the numbers of a chain do not follow the order of the leaves"],
  ["forked-chain", "a link names a predecessor that is not the record before it"],
  ["lying-head", "the heads leaf contradicts records that are older than itself"],
  ["wrong-head", "a bucket of heads is missing, or is not the one in the map of its heads leaf"],
  ["missing-epoch", "an epoch of the window is not shown to its end"],
  ["altered-disclosure", "a disclosed section is not the one the leaf committed to"],
  ["altered-content", "a part of content is not the one its section committed to"],
  ["wrong-sample", "the sample is not the one that its seed draws from the population"],
  ["false-count", "the manifest counts differently from what the bundle holds"],
]);

/** A check did not hold: `refusal` is one of REASONS, `message` says where. */
export class Refused extends Error {
  constructor(refusal, sentence) {
    super(sentence);
    this.refusal = refusal;
  }
}

/** A key, a policy or a digest that was given was not understood. */
export class WrongUse extends Error {}

/** Refuse under a name unless `condition` holds; `sentence` is text, or makes it. */
export function need(condition, refusal, sentence) {
  if (!condition) {
    throw new Refused(refusal, typeof sentence === "function" ? sentence() : sentence);
  }
}
