// Alarm rate of the last hour, beside the alarm rate on clean images.

import { askJson, session, whileSeen } from "./api.js";
import { byId, h, newId, s } from "./dom.js";
import { clock, number, percent, plural } from "./format.js";
import { chosen, store } from "./stores.js";

const EVERY_SECONDS = 8;
const FEW = 20;
const OVER_MINUTES = 10;
const SIZE = { height: 190, left: 46, right: 12, top: 12, bottom: 28 };
const LEAST_WIDTH = 280;

let drawn = "";

export function startAlarms() {
  const refresh = whileSeen(EVERY_SECONDS, load);
  session.addEventListener("key", refresh);
  chosen.addEventListener("store", refresh);
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    drawn = "";
    refresh();
  });
  return refresh;
}

async function load() {
  const place = byId("alarms-body");
  try {
    const { stores } = await askJson("alarm-rate", { seconds: 10 });
    const told = JSON.stringify([store(), stores]);
    if (told === drawn) return;
    drawn = told;
    const found = stores.find((one) => one.store === store()) ?? stores[0];
    const open = place.querySelector("details")?.open ?? false;
    const focused = ["summary", ".scroll"].find((part) => place.querySelector(part)?.matches(":focus"));
    const { scrollTop, scrollLeft } = place.querySelector(".scroll") ?? {};
    place.replaceChildren(...view(found, place.clientWidth - 2 * parseFloat(getComputedStyle(place).paddingLeft)));
    const details = place.querySelector("details");
    details.open = open;
    const table = place.querySelector(".scroll");
    if (table && open) Object.assign(table, { scrollTop, scrollLeft });
    if (focused) (details.querySelector(focused) ?? details.querySelector("summary")).focus({ preventScroll: true });
  } catch (problem) {
    drawn = "";
    const said = problem.status === 403 ? "It tells what all callers send together, so it takes a reviewer's key." : null;
    place.replaceChildren(h("p", { class: said ? "note" : "problem" }, said ?? problem.text ?? String(problem)));
  }
}

/** Put the alarm rate into words: how far it is above the baseline, in standard deviations. */
export function standing({ tested, z }) {
  if (tested === 0) return { words: "no traffic yet", level: "quiet" };
  if (tested < FEW) return { words: "too few to tell", level: "quiet" };
  if (z === null) return { words: "not compared", level: "quiet" };
  if (z >= 4) return { words: "far above what is expected", level: "high" };
  if (z >= 2) return { words: "above what is expected", level: "raised" };
  if (z <= -2) return { words: "below what is expected", level: "fine" };
  return { words: "as expected", level: "fine" };
}

function view(found, width) {
  const { words, level } = standing(found);
  const said =
    found.tested === 0
      ? "Nothing was judged in the last hour; answers from the cache do not count."
      : `${plural(found.alarms, "alarm")} in ${plural(found.tested, "input")} judged; answers from the cache do not count.`;
  const apart = found.z === null || level === "quiet" ? null : `z = ${number(found.z)}`;
  return [
    h(
      "div",
      { class: "rate" },
      h("p", { class: "figure" }, h("span", { class: "figure-value" }, found.rate === null ? "–" : percent(found.rate)), h("span", { class: "figure-name" }, "alarm rate")),
      h("p", { class: "figure" }, h("span", { class: "figure-value calm" }, percent(found.baseline)), h("span", { class: "figure-name" }, "baseline on clean images")),
      h("p", { class: `standing level-${level}`, title: apart }, words, apart ? h("small", {}, apart) : null),
    ),
    chart(found, `${said} ${words}.`, Math.max(LEAST_WIDTH, width)),
    h("p", { class: "note" }, `${said} The baseline was counted on ${plural(found.calibration_images, "image")}${least(found)}. The line is the rate over ${OVER_MINUTES} minutes, the bars are inputs.`),
    minutes(found),
  ];
}

/**
 * Say that the baseline is a lower bound where it cannot be compared. A limit on mutants then ends
 * tests early and undecided counts as an alarm, so calibration did not count the rate to expect.
 */
