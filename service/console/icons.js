// Icons that show verdicts by shape as well as by colour: a circle with a tick, an octagon with an
// exclamation mark, a diamond with a question mark.

import { h, s } from "./dom.js";

const SHAPES = {
  normal: [["circle", { cx: 12, cy: 12, r: 10 }], ["path", { d: "M7.5 12.4l3.1 3.1 6-6.6", class: "mark" }]],
  adversarial: [["path", { d: "M8 2h8l6 6v8l-6 6H8l-6-6V8z" }], ["path", { d: "M12 7v6.2M12 16.6v.2", class: "mark" }]],
  undecided: [["path", { d: "M12 1.2L22.8 12 12 22.8 1.2 12z" }], ["path", { d: "M9.6 9.6a2.4 2.4 0 114 1.8c-.9.7-1.6 1.2-1.6 2.3M12 16.4v.2", class: "mark" }]],
};

export const WORDS = { normal: "Normal", adversarial: "Adversarial", undecided: "Undecided" };

/** Draw the shape of a verdict; text beside it says what it means. */
export function shape(verdict, size = 24) {
  return s(
    "svg",
    { viewBox: "0 0 24 24", width: size, height: size, class: `shape is-${verdict}`, "aria-hidden": "true", "data-shape": verdict },
    (SHAPES[verdict] ?? SHAPES.undecided).map(([tag, attributes]) => s(tag, attributes)),
  );
}

/** Show a verdict as shape and word. */
export const badge = (verdict) => h("span", { class: `badge is-${verdict}` }, shape(verdict, 18), WORDS[verdict] ?? verdict);
