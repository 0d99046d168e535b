/*
 * The pieces of a bundle put together into an answer; what does not fit together is refused.
 *
 * For each chain and epoch the links shown are contiguous; the first has number 1 or lies before
 * the window; the last is the head or lies behind the window, in a closed epoch it is the head; a
 * chain of which nothing is shown is absent from its bucket. Hence nothing of the window is
 * missing, if the heads leaf is true. Where only a count is shown, links inside the window may be
 * left out between two that are inside: their numbers say how many. A piece with no place in this
 * is refused.
 */

import { Chain, asHead, bucketOf, opened, readBucket, readLinks, readOpenings, unattributed } from "./chains.mjs";
import { ANSWERS, HEADS, isOwn, opens, readLeaves } from "./leaves.mjs";
import { need } from "./refused.mjs";
import { moved } from "./times.mjs";

export const LISTED = 20; // leaves named in a sentence
const FIRST = 2n ** 64n - 1n; // what the first link of a chain names as the leaf before it

/** The values of some sets, integers, ascending. */
function ascending(...sets) {
  const all = new Set(sets.flatMap((set) => [...set]));
  return [...all].sort((left, right) => (left < right ? -1 : 1));
}

/** What a bundle shows, put together; `records` and the other lists are indices of leaves. */
export class Answer {
  constructor(members, question) {
    this.leaves = readLeaves(members.get("leaves.jsonl"));
    this.ids = readOpenings(members.get("chains.jsonl"), this.leaves);
    this.links = readLinks(members.get("links.jsonl"), this.leaves);
    this.buckets = new Map();
    for (const [name, body] of members) {
      if (name.startsWith("heads/")) {
        this.buckets.set(name, readBucket(name, body, this.leaves));
      }
    }
    this.asked = question.get("chains").map((chain) => new Chain(...chain));
    this.counting = question.get("show") === "count";
    this.counted = new Map(); // by key of a chain: how many of it lie inside the window
    this.since = question.get("since");
    this.until = question.get("until");
    this.clock = question.get("clock") === "source" ? "at" : "time";
    this.epochs = []; // epoch leaf and its heads leaf, newest first
    this.answersShown = false; // whether an answer, in the newest epoch, would be shown
    this.unattributed = [];
    this.gaps = [];
    this.used = new Set(); // leaves
    this.placed = new Set(); // openings, chain ids and buckets
    if (this.asked.length) {
      this.prove();
    } else {
      this.records = [...this.leaves.keys()].filter((index) => !isOwn(this.kind(index)));
    }
    this.pair();
    this.shown = new Set([
      ...this.records,
      ...this.halves.values(),
      ...this.unattributed,
      ...this.gaps,
    ]);
    this.needPlaces();
  }

  /** The index of the last leaf shown, or `none`. */
  last(none) {
    let last = none;
    for (const index of this.leaves.keys()) {
      last = index;
    }
    return last;
  }

  /** The type of a leaf. */
  kind(index) {
    return this.leaves.get(index).type;
  }

  /** Whether a leaf lies in the window, edges included. */
  inside(index) {
    const time = this.leaves.get(index)[this.clock];
    return this.since <= time && (!this.until || time <= this.until);
  }

  /** Find the other half of each record, and what is open or not shown. */
  pair() {
    const answers = new Map();
    for (const leaf of this.leaves.values()) {
      if (leaf.re !== undefined && leaf.re !== null) {
        answers.set(leaf.re, leaf.index);
      }
    }
    this.halves = new Map();
    const [silent, lost] = [[], []];
    for (const index of this.records) {
      const { re, type } = this.leaves.get(index);
      const half = re === undefined ? answers.get(index) : re;
      if (half !== undefined && half !== null) {
        if (this.leaves.has(half)) {
          this.halves.set(index, half);
          continue;
        }
        lost.push(index);
      }
      if ([...ANSWERS.values()].includes(type)) {
        silent.push(index);
      }
    }
    const newest = this.answersShown ? this.epochs[0][0] : this.last(0n);
    const open = silent.filter((index) => index > newest); // chains go on within an epoch only
    const isOpen = new Set(open);
    this.open = ascending(open);
    this.notShown = ascending([...lost, ...silent].filter((index) => !isOpen.has(index)));
  }

  /** Refuse pieces that have no place in the answer. */
  needPlaces() {
    const leaves = [...this.leaves.keys()].filter((index) => {
      return !this.used.has(index) && !this.shown.has(index);
    });
    const others = [...this.ids.keys(), ...this.links.keys(), ...this.buckets.keys()];
    const number = leaves.length + others.filter((key) => !this.placed.has(key)).length;
    need(!number, "stray-piece", () => {
      const listed = leaves.slice(0, LISTED).join(", ");
      return `Without a place: ${number} pieces, leaves [${listed}].`;
    });
  }

