// Table of the path of a test, for users who read rather than look.

import { h } from "./dom.js";
import { number } from "./format.js";

const value = (given) => (given === null || given === undefined ? "–" : Number.isFinite(given) ? number(given) : given > 0 ? "∞" : "−∞");
const cells = (tag, texts, attributes = {}) => texts.map((text) => h(tag, attributes, text));

/**
 * Make a table that is filled when it is opened: a test of the policy `paper` may have asked
 * hundreds of mutants.
 */
export function table(path, { operators, evidence, label_changed: changed, own_evidence: own }) {
  const ratio = path.kind === "log-ratio";
  const heads = ["Mutant", "Operator", "Label", "Evidence", ratio ? "Log ratio" : "In all", ratio ? "Normal from" : "Normal up to", ratio ? "Adversarial below" : "Adversarial from"];
  const body = () => [
    h("tr", {}, h("th", { scope: "row" }, "none yet"), cells("td", ["", "", value(own), value(path.points[0]), "–", "–"])),
    ...evidence.map((said, i) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, String(i + 1)),
        cells("td", [operators[i], changed[i] ? "another" : "the same", value(said), value(path.points[i + 1]), value(path.normal[i]), value(path.alarm[i])]),
      ),
    ),
  ];
  const rows = h("tbody");
  const details = h(
    "details",
    { ontoggle: () => { if (details.open && !rows.hasChildNodes()) rows.append(...body()); } },
    h("summary", {}, "The path as a table"),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": "Path of the test, as a table" },
      h("table", {}, h("caption", { class: "unseen" }, "Path of the test"), h("thead", {}, h("tr", {}, cells("th", heads, { scope: "col" }))), rows),
    ),
  );
  return details;
}
