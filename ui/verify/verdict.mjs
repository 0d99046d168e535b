/*
 * The verdict: all checks one after another, and the four lines with what they are about.
 */

import { Answer, LISTED } from "./answer.mjs";
import { b64u, equal } from "./bytes.mjs";
import { anyOf } from "./chains.mjs";
import { readCheckpoint } from "./checkpoint.mjs";
import { holds, inWords } from "./conditions.mjs";
import { Shown, checkContent } from "./disclosed.mjs";
import { quoted, readHashes, show } from "./json.mjs";
import { SECTIONS, TIERS } from "./leaves.mjs";
import { QUESTION, readManifest } from "./manifest.mjs";
import { batchRoot } from "./merkle.mjs";
import { satisfied } from "./policy.mjs";
import { checkSample } from "./sample.mjs";
import { WrongUse, need } from "./refused.mjs";
import { sha256 } from "./sha2.mjs";
import { checkTimes, cosignedAt, outsideTimes, readStamps } from "./timestamps.mjs";
import { readZip } from "./zip.mjs";

const COUNTED = new Map([
  ["undetermined", "may meet them, which is not shown"],
  ["withheld", "withheld"],
  ["unattributed", "unattributed"],
  ["halves_not_shown", "halves not shown"],
]);
const MAX_WORDS = 300; // of the exporter's, in the verdict

const length = (values) => BigInt(values.length);
const sum = (values) => values.reduce((total, value) => total + value, 0n);

/**
 * Check a bundle under a policy; without a log's key in it, against itself only.
 *
 * `named`: the b64u digest that its manifest has to have, "" for any. Throws `Refused` at the first
 * thing that is not as it has to be. `told` hears what is being checked. Returns the verdict and
 * what a page shows of it.
 */
export function check(data, policy, named, told = () => {}) {
  if (!/^([A-Za-z0-9_-]{43})?$/.test(named)) {
    throw new WrongUse("The digest of a manifest is a SHA-256 in base64url, 43 characters.");
  }
  told("the zip");
  const members = readZip(data);
  const digest = b64u(sha256(members.get("manifest.json")));
  const sentence = () => `The manifest is ${digest}, not ${show(named)}.`;
  need(named === "" || named === digest, "wrong-manifest", sentence);
  told("the manifest's digests");
  const manifest = readManifest(members);
  const found = judge(members, manifest, policy, told);
  found.verdict.facts.set("manifest_named", named !== "");
  found.verdict.manifest = digest;
  found.verdict.unchecked = unchecked(manifest.get("question"), named !== "");
  return found;
}

