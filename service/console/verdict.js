// Answers of the guard in words.

import { h } from "./dom.js";
import { milliseconds, percent, plural } from "./format.js";
import { shape, WORDS } from "./icons.js";
import { pathFigure } from "./path.js";

const ENDED = {
  deadline: "time was up before the test could decide",
  max_mutants: "the server's limit on mutants was reached before the test could decide",
  not_finite: "its scores, or a mutant's, are not numbers, so do not trust that",
  pool_exhausted: "all mutants were asked and the test could not decide",
};

/**
 * Put a verdict into one sentence; `answer` is a classification or an entry of the review queue.
 */
export function sentence(answer) {
  const said = `The classifier says “${answer.class_name}”`;
  if (answer.verdict === "normal") return `${said}, and there is no reason to doubt it.`;
  if (answer.verdict === "undecided") return `${said}; ${ENDED[answer.undecided_because] ?? "the test could not decide"}.`;
  const other = answer.suggested_class_name;
  const doubt = `${said}. Do not trust that`;
  if (other === null || other === undefined || answer.suggested_label === answer.label) return `${doubt}.`;
  const share = answer.suggested_share;
  const most = share === null || share === undefined ? "Most mutants say" : share === 1 ? (answer.mutants === 1 ? "The one mutant asked says" : "All mutants asked say") : `${percent(share)} of the mutants say`;
  return `${doubt}. ${most} “${other}”.`;
}

/** Make the headline of a verdict: shape, word and sentence. */
export function headline(answer, level = "h3") {
  return h(
    "div",
    { class: `headline is-${answer.verdict}` },
    shape(answer.verdict, 44),
    h("div", {}, h(level, { class: "verdict-word" }, WORDS[answer.verdict] ?? String(answer.verdict)), h("p", { class: "verdict-text" }, sentence(answer))),
  );
}

/** Make a list of terms and their values; terms without a value are left out. */
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => h("div", { class: name === "Request" ? "wide" : null }, h("dt", {}, name), h("dd", {}, value))),
  );
}

/** Return the facts that answers and entries of the queue have in common. */
export function commonFacts(answer) {
  return [
    ["Label", answer.class_name],
    ["Confidence", typeof answer.confidence === "number" ? percent(answer.confidence) : null],
    ["Mutants", String(answer.mutants)],
    ["Decided by", answer.decided_by ?? "nothing"],
    ["Suggested", suggestion(answer)],
    ["Store", `${answer.store.name} @ ${answer.store.version.slice(0, 8)}`],
    ["Policy", answer.policy],
  ];
}

function suggestion({ suggested_class_name: name, suggested_share: share, suggested_label: suggested, label }) {
  if (typeof name !== "string") return null;
  if (typeof share !== "number") return suggested === label ? "none" : name;
  return suggested === label ? `none, ${percent(share)} of mutants keep the label` : `${name} (${percent(share)} of mutants)`;
}

/**
 * Make the view of an answer of POST /classify. `note` says what could not be asked for, and
 * `place` is the element that will hold the view.
 */
export function answerView(answer, note, place) {
  const time = typeof answer.elapsed_ms === "number" ? milliseconds(answer.elapsed_ms) : null; // withheld from some keys
  const took = time && answer.cached ? `${time}, from the cache` : time;
  const bounds = answer.error_bounds;
  return [
    answer.adversarial && answer.verdict !== "adversarial" ? h("p", { class: "note" }, "This counts as an alarm on this server.") : null,
    note ? h("p", { class: "note withheld" }, note) : null,
    answer.explanation ? pathFigure(answer.explanation, answer.verdict, place) : null,
    facts([
      ...commonFacts(answer),
      ["Elapsed", took],
      ["Error bounds", bounds ? `misses ${percent(bounds.alpha)}, false alarms ${percent(bounds.beta)}` : null],
      ["Request", answer.request_id],
    ]),
  ].filter(Boolean);
}

/** Return the text of an answer for screen readers. */
export const spoken = (answer) => `${WORDS[answer.verdict] ?? answer.verdict}. ${sentence(answer)} ${plural(answer.mutants, "mutant")} asked.`;