  /** Walk every chain through every epoch of the window, and sort out what lies inside. */
  prove() {
    let { since, until } = this;
    if (this.clock === "at") { // recorded with an "at" of at most five minutes after "time"
      [since, until] = [moved(since, -300), ""];
    }
    this.findEpochs(since, until);
    const [records, everything] = [new Set(), new Set()];
    this.answersShown = true;
    for (const chain of [...this.asked, ...unattributed(this.asked)]) {
      this.counted.set(chain.key, 0n);
      for (const [epoch, heads] of this.epochs) {
        const newest = epoch === this.epochs[0][0];
        const [links, atHead] = this.run(chain, epoch, heads, since, newest ? until : "");
        links.forEach((link) => this.used.add(link.leaf));
        const inside = links.filter((link) => this.inside(link.leaf));
        const before = this.counted.get(chain.key);
        if (this.counting) {
          const more = inside.length ? inside.at(-1).n - inside[0].n + 1n : 0n;
          this.counted.set(chain.key, before + more);
          continue;
        }
        this.counted.set(chain.key, before + BigInt(inside.length));
        inside.forEach((link) => everything.add(link.leaf));
        if (this.asked.includes(chain)) { // a response joins the chains of its request, except type
          inside.forEach((link) => records.add(link.leaf));
          this.answersShown &&= chain.dimension !== "type" && atHead;
        }
      }
    }
    this.records = ascending(records);
    this.gaps = ascending([...everything].filter((index) => this.kind(index) === "ledger.gap"));
    const sorted = new Set([...this.records, ...this.gaps]);
    this.unattributed = ascending([...everything].filter((index) => !sorted.has(index)));
  }

  /** Walk back by `previous` from the newest epoch to one that begins before the window. */
  findEpochs(since, until) {
    const closing = new Map();
    let epoch = -1n;
    for (const leaf of this.leaves.values()) {
      if (leaf.type === HEADS) {
        closing.set(leaf.epoch, leaf.index);
        epoch = leaf.epoch > epoch ? leaf.epoch : epoch;
      }
    }
    const late = closing.size && (!until || this.leaves.get(closing.get(epoch)).time > until);
    need(late, "missing-epoch", "No heads leaf later than the window is shown.");
    while (epoch >= 0n) {
      const leaf = this.leaves.get(epoch);
      const heads = closing.get(epoch) ?? -1n;
      let good = leaf !== undefined && opens(leaf.type) && heads > epoch;
      good &&= !this.epochs.length || heads === this.epochs.at(-1)[0] - 1n;
      const where = `The epoch of leaf ${epoch} is not shown to its end.`;
      need(good, "missing-epoch", where);
      this.epochs.push([epoch, heads]);
      this.used.add(epoch).add(heads);
      epoch = leaf.time >= since ? leaf.previous : -1n;
    }
  }

  /**
   * Check what is shown of a chain in an epoch; `until` "" means through the head.
   *
   * Returns its links, and whether the last of them is the head.
   */
  run(chain, epoch, heads, since, until) {
    const where = `${chain} in the epoch of leaf ${epoch}`;
    const key = opened(epoch, chain);
    need(this.ids.has(key), "wrong-opening", `${where} is not opened.`);
    const { id } = this.ids.get(key);
    const name = `heads/${heads}-${bucketOf(id, this.leaves.get(heads).bits)}.json`;
    need(this.buckets.has(name), "wrong-head", `The bucket of ${where} is not shown.`);
    this.placed.add(key).add(id).add(name);
    const head = this.buckets.get(name).get(id);
    const links = this.links.get(id) ?? [];
    if (!links.length) {
      const absent = head === undefined;
      need(absent, "omitted-record", `${where} has records, and none is shown.`);
      return [[], true];
    }
    const dimension = this.leaves.get(epoch).dimensions.indexOf(chain.dimension);
    links.forEach((link, place) => {
      const kind = this.kind(link.leaf);
      let good = link.dimension === dimension && epoch < link.leaf && link.leaf < heads;
      good &&= !isOwn(kind) && (chain.dimension !== "type" || kind === chain.value);
      const at = () => `${where}, leaf ${link.leaf}`;
      need(good, "wrong-chain", () => `${at()}: this link may not stand there.`);
      good = link.n > 0n && (link.n === 1n) === (link.previous === FIRST);
      if (place) {
        good = this.follows(links[place - 1], link, at) && good;
      }
      need(good, "forked-chain", () => {
        return `${at()} names leaf ${link.previous} as the one before it.`;
      });
    });
    let good = links[0].n === 1n || this.leaves.get(links[0].leaf).time < since;
    need(good, "omitted-record", `${where} is not shown back to the start of the window.`);
    const last = links.at(-1);
    const atHead = head === asHead(last);
    good = atHead || (head !== undefined && !links.some((link) => asHead(link) === head));
    const sentence = `${where} has records which heads leaf ${heads} does not know.`;
    need(good, "lying-head", sentence);
    good = atHead || (until && this.leaves.get(last.leaf).time > until);
    need(good, "omitted-record", `${where} is not shown up to the end of the window.`);
    return [links, atHead];
  }

  /** Whether a link names the one before it; a number that does not follow is refused. */
  follows(before, link, at) {
    const said = () => `number ${link.n} after ${before.n}`;
    need(link.n !== before.n, "duplicate-number", () => `${at()}: ${said()}.`);
    need(link.n > before.n, "reordered", () => `${at()}: ${said()}.`);
    const leftOut = link.n - before.n - 1n;
    const within = this.counting && this.inside(before.leaf) && this.inside(link.leaf);
    need(!leftOut || within, "omitted-record", () => `${at()}: ${said()}; ${leftOut} not shown.`);
    const fits = before.leaf + leftOut <= link.previous && link.previous < link.leaf;
    return fits && (leftOut > 0n || link.previous === before.leaf);
  }
}