/** Check what the members say, without their digests. */
function judge(members, manifest, policy, told) {
  told("the checkpoint");
  const note = readCheckpoint(members.get("checkpoint"), policy);
  let good = note.origin === manifest.get("origin") && note.size === manifest.get("size");
  const other = "The checkpoint is not of the log and size that the manifest names.";
  need(good, "wrong-key", other);
  const stamps = readStamps(members, note, policy);
  const question = manifest.get("question");
  told("leaves and chains");
  const answer = new Answer(members, question);
  told("that the leaves are in the ledger");
  const hashes = readHashes(members.get("proofs/inclusion"), "proofs/inclusion");
  const leaves = [...answer.leaves.values()].map((leaf) => [leaf.index, leaf.line]);
  good = note.size > answer.last(-1n) && equal(batchRoot(leaves, note.size, hashes), note.root);
  need(good, "bad-inclusion", "The leaves are not in the tree that the checkpoint signs.");
  checkTimes(answer.leaves, note, stamps);
  told("disclosed sections");
  const shown = new Shown(members.get("disclosures.jsonl"), answer);
  told("content");
  const parts = checkContent(members, shown);
  told("conditions and counts");
  const counts = counted(answer, shown, question.get("conditions"));
  const sample = checkSample(answer, shown, question.get("conditions"), manifest.get("sampling"));
  const stated = show(manifest.get("counts"));
  good = show(counts) === stated;
  need(good, "false-count", () => `Found ${show(counts)}, stated ${stated}.`);
  const newest = answer.epochs.length ? answer.epochs[0][1] : answer.last(0n);
  const facts = vouch(policy, note, stamps, newest);
  const content = `${parts} part${Number(parts) === 1 ? "" : "s"}`;
  let held = `${leaves.length} leaves, ${shown.number} sections and ${content}`;
  let integrity = `${held} agree with one another; who recorded them was not checked`;
  if (policy.logs.size) {
    held += ` are the bytes that ${show(note.origin)} recorded`;
    integrity = `${held}, in its tree of size ${note.size}`;
  }
  addFacts(facts, manifest, answer, counts);
  facts.set("sample", sample.drawn);
  const found = facts.get("assurance");
  const hidden = [...sample.said, ...partly(answer, shown)];
  const numbers = new Map(counts);
  if (sample.drawn !== null) {
    numbers.set("withheld", 0n); // the sample says of how many
  }
  const verdict = {
    integrity,
    completeness: completeness(answer, question, numbers, hidden, found.get("replayed")),
    assurance: assurance(policy, found),
    coverage: coverage(answer),
    about: about(answer, question.get("conditions")),
    manifest: "",
    unchecked: "",
    facts,
  };
  return { verdict, members, manifest, answer, shown };
}

/** Add to the facts what was evaluated, what is only stated, and what was found. */
function addFacts(facts, manifest, answer, counts) {
  const question = manifest.get("question");
  const evaluated = answer.asked.length ? QUESTION.slice(1, -1) : ["chains", "conditions"];
  const rest = QUESTION.filter((name) => !evaluated.includes(name));
  const stated = new Map(rest.map((name) => [name, question.get(name)]));
  for (const name of ["made", "boundary", "disclosed"]) {
    stated.set(name, manifest.get(name));
  }
  facts.set("question", new Map(evaluated.map((name) => [name, question.get(name)])));
  facts.set("stated", stated);
  facts.set("counts", counts);
  facts.set("records", answer.records);
  const each = answer.asked.map((chain) => [...chain.name, answer.counted.get(chain.key)]);
  facts.set("counted", each);
  facts.set("gaps", answer.gaps);
  facts.set("open", answer.open);
  facts.set("halves_not_shown", answer.notShown);
}

/**
 * Facts of who vouches besides the log's key; `newest`: the leaf on which the answer rests.
 *
 * `seen`: when that leaf had been seen at the latest, "" if nobody whom the policy names saw it.
 */
function vouch(policy, note, stamps, newest) {
  const replayed = new Map();
  for (const one of [...stamps.map((stamp) => stamp.note), note]) {
    for (const name of one.cosigned.keys()) {
      if (policy.monitors.has(name)) {
        replayed.set(name, one.size);
      }
    }
  }
  const seen = outsideTimes(note, stamps).filter(([size, , who]) => who && size > newest);
  const met = satisfied(policy, note.cosigned);
  const witnesses = [...note.cosigned].map(([name, seconds]) => [name, cosignedAt(seconds)]);
  const found = new Map([
    ["witnesses", new Map(witnesses)],
    ["monitors", replayed],
    ["timestamps", stamps.map((stamp) => [stamp.note.size, stamp.time, ""])],
    ["quorum", policy.quorum[0]],
    ["satisfied", met],
    ["replayed", [...replayed.values()].some((size) => size > newest)],
    ["seen", seen.map(([, time]) => time).sort()[0] ?? ""],
    ["newest", newest],
    ["post_quantum", false],
    ["unchecked", note.unchecked],
  ]);
  const outside = policy.logs.size > 0;
  return new Map([
    ["origin", note.origin],
    ["size", note.size],
    ["outside_key", outside],
    ["ok", outside && met],
    ["assurance", found],
  ]);
}

