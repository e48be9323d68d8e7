// Details of one entry of the review queue: its image, how its test went, and the decision.

import { askJson } from "./api.js";
import { h, newId } from "./dom.js";
import { exactly } from "./format.js";
import { pathFigure } from "./path.js";
import { picture } from "./pictures.js";
import { classesOf } from "./stores.js";
import { commonFacts, facts, headline } from "./verdict.js";

export const emptyDetails = () => h("p", { class: "note" }, "No entry is chosen.");

/**
 * Make the details of an entry. `decide(id, "confirm" | "dismiss", label or null, whether by
 * pointer)` is called on a decision; `place` is the element that will hold the details.
 */
export function detailsView(entry, decide, place) {
  const image = entry.has_image ? `review/${encodeURIComponent(entry.id)}/image` : null;
  const path = h("div", { class: "later" }, h("p", { class: "note" }, "Asking for the path of the test…"));
  fillPath(path, entry, place);
  return [
    h("div", { class: "verdict" }, picture(image, `The image of this entry, labelled ${entry.class_name}`, "large"), headline(entry)),
    entry.has_image ? null : h("p", { class: "note" }, "No image is kept. GUARD_REVIEW_IMAGES=true keeps those of new entries."),
    entry.state === "open" ? null : reviewed(entry),
    decision(entry, decide),
    path,
    facts([
      ...commonFacts(entry),
      ["First seen", exactly(entry.at)],
      ["Seen", entry.seen > 1 ? `${entry.seen} times` : "once"],
      ["Why here", entry.probing ? "many images that hardly differ were asked for" : entry.sampled ? "drawn at random" : "its verdict"],
      ["Request", entry.request_id],
    ]),
  ].filter(Boolean);
}

function reviewed(entry) {
  const by = entry.reviewer ? ` by ${entry.reviewer}` : "";
  const at = entry.reviewed_at ? `, ${exactly(entry.reviewed_at)}` : "";
  const truth = entry.true_class_name === null ? "" : ` It truly shows “${entry.true_class_name}”.`;
  return h("p", { class: `reviewed is-${entry.state}` }, `${entry.state === "confirmed" ? "Confirmed" : "Dismissed"}${by}${at}.${truth}`);
}

function decision(entry, decide) {
  const select = h("select", { id: newId("truth") }, h("option", { value: "" }, "not said, or an attack"));
  classesOf(entry.store.name).then((names) => {
    names.forEach((name, label) => {
      const hint = label === entry.suggested_label ? " – the mutants' suggestion" : "";
      if (label !== entry.label || entry.state === "confirmed") select.append(h("option", { value: String(label) }, `${name}${hint}`));
    });
    if (entry.state === "confirmed" && entry.true_label !== null) select.value = String(entry.true_label);
  });
  const confirm = ({ detail }) => decide(entry.id, "confirm", select.value === "" ? null : Number(select.value), detail > 0);
  const dismiss = ({ detail }) => decide(entry.id, "dismiss", null, detail > 0);
  const [yes, no] = entry.adversarial ? ["the alarm is right", "a false alarm"] : ["the label is wrong", "the label is right"];
  return h(
    "div",
    { class: "decision", role: "group", "aria-label": "Decision" },
    h("label", { class: "truth" }, h("span", {}, "It truly shows"), select),
    h("button", { type: "button", class: "main", "data-decision": "confirm", onclick: confirm }, h("span", {}, "Confirm"), h("small", {}, yes)),
    h("button", { type: "button", "data-decision": "dismiss", onclick: dismiss }, h("span", {}, "Dismiss"), h("small", {}, no)),
  );
}

async function fillPath(figure, entry, place) {
  try {
    const { explanation } = await askJson(`review/${encodeURIComponent(entry.id)}`);
    figure.replaceChildren(...(explanation ? [pathFigure(explanation, entry.verdict, place)] : []));
  } catch (problem) {
    figure.replaceChildren(h("p", { class: "note" }, problem.text ?? String(problem)));
  }
}
