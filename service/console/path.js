// Drawing of the path of a test, mutant by mutant: up is towards the alarm, down towards normal.
//
// Where the test has a log ratio, its path runs between two straight bounds. Where the test only
// counts label changes, and where mutants give doubts, the path is the sum of the evidence against
// the label, and the bounds are steps.

import { h, newId, s } from "./dom.js";
import { number, plural } from "./format.js";
import { table } from "./path_table.js";

const SIZE = { height: 290, left: 52, right: 12, top: 14, bottom: 42 };
const WIDTH = { least: 280, usual: 660, most: 900 };
const FLAT = 0.06;

/**
 * Make the figure of an explanation: a drawing as wide as its place, its summary, and its table.
 */
export function pathFigure(explanation, verdict, place) {
  const path = steps(explanation, verdict);
  return h(
    "figure",
    { class: "path", "data-kind": path.kind },
    h("figcaption", {}, h("strong", {}, "Path of the test"), h("span", {}, path.caption)),
    draw(path, verdict, roomIn(place)),
    h("p", { class: "summary" }, path.summary),
    table(path, explanation),
  );
}

/**
 * Return the values to draw: points (y by step, possibly infinite), bounds by step, and both in
 * words.
 */
export function steps(explanation, verdict) {
  return explanation.log_ratio === null ? summed(explanation, verdict) : ratios(explanation, verdict);
}

function ratios({ log_ratio: ratio, normal_bound: normal, adversarial_bound: alarm }, verdict) {
  const towards = verdict === "adversarial" ? -Infinity : Infinity;
  const values = ratio.map((value) => value ?? towards);
  const last = values.length ? values[values.length - 1] : 0;
  const of = plural(values.length, "mutant");
  return {
    kind: "log-ratio",
    up: -1,
    power: 1,
    points: [0, ...values],
    alarm: values.map(() => alarm),
    normal: values.map(() => normal),
    axis: "log ratio",
    caption: "log likelihood ratio after each mutant, between the bounds of the test",
    summary: `After ${of} the log ratio is ${worded(last)}; adversarial at ${number(alarm)} or below, normal at ${number(normal)} or above.`,
  };
}

function summed(explanation, verdict) {
  const { own_evidence: own, evidence, normal_at_most: normal, adversarial_at_least: alarm } = explanation;
  const soft = own % 1 !== 0 || evidence.some((said) => said % 1 !== 0) || [...normal, ...alarm].some((bound) => bound % 1 !== 0 && bound > 0);
  const points = [own];
  for (const said of evidence) points.push(points[points.length - 1] + said);
  const last = points.length - 1;
  const possible = alarm.map((bound, i) => (bound <= own + i + 1 ? bound : null));
  const allowed = normal.map((bound) => (bound < 0 ? null : bound));
  const highest = Math.max(points[last], ...possible.filter((bound) => bound !== null), 1e-9);
  const lowest = Math.max(0, ...allowed.filter((bound) => bound !== null));
  const flat = soft && lowest > 0 && lowest < FLAT * highest;
  return {
    kind: "evidence",
    up: 1,
    power: flat ? 1 / 3 : 1,
    points,
    alarm: possible,
    normal: allowed,
    axis: soft ? "doubt in all" : "label changes",
    caption: `${soft ? "doubt of the label" : "label changes"}, summed mutant by mutant${flat ? " (cube-root scale)" : ""}`,
    summary: inWords(points[last], last, possible[last - 1] ?? null, allowed[last - 1] ?? null, soft, verdict),
  };
}

function inWords(total, count, alarm, normal, soft, verdict) {
  if (count === 0) {
    const decided = verdict === "undecided" ? "The test ended before any mutant was asked" : "Decided before any mutant was asked";
    return `${decided}: the classifier's own doubt is ${number(total)}.`;
  }
  const said = soft ? `the doubt is ${number(total)} in all` : `${plural(total, "label change")} in all`;
  const atLeast = alarm === null ? "an alarm cannot be raised yet" : `adversarial from ${number(alarm)} on`;
  const atMost = normal === null ? "normal is not possible yet" : `normal up to ${number(normal)}`;
  return `After ${plural(count, "mutant")} ${said}; ${atMost}, ${atLeast}.`;
}

const worded = (value) => (Number.isFinite(value) ? number(value) : value > 0 ? "infinite (+∞)" : "infinite (−∞)");

/**
 * Return the width in pixels within the padding of a place, so that text in a drawing is as large
 * as the text around it.
 */
function roomIn(place) {
  const inside = place.clientWidth - 2 * parseFloat(getComputedStyle(place).paddingLeft);
  return inside > 0 ? Math.min(WIDTH.most, Math.max(WIDTH.least, inside)) : WIDTH.usual;
}