/** The third line: who vouches, whether that is what the policy asks for, what is asserted. */
function assurance(policy, found) {
  if (!policy.logs.size) {
    return "self-consistent only: no key was given from outside the bundle";
  }
  const [witnesses, monitors, quorum] = ["witnesses", "monitors", "quorum"].map((name) => {
    return found.get(name);
  });
  const who = [...witnesses].map(([name, time]) => `witness ${show(name)} at ${time}`);
  const unclear = [
    ...found.get("unchecked").map((name) => `ML-DSA-44 of ${show(name)}`),
    ...found.get("timestamps").map(([, time]) => `the timestamp of ${time}`),
  ];
  const said = [who.length ? `besides the log's key: ${who.join(", ")}` : "own key only"];
  if (!(who.length || unclear.length || monitors.size)) {
    said[0] += ": no witness, no timestamp";
  }
  if (quorum !== "none") {
    const not = "NOT met, so by this policy nothing here is trusted";
    said.push(`quorum ${show(quorum)} ${found.get("satisfied") ? "met" : not}`);
  }
  for (const [name, size] of monitors) {
    said.push(`monitor ${show(name)} has replayed to size ${size}`);
  }
  if (!monitors.size) {
    said.push("no monitor has replayed the chains");
  }
  if (!found.get("replayed")) {
    said[said.length - 1] += ", so counts, heads and times are asserted";
  }
  if (found.get("seen")) {
    const more = found.get("replayed") ? "" : ", and nothing shows how long before";
    said.push(`leaf ${found.get("newest")} was there by ${found.get("seen")}${more}`);
  }
  if (unclear.length) {
    said.push(`not checked here: ${unclear.join(", ")}`);
  }
  if (policy.postQuantum) {
    said.push("classical only: no ML-DSA-44 signature of the log was checked");
  }
  return said.join("; ");
}

/** Count what the answer holds; where only a count is shown, what its numbers say. */
function counted(answer, shown, conditions) {
  const results = answer.records.map((index) => {
    return holds(["and", ...conditions], index, answer, shown);
  });
  const hidden = answer.records.filter((index) => {
    return !shown.hasLeaf(index) && answer.leaves.get(index).sections.some(Boolean);
  });
  const found = new Map([
    ["records", length(answer.records)],
    ["matching", length(results.filter((result) => result === true))],
    ["undetermined", length(results.filter((result) => result === null))],
    ["withheld", length(hidden)],
    ["unattributed", length(answer.unattributed)],
    ["gaps", length(answer.gaps)],
    ["open", length(answer.open)],
    ["halves_not_shown", length(answer.notShown)],
  ]);
  if (answer.counting) {
    const total = sum(answer.asked.map((chain) => answer.counted.get(chain.key)));
    found.set("records", total).set("matching", total);
    found.set("unattributed", sum([...answer.counted.values()]) - total);
  }
  return found;
}

/** Sections that records shown in part have and that are not disclosed: of how many records. */
function partly(answer, shown) {
  const said = [];
  SECTIONS.forEach((name, place) => {
    const lacking = answer.records.filter((index) => {
      const there = answer.leaves.get(index).sections[place] !== null;
      return there && shown.hasLeaf(index) && !shown.has(index, name);
    });
    if (lacking.length) {
      said.push(`${name} of ${lacking.length} not disclosed`);
    }
  });
  return said;
}

