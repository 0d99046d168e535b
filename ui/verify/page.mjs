/*
 * The page: a form, the verdict, the question, counts and records. What came from outside becomes
 * text and never markup, and characters that are not seen or turn text around show their number.
 */

import { inWords } from "./conditions.mjs";
import { cut, written } from "./records.mjs";
import { service } from "./worker.mjs";

const UNSEEN = /([\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}])/u;
const PAGE = 100; // records shown at once
const SAID = ["integrity", "completeness", "assurance", "coverage", "about", "manifest", "unchecked"];

const byId = (id) => document.getElementById(id);

/** Text as nodes, with what is not seen, or turns text around, as its number. */
function visible(text) {
  return String(text)
    .split(UNSEEN)
    .filter(Boolean)
    .map((piece) => {
      if (piece === "\n" || !UNSEEN.test(piece)) {
        return document.createTextNode(piece);
      }
      const number = piece.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      return element("span", { className: "c" }, [document.createTextNode(`U+${number}`)]);
    });
}

function element(name, properties, children = []) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** An element with one text from outside or from the verdict. */
function said(name, text, className = "") {
  return element(name, { className }, visible(text));
}

/** Rows of a name and a text each. */
function table(id, pairs) {
  const lines = pairs.map(([name, text]) => {
    return element("tr", {}, [element("th", { scope: "row" }, visible(name)), said("td", text)]);
  });
  byId(id).replaceChildren(...lines);
}

/** Start the worker; where a browser allows none, the check runs in the page itself. */
function started(source, heard) {
  const alone = () => {
    const answer = service((message) => heard(message));
    return (message) => setTimeout(() => answer(message), 0);
  };
  try {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const types = window.trustedTypes?.createPolicy("worker", { createScriptURL: (one) => one });
    const worker = new Worker(types ? types.createScriptURL(url) : url);
    let send = (message) => worker.postMessage(message);
    let last = null;
    let lives = false;
    worker.onmessage = (event) => {
      lives = true;
      heard(event.data);
    };
    worker.onerror = () => {
      if (lives) { // it began and ended, for want of memory perhaps: that is not tried here again
        heard({ op: "broken", sentence: "The browser has ended the check." });
      } else {
        send = alone();
        send(last);
      }
    };
    return (message) => {
      last = message;
      send(message);
    };
  } catch {
    return alone();
  }
}

/** What the heading of a verdict says, and how it looks. */
function heading(verdict) {
  if (!verdict.facts.get("outside_key")) {
    return ["Self-consistent only: nothing was given from outside the bundle", "unsure"];
  }
  if (!verdict.facts.get("ok")) {
    return ["The checks hold, the quorum of the policy is not met", "refused"];
  }
  const named = verdict.facts.get("manifest_named");
  return [named ? "All checks hold" : "All checks hold; the manifest was not named", "good"];
}

function showHeading(text, look) {
  const title = byId("result-title");
  title.replaceChildren(...visible(text));
  byId("result").className = look;
  byId("result").hidden = false;
  title.focus();
}

/** The question as evaluated, and what the exporter says of it. */
function showQuestion(stated, verdict) {
  const question = stated.get("question");
  const chains = question.get("chains").map((chain) => `${chain[1]}=${chain[2]}, tenant ${chain[0]}`);
  const evaluated = [
    ["Chains", chains.join("\n") || "none"],
    ["From", question.get("since") || "the beginning"],
    ["Through", question.get("until") || "the head"],
    ["Clock", question.get("clock")],
    ["Conditions", question.get("conditions").map(inWords).join("\n") || "none"],
    ["Shown", question.get("show") === "count" ? "how many records" : "records"],
    ["Drawn", verdict.facts.get("sample")?.join(", ") ?? "no sample: all records"],
    ["Ledger", `${verdict.facts.get("origin")}, ${verdict.facts.get("size")} leaves`],
  ];
  table("question", chains.length ? evaluated : [evaluated[0], evaluated[4], evaluated.at(-1)]);
  const disclosed = stated.get("disclosed");
  table("stated", [
    ["Question, as put", question.get("expression") || "everything"],
    ...(chains.length ? [] : [["Not proved, because", question.get("not_proved")]]),
    ["Boundary", stating(stated.get("boundary"), "none")],
    ["Withheld", disclosed.get("withhold").join(", ") || "nothing"],
    ["Content", disclosed.get("content")],
    ["Sample", stating(stated.get("sampling"), "none")],
    ["Retention", stating(stated.get("retention"), "nothing is said")],
    ["Read before", stating(stated.get("custody"), "by nobody, as far as is said")],
    ["Made", stated.get("made")],
  ]);
}

/** What the exporter states, over several lines; `none` if that is nothing. */
function stating(value, none) {
  const empty = value === null || value.size === 0 || value.length === 0;
  return empty ? none : cut(written(value));
}