function draw(path, verdict, width) {
  const { height, left, right, top, bottom } = SIZE;
  const steps = path.points.length - 1;
  const across = Math.max(steps, 1) + 0.5;
  const x = (step) => left + (step / across) * (width - left - right);
  const { y, ticks } = scale(path, top, height - bottom);
  const [upper, lower] = [newId("path-title"), newId("path-description")];
  const drawing = s(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": `${upper} ${lower}` },
    s("title", { id: upper }, "Path of the test"),
    s("desc", { id: lower }, path.summary),
  );
  const names = zones(drawing, path, x, y, { top, bottom: height - bottom, width });
  for (const tick of ticks) {
    drawing.append(
      s("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }),
      s("text", { class: "tick", x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, number(tick)),
    );
  }
  axis(drawing, path, x, height - bottom, width);
  drawing.append(...names);
  drawing.append(s("path", { class: "walk", d: path.points.map((value, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join("") }));
  if (steps > 0) drawing.append(s("line", { class: "decided", x1: x(steps), x2: x(steps), y1: top, y2: height - bottom }));
  path.points.forEach((value, i) => drawing.append(point(value, i, steps, x(i), y(value), verdict)));
  return drawing;
}

function point(value, i, steps, cx, cy, verdict) {
  if (i === 0 && steps > 0) return s("circle", { class: "start", cx, cy, r: 4 });
  const told = s("title", {}, i === 0 ? `before any mutant: ${worded(value)}` : `mutant ${i}: ${worded(value)}`);
  const mark = { class: i === steps ? `point last is-${verdict}` : "point", "data-mutant": i, "data-value": Number.isFinite(value) ? value : String(value) };
  if (i < steps) return s("circle", { ...mark, cx, cy, r: steps > 60 ? 2 : 3.5 }, told);
  const at = { normal: `M${cx - 8} ${cy}a8 8 0 1 0 16 0a8 8 0 1 0 -16 0z`, adversarial: `M${cx - 3.5} ${cy - 8.5}h7l5 5v7l-5 5h-7l-5 -5v-7z` };
  const d = at[verdict] ?? `M${cx} ${cy - 9}l9 9l-9 9l-9 -9z`;
  return s("path", { ...mark, d }, told);
}

function scale(path, top, bottom) {
  const finite = [...path.points, ...path.alarm, ...path.normal].filter((value) => value !== null && Number.isFinite(value));
  let low = Math.min(0, ...finite);
  let high = Math.max(path.kind === "evidence" ? 0.001 : 0, ...finite);
  const room = 0.18 * (high - low);
  if (path.kind === "log-ratio") low -= room;
  high += room;
  const bend = (value) => Math.sign(value) * Math.abs(value) ** path.power;
  const [from, to] = [bend(low), bend(high)];
  const y = (value) => {
    if (!Number.isFinite(value)) return value * path.up > 0 ? top : bottom;
    const share = (bend(value) - from) / (to - from);
    return path.up > 0 ? bottom - share * (bottom - top) : top + share * (bottom - top);
  };
  return { y, ticks: ticksOf(low, high, path.power, y) };
}

function ticksOf(low, high, power, y) {
  if (power !== 1) return [0, 0.001, 0.01, 0.1, 0.5, 1, 2, 4, 8, 16, 64].filter((tick) => tick <= high).filter(apart(y));
  const rough = (high - low) / 5;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * ([1, 2, 5, 10].find((factor) => factor * ten >= rough) ?? 10);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i += 1) found.push(Number((i * step).toPrecision(6)));
  return found;
}

function apart(y) {
  let before = Infinity;
  return (tick) => {
    if (Math.abs(before - y(tick)) < 18) return false;
    before = y(tick);
    return true;
  };
}

/**
 * Draw the zones in which the test decides: from the bound to the edge, step by step; none where it
 * cannot decide yet. Returns the names of the zones.
 */
function zones(drawing, path, x, y, { top, bottom, width }) {
  const names = [];
  for (const [name, edge] of [["alarm", top], ["normal", bottom]]) {
    let [area, line, first] = ["", "", null];
    path[name].forEach((bound, i) => {
      if (bound === null) return;
      const [from, to, at] = [x(i + 0.5), x(i + 1.5), y(bound)];
      first ??= { from: i === 0 ? x(0) : from, at };
      const start = i === 0 ? x(0) : from;
      area += `M${start.toFixed(1)} ${at.toFixed(1)}H${to.toFixed(1)}V${edge}H${start.toFixed(1)}z`;
      const joined = i > 0 && path[name][i - 1] !== null;
      line += `${joined ? "L" : "M"}${start.toFixed(1)} ${at.toFixed(1)}H${to.toFixed(1)}`;
    });
    if (!first) continue;
    drawing.append(s("path", { class: `zone ${name}`, d: area }), s("path", { class: `bound ${name}`, d: line }));
    const inside = Math.abs(first.at - edge) >= 18;
    const at = (edge === top) === inside ? first.at - 7 : first.at + 16;
    names.push(s("text", { class: `zone-name ${name}`, ...beside(first.from, name, path, x, width), y: at }, name === "alarm" ? "adversarial" : "normal"));
  }
  return names;
}

/**
 * Place the name of a zone clear of the path, which starts at the left, and at the bottom where it
 * is a sum.
 */
function beside(from, name, path, x, width) {
  if (from > width - 100) return { x: from - 6, "text-anchor": "end" };
  if (name === "normal" && path.kind === "evidence") return { x: Math.max(from + 10, x(path.points.length - 1) / 2 + 20) };
  return { x: from + 10 };
}

function axis(drawing, path, x, bottom, width) {
  const steps = path.points.length - 1;
  const every = Math.ceil(Math.max(steps, 1) / Math.min(10, width / 50));
  const nice = [1, 2, 5, 10, 20, 50, 100].find((step) => step >= every) ?? 100;
  for (let i = 0; i <= steps; i += nice) {
    drawing.append(s("text", { class: "tick", x: x(i), y: bottom + 17, "text-anchor": "middle" }, String(i)));
  }
  drawing.append(
    s("line", { class: "base", x1: x(0), x2: width - SIZE.right, y1: bottom, y2: bottom }),
    s("text", { class: "axis-name", x: width - SIZE.right, y: bottom + 36, "text-anchor": "end" }, "mutants asked"),
    s("text", { class: "axis-name", x: 4, y: bottom + 36 }, path.axis),
  );
}