/** The second line: all records of what, from when to when, and what of them is not shown. */
function completeness(answer, question, counts, hidden, sure) {
  if (!answer.asked.length) {
    return `not proved: ${show(question.get("not_proved"))}; ${counts.get("records")} records are shown`;
  }
  const heads = answer.epochs[0][1];
  const first = answer.epochs.at(-1)[0];
  const began = answer.leaves.get(first).time;
  let window = answer.since ? `, from ${answer.since}` : "";
  if (first === 0n && answer.since && answer.since < began) {
    // Nothing was observed before that.
    window += ` (the ledger begins at ${began})`;
  }
  window += answer.until ? `, through ${answer.until}` : "";
  if (answer.clock === "at") {
    window += ` of source time, as recorded before leaf ${heads} of `;
    window += answer.leaves.get(heads).time;
  }
  if (answer.counting) {
    const each = answer.asked.map((chain) => {
      const number = answer.counted.get(chain.key);
      return `${number} record${String(number) === "1" ? "" : "s"} of ${chain}`;
    });
    const more = answer.asked.length > 1 ? ", one by one" : "";
    const said = [`${each.join(" and ")}, in this ledger${window}: counted${more}, none shown`];
    said.push(`${counts.get("unattributed")} unattributed, gaps, if any, among them`);
    said.push(sure ? "a monitor has replayed them" : "asserted: no monitor");
    return said.join("; ");
  }
  const said = [`all ${counts.get("records")} records of ${anyOf(answer.asked)}, in this ledger${window}`];
  if (question.get("conditions").length) {
    said.push(`${counts.get("matching")} of them are shown to meet the conditions`);
  }
  for (const [name, words] of COUNTED) {
    if (counts.get(name)) {
      said.push(`${counts.get(name)} ${words}`);
    }
  }
  said.push(...hidden);
  if (answer.open.length) {
    said.push(`${counts.get("open")} open at ${heads}`);
  }
  const listed = answer.gaps.slice(0, LISTED).join(", ");
  const more = answer.gaps.length > LISTED ? ` and ${answer.gaps.length - LISTED} more` : "";
  said.push(answer.gaps.length ? `gaps listed: leaf ${listed}${more}` : "no gaps");
  return said.join("; ");
}

/** The fourth line: how the records were obtained, and what was not examined. */
function coverage(answer) {
  const numbers = new Map(TIERS.map((tier) => [tier, 0]));
  for (const index of answer.records) {
    const { tier } = answer.leaves.get(index);
    numbers.set(tier, numbers.get(tier) + 1);
  }
  const met = [...numbers].filter(([, number]) => number);
  let said = met.map(([tier, number]) => `${number} ${tier}`).join(", ");
  said = answer.counting ? "how the records were obtained is not shown" : said;
  return `${said || "no records"}; traffic around the gateway not examined`;
}

/** What was evaluated: chains, window and conditions, in words made here. */
function about(answer, conditions) {
  const said = [];
  if (answer.asked.length) {
    const until = answer.until || `what leaf ${answer.epochs[0][1]} knows`;
    const window = `from ${answer.since || "the beginning"} through ${until}`;
    const clock = answer.clock === "at" ? "source" : "ledger";
    const what = answer.counting ? "how many records" : "records";
    said.push(`${what} of ${anyOf(answer.asked)}`, `${window}, ${clock} time`);
  } else {
    said.push("no chain and no window: the records are those that the exporter picked");
  }
  said.push(`conditions: ${conditions.map(inWords).join(" and ") || "none"}`);
  return said.join("; ");
}

/** The last line: what nothing vouches for, or whose word it is if the manifest was named. */
function unchecked(question, named) {
  const words = [...question.get("expression")];
  const cut = words.length > MAX_WORDS ? ` and ${words.length - MAX_WORDS} characters more` : "";
  let theirs = "the question as the exporter put it, ";
  theirs += quoted(words.slice(0, MAX_WORDS).join("")) + cut;
  theirs += question.get("chains").length ? "" : ", why completeness is not proved";
  theirs += ", the reader's boundary, the time of the export, what was chosen to be disclosed";
  let said = `nothing vouches for these, anybody may have rewritten them: ${theirs}`;
  if (named) {
    said = "the manifest is the one named, nothing was changed since its digest was taken;";
    said += ` the exporter's word only: ${theirs}`;
  }
  said += "; report.html, README.txt and both verifiers inside are for people, not evidence";
  return said;
}
