// Panel that takes an image by drop, paste, file choice or sample, and shows the guard's answer.

import { ask, askJson, key, Problem, session, withQuery } from "./api.js";
import { announce, byId, h } from "./dom.js";
import { load, show } from "./pictures.js";
import { chosen, store } from "./stores.js";
import { answerView, headline, spoken } from "./verdict.js";

const WITHHELD = "The path of the test and scores are withheld from this caller (response detail “verdict”).";
const MOST_SAMPLES = 24;
const NAMED = /-(\d+)(?:-([a-z0-9]+))?-label-(.+)\.[a-z]+$/i;

let current = null; // { blob, name }
let asked = 0;
let withheldFrom = null; // key that may not see the path of the test
let afterwards = () => {};

export function startJudge(done) {
  afterwards = done;
  const [drop, file] = [byId("drop"), byId("file")];
  drop.addEventListener("click", () => file.click());
  file.addEventListener("change", () => { if (file.files.length) take(file.files[0]); file.value = ""; });
  startDrop(drop);
  document.addEventListener("paste", (event) => {
    const pasted = event.clipboardData?.files?.[0];
    if (pasted) { event.preventDefault(); take(pasted); }
    else if (!event.target.closest?.("input, select, textarea")) refuse("What was pasted is no image file.");
  });
  chosen.addEventListener("store", () => { if (current && store()) judge(); });
  session.addEventListener("key", () => { withheldFrom = null; listSamples(); if (current) judge(); });
  listSamples();
}

/** Accept files dropped anywhere: a drop beside the zone would otherwise leave the page. */
function startDrop(zone) {
  let inside = 0;
  const mark = (on) => { inside = on ? inside : 0; zone.classList.toggle("over", on); };
  window.addEventListener("dragenter", (event) => { event.preventDefault(); inside += 1; mark(true); });
  window.addEventListener("dragleave", () => { inside -= 1; if (inside <= 0) mark(false); });
  window.addEventListener("dragover", (event) => { event.preventDefault(); });
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    const dropped = event.dataTransfer?.files?.[0];
    if (dropped) take(dropped);
    else refuse("What was dropped is no file. Save the image first, then drop the file.");
  });
}

function take(file, name = file.name) {
  current = { blob: file, name: name || "pasted image" };
  judge();
}

function refuse(text) {
  current = null;
  asked += 1;
  result([problemView(new Problem(-1, "", ""), text)]);
  announce(text);
}

function result(children) {
  const place = byId("result");
  place.setAttribute("aria-busy", "false");
  place.replaceChildren(...children);
}

async function judge() {
  const mine = (asked += 1);
  const { blob, name } = current;
  byId("result").setAttribute("aria-busy", "true");
  const img = h("img", { alt: `The image that was judged: ${name}` });
  const shown = show(img, blob);
  try {
    const { answer, note } = await classify(blob);
    const fine = await shown;
    if (mine !== asked) return;
    result([
      h("div", { class: "verdict" }, h("span", { class: "frame large" }, fine ? img : null), headline(answer)),
      ...answerView(answer, note, byId("result")),
      h("details", { class: "whole" }, h("summary", {}, "The whole answer"), h("pre", { tabindex: "0" }, JSON.stringify(answer, null, 2))),
    ]);
    announce(spoken(answer));
    reveal();
    afterwards();
  } catch (problem) {
    const fine = await shown;
    if (mine !== asked) return;
    result([h("div", { class: "verdict" }, fine ? h("span", { class: "frame large" }, img) : null, problemView(problem))]);
    announce(problem.text ?? String(problem));
  }
}

/**
 * Scroll to the result where it is below the visible part, as on a phone; leave a visible result
 * where it is.
 */
function reveal() {
  if (byId("result").getBoundingClientRect().top > 0.7 * window.innerHeight) byId("result").scrollIntoView();
}

function problemView(problem, text) {
  const wait = problem.retryAfter ? ` Try again in ${problem.retryAfter} s.` : "";
  return h(
    "div",
    { class: "problem" },
    h("h3", {}, text ? "Nothing to judge" : problem.message),
    h("p", {}, text ?? `${problem.detail ?? ""}${wait}`),
    current ? h("button", { type: "button", onclick: judge }, "Try again") : null,
  );
}

async function classify(blob) {
  const post = (explain) =>
    askJson(withQuery("classify", { explain: explain ? "true" : null, store: store() }), {
      method: "POST",
      body: blob,
      type: blob.type || "application/octet-stream",
    });
  if (withheldFrom === key()) return { answer: await post(false), note: WITHHELD };
  try {
    return { answer: await post(true), note: null };
  } catch (problem) {
    if (problem.code !== "detail-withheld") throw problem;
    withheldFrom = key();
    return { answer: await post(false), note: WITHHELD };
  }
}

async function listSamples() {
  let names = [];
  try { names = (await askJson("samples")).samples.map((sample) => sample.name); } catch { /* no samples; the other ways to choose an image remain */ }
  const list = byId("samples").querySelector("ul");
  list.replaceChildren(...names.slice(0, MOST_SAMPLES).map((name) => h("li", {}, sampleButton(name))));
  byId("samples").hidden = names.length === 0;
}

/**
 * Make the button of a sample. "digits-test-0-pgd-label-2.png" shows a 2 that was attacked with
 * pgd, as evaluation.samples names its files.
 */
function sampleButton(name) {
  const [, , attack, label] = NAMED.exec(name) ?? [];
  const path = `samples/${encodeURIComponent(name)}`;
  const img = h("img", { alt: "" });
  const frame = h("span", { class: "frame thumb loading" }, img);
  const loaded = load(path).then((blob) => {
    show(img, blob).finally(() => frame.classList.remove("loading"));
    return blob;
  });
  loaded.catch(() => frame.classList.remove("loading"));
  const words = label === undefined ? name : `${label}${attack ? `, attacked (${attack})` : ""}`;
  const pick = async () => {
    const mine = (asked += 1); // a later request, made while this sample loads, replaces it
    current = null;
    byId("result").setAttribute("aria-busy", "true");
    try {
      const blob = await loaded.catch(() => ask(path).then((answer) => answer.blob()));
      if (mine === asked) take(blob, name);
    } catch (problem) {
      if (mine !== asked) return;
      result([problemView(problem)]);
      announce(problem.text ?? String(problem));
    }
  };
  return h(
    "button",
    { type: "button", class: attack ? "sample attacked" : "sample", "aria-label": `Sample: ${words}`, title: name, onclick: pick },
    frame,
    h("span", { class: "sample-name", "aria-hidden": "true" }, label ?? name),
    attack ? h("span", { class: "sample-attack", "aria-hidden": "true" }, `${attack} attack`) : null,
  );
}
