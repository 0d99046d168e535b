/*
 * The manifest: the form of its question and of the exporter's words, and the digest of every
 * other member.
 */

import { b64u } from "./bytes.mjs";
import { ascends, compareTexts, isList, isText, readObject } from "./json.mjs";
import { isCondition } from "./conditions.mjs";
import { need } from "./refused.mjs";
import { sha256 } from "./sha2.mjs";
import { isTime } from "./times.mjs";
import { REQUIRED } from "./zip.mjs";

const MANIFEST = [
  ...["v", "made", "origin", "size", "question", "boundary", "disclosed", "sampling"],
  ...["retention", "custody", "counts", "files"],
];
export const QUESTION = [
  ...["expression", "chains", "since", "until", "clock", "conditions", "show", "not_proved"],
];

/** Whether the question has its form. */
function isQuestion(question) {
  const [since, until, clock] = ["since", "until", "clock"].map((name) => question.get(name));
  const chains = question.get("chains");
  const conditions = question.get("conditions");
  const form =
    Array.isArray(chains) &&
    chains.every((one) => Array.isArray(one) && one.length === 3 && one.every(isText)) &&
    chains.length > 0 === (question.get("not_proved") === "") &&
    (since === "" || isTime(since)) &&
    ascends(chains, compareTexts) &&
    (isTime(until) || (until === "" && clock === "source")) &&
    (since <= until || until === "") &&
    ["ledger", "source"].includes(clock) &&
    Array.isArray(conditions) &&
    conditions.every((one) => isCondition(one)) &&
    ["records", "count"].includes(question.get("show"));
  if (form && question.get("show") === "count") { // of whole chains, by the ledger's clock
    return chains.length > 0 && !conditions.length && clock === "ledger";
  }
  return form;
}

/** Whether a sample has its form, if there is one; its population is what a chain proves. */
function isSampling(sampling, question) {
  if (sampling === null) {
    return true;
  }
  const fields = ["seed", "size", "population", "digest"];
  const form = sampling instanceof Map && isList([...sampling.keys()], fields);
  const [seed, size, population, digest] = form ? sampling.values() : [];
  const integers = typeof size === "bigint" && typeof population === "bigint";
  const asked = question.get("chains").length > 0 && question.get("show") !== "count";
  return asked && integers && isText(seed) && isText(digest) && seed !== "" && size > 0n;
}

/** Whether what the manifest says of the export has its form. */
function isExport(manifest) {
  const question = manifest.get("question");
  const disclosed = manifest.get("disclosed");
  return (
    isText(question.get("expression")) &&
    isText(question.get("not_proved")) &&
    isTime(manifest.get("made")) &&
    Array.isArray(manifest.get("custody")) &&
    manifest.get("boundary") instanceof Map &&
    manifest.get("retention") instanceof Map &&
    disclosed instanceof Map &&
    isList([...disclosed.keys()], ["withhold", "content"]) &&
    Array.isArray(disclosed.get("withhold")) &&
    disclosed.get("withhold").every(isText) &&
    isText(disclosed.get("content")) &&
    isSampling(manifest.get("sampling"), question)
  );
}

/** Parse `manifest.json`; every other member is listed in it with its digest. */
export function readManifest(members) {
  const manifest = readObject(members.get("manifest.json"), "manifest.json", MANIFEST);
  const question = manifest.get("question");
  const files = manifest.get("files");
  let good = question instanceof Map && isList([...question.keys()], QUESTION);
  good &&= files instanceof Map && manifest.get("v") === 1n;
  need(good, "not-canonical", "The manifest asks no question.");
  need(isQuestion(question), "not-canonical", "The question of the manifest is malformed.");
  const sentence = "What the manifest says of the export is malformed.";
  need(isExport(manifest), "not-canonical", sentence);
  const names = [...members.keys()].filter((name) => name !== "manifest.json").sort();
  good = isList(names, [...files.keys()]) && REQUIRED.every((name) => members.has(name));
  const lacking = "The members are not those the manifest lists, or too few.";
  need(good, "altered-file", lacking);
  for (const name of names) {
    const same = b64u(sha256(members.get(name))) === files.get(name);
    need(same, "altered-file", `${name} is not the file the manifest lists.`);
  }
  return manifest;
}