/** What a row of the table has: its field, its title, and how it breaks. */
const COLUMNS = [
  ["index", "leaf", "n"],
  ["time", "time", "n"],
  ["type", "type", "t k"],
  ["actor", "actor", "t"],
  ["model", "model", "t"],
  ["outcome", "outcome", "t"],
  ["tier", "tier", "n"],
  ["met", "meets the conditions", ""],
  ["sections", "sections shown", ""],
  ["half", "other half", "n"],
];

/** Start the page; `source` is the text of this script, for the worker. */
export function start(source) {
  let records = 0;
  let from = 0;
  let begun = 0;
  const send = started(source, (message) => HEARD[message.op](message));

  function status(text) {
    byId("status").textContent = text;
  }

  function done() {
    byId("check").disabled = false;
    status(`Done in ${((performance.now() - begun) / 1000).toFixed(1)} seconds.`);
  }

  function turn(to) {
    from = Math.max(0, Math.min(to, Math.floor((records - 1) / PAGE) * PAGE));
    send({ op: "rows", start: from, number: PAGE });
  }

  const HEARD = {
    told({ what }) {
      status(`Checking ${what} …`);
    },
    wrong({ sentence }) {
      done();
      status("");
      showHeading("Not understood", "unsure");
      byId("sentence").replaceChildren(...visible(sentence));
    },
    broken({ sentence }) {
      done();
      status("");
      showHeading("The check broke off: nothing is shown to hold", "refused");
      byId("sentence").replaceChildren(...visible(sentence));
    },
    refused({ name, sentence, reason }) {
      done();
      showHeading(`Refused: ${name}`, "refused");
      byId("sentence").replaceChildren(...visible(sentence));
      byId("reason").replaceChildren(...visible(`(${reason})`));
    },
    verdict({ verdict, stated, number }) {
      done();
      records = number;
      table("lines", SAID.map((name) => [name[0].toUpperCase() + name.slice(1), verdict[name]]));
      showQuestion(stated, verdict);
      table("counts", [...verdict.facts.get("counts")].map(([k, v]) => [k.replaceAll("_", " "), v]));
      byId("details").hidden = false;
      byId("shown").hidden = !number;
      byId("none").hidden = number > 0;
      byId("pager").hidden = number <= PAGE;
      if (number) {
        turn(0);
      }
      showHeading(...heading(verdict));
    },
    rows({ start: first, rows }) {
      const body = rows.map((row) => {
        const cells = COLUMNS.map(([name, , look]) => said("td", row[name], look));
        const open = element("button", { type: "button", className: "open" }, visible(row.index));
        open.setAttribute("aria-label", `Show record at leaf ${row.index}`);
        open.addEventListener("click", () => send({ op: "record", index: row.index }));
        cells[0].replaceChildren(open);
        return element("tr", {}, cells);
      });
      byId("rows").replaceChildren(...body);
      byId("place").textContent = `${first + 1} to ${first + rows.length} of ${records}`;
      byId("back").disabled = first === 0;
      byId("on").disabled = first + rows.length >= records;
    },
    record({ index, pieces }) {
      const body = pieces.flatMap(({ title, text }) => [said("h4", title), said("pre", text)]);
      byId("record-title").textContent = `Record at leaf ${index}`;
      byId("pieces").replaceChildren(...body);
      byId("record").hidden = false;
      byId("record-title").focus();
    },
  };

  function clear() {
    for (const id of ["sentence", "reason", "lines", "rows", "pieces"]) {
      byId(id).replaceChildren();
    }
    for (const id of ["result", "details", "record"]) {
      byId(id).hidden = true;
    }
  }

  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    clear();
    const [file] = byId("bundle").files;
    if (!file) {
      status("Choose a bundle first.");
      byId("bundle").focus();
      return;
    }
    begun = performance.now();
    byId("check").disabled = true;
    status("Reading the bundle …");
    const [trust, manifest] = [byId("trust").value, byId("manifest").value.trim()];
    send({ op: "check", file, trust, manifest });
  });
  byId("trust-file").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    byId("trust").value = file ? await file.text() : "";
  });
  const marked = byId("drop").classList;
  document.addEventListener("dragover", (event) => { // anywhere, or the browser opens the file
    event.preventDefault();
    marked.add("over");
  });
  document.addEventListener("dragleave", () => marked.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    marked.remove("over");
    byId("bundle").files = event.dataTransfer.files;
  });
  byId("back").addEventListener("click", () => turn(from - PAGE));
  byId("on").addEventListener("click", () => turn(from + PAGE));
  byId("heads").replaceChildren(
    ...COLUMNS.map(([, title]) => element("th", { scope: "col" }, visible(title))),
  );
  byId("form").hidden = false;
  byId("old").hidden = true;
}