function least({ tested, z }) {
  return tested > 0 && z === null ? " and is the least to be expected: this server ends tests early" : "";
}

/**
 * Return the alarm rate over the last ten minutes at every minute; null where nothing was judged.
 */
export function rolling(series) {
  return series.map((_, i) => {
    const last = series.slice(Math.max(0, i - OVER_MINUTES + 1), i + 1);
    const tested = last.reduce((sum, minute) => sum + minute.tested, 0);
    return tested ? last.reduce((sum, minute) => sum + minute.alarms, 0) / tested : null;
  });
}

function chart(found, summary, width) {
  const { height, left, right, top, bottom } = SIZE;
  const { series, baseline } = found;
  const rates = rolling(series);
  const most = Math.min(1, Math.max(0.02, baseline * 2.5, ...rates.map((rate) => (rate ?? 0) * 1.15)));
  const busiest = Math.max(1, ...series.map((minute) => minute.tested));
  const each = (width - left - right) / Math.max(1, series.length);
  const x = (i) => left + (i + 0.5) * each;
  const y = (rate) => height - bottom - (rate / most) * (height - top - bottom);
  const title = newId("rate-title");
  const drawing = s("svg", { class: "rate-chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": title }, s("title", { id: title }, summary));
  series.forEach((minute, i) => {
    if (minute.tested === 0) return;
    const tall = (minute.tested / busiest) * 0.45 * (height - top - bottom);
    const alarmed = tall * (minute.alarms / minute.tested);
    const at = { x: x(i) - each * 0.36, width: each * 0.72 };
    drawing.append(s("rect", { class: "volume", ...at, y: height - bottom - tall, height: tall, rx: 1.5 }));
    if (alarmed > 0) drawing.append(s("rect", { class: "volume alarmed", ...at, y: height - bottom - alarmed, height: alarmed, rx: 1.5 }));
  });
  for (const [rate, name] of [[0, "0 %"], [most, `${number(100 * most)} %`]]) {
    drawing.append(s("text", { class: "tick", x: left - 8, y: y(rate) + (rate ? 8 : 0), "text-anchor": "end" }, name));
  }
  drawing.append(
    s("line", { class: "base", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    s("line", { class: "baseline", x1: left, x2: width - right, y1: y(baseline), y2: y(baseline) }),
    s("text", { class: "baseline-name", x: left + 6, y: y(baseline) - 6 }, `baseline ${percent(baseline)}`),
    s("text", { class: "tick", x: left, y: height - 8 }, `${series.length} minutes ago`),
    s("text", { class: "tick", x: width - right, y: height - 8, "text-anchor": "end" }, "now"),
  );
  let d = "";
  rates.forEach((rate, i) => { if (rate !== null) d += `${d && rates[i - 1] !== null ? "L" : "M"}${x(i).toFixed(1)} ${y(rate).toFixed(1)}`; });
  if (d) drawing.append(s("path", { class: "rate-line", d }));
  const last = rates[rates.length - 1];
  if (last !== null && last !== undefined) drawing.append(s("circle", { class: "rate-now", cx: x(rates.length - 1), cy: y(last), r: 4.5 }));
  return drawing;
}

function minutes({ series }) {
  const busy = series.filter((minute) => minute.tested > 0);
  const cells = ["Minute", "Judged", "Alarms"].map((name) => h("th", { scope: "col" }, name));
  const rows = busy.map((minute) => h("tr", {}, h("th", { scope: "row" }, clock(minute.minute)), h("td", {}, String(minute.tested)), h("td", {}, String(minute.alarms))));
  return h(
    "details",
    {},
    h("summary", {}, "The last hour as a table"),
    busy.length
      ? h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "The last hour, as a table" }, h("table", {}, h("caption", { class: "unseen" }, "Inputs judged and alarms, by minute"), h("thead", {}, h("tr", {}, cells)), h("tbody", {}, rows)))
      : h("p", { class: "note" }, "No minute with traffic."),
  );
}
