// Review queue: what waits for a person, the newest first, and what was decided.

import { ask, askJson, session, whileSeen, withQuery } from "./api.js";
import { announce, byId, h } from "./dom.js";
import { plural, when } from "./format.js";
import { badge, WORDS } from "./icons.js";
import { picture } from "./pictures.js";
import { detailsView, emptyDetails } from "./review_entry.js";
import { chosen, store } from "./stores.js";

const EVERY_SECONDS = 8;
const PAGE = 30;
const NOT_FOR_YOU = new Set([401, 403, 404]); // status of the list where the queue is off, or for other callers
const LIST = "the list";
const GONE = "gone";
const NOTHING = {
  open: "Nothing waits for review. Alarms and undecided inputs come here.",
  confirmed: "Nothing was confirmed yet.",
  dismissed: "Nothing was dismissed yet.",
  all: "The queue is empty.",
};

let entries = []; // entries as shown, the newest first
const items = new Map(); // id → li
const decided = new Set(); // decisions under way: the server may still list them as they were
let selected = null; // id of the selected entry
let showing = ""; // entry that the details show, with its decision
let place = 0; // position of the selected entry, from which keys go on once it is gone
let about = null; // subject of the shown problem: LIST, the id of an entry, or null for any other
let older = null; // value of `before` for the next page
let rulings = 0; // count of starts and ends of decisions; a list fetched across one may be out of date
let generation = 0; // count of changes of filter, store and key; earlier replies are not shown

const filter = () => document.querySelector("#states input:checked").value;
const entryOf = (id) => entries.find((entry) => entry.id === id);
const ruling = (entry) => JSON.stringify([entry.id, entry.state, entry.true_label, entry.reviewer, entry.reviewed_at]);
const page = (before) => askJson(withQuery("review", { state: filter(), store: store(), limit: PAGE, before }));

let refresh = () => {};

export function startReview() {
  refresh = whileSeen(EVERY_SECONDS, update);
  const anew = () => { forget(); return refresh(); };
  byId("states").addEventListener("change", anew);
  session.addEventListener("key", anew);
  chosen.addEventListener("store", anew);
  byId("more").addEventListener("click", more);
  byId("export").addEventListener("click", exportLabels);
  byId("review").addEventListener("keydown", shortcut);
  return refresh;
}

function forget() {
  generation += 1;
  entries = [];
  selected = older = null;
  items.clear();
  byId("entries").replaceChildren();
  byId("details").replaceChildren(emptyDetails());
}

async function update() {
  const [mine, asOf] = [generation, rulings];
  try {
    const found = await page(null);
    if (mine !== generation) return; // a newer generation has asked again
    if (asOf !== rulings) { await update(); return; }
    const last = found.next === null ? null : found.entries.at(-1)?.id;
    const known = entries.findIndex((entry) => entry.id === last);
    const kept = known < 0 ? [] : entries.slice(known + 1); // entries of further pages, already loaded
    if (kept.length === 0) older = found.next;
    entries = [...found.entries.filter((entry) => !decided.has(entry.id) || entryOf(entry.id)), ...kept];
    count(found.open);
    if (about === LIST) problem(null); // a problem with a decision stays shown
    show();
  } catch (failure) {
    if (mine === generation) problem(failure, LIST, NOT_FOR_YOU.has(failure.status));
  }
}

async function more() {
  const mine = generation;
  const button = byId("more");
  button.disabled = true;
  try {
    const found = await page(older);
    if (mine !== generation) return;
    const known = new Set(entries.map((entry) => entry.id));
    const added = found.entries.filter((entry) => !known.has(entry.id));
    entries.push(...added);
    older = found.next;
    show();
    if (added.length) { select(added[0].id); focusItem(added[0].id); }
  } catch (failure) {
    problem(failure);
  } finally {
    button.disabled = false;
  }
}

function count(open) {
  byId("open-count").textContent = String(open);
  byId("open-count").hidden = open === 0;
  // The list is of one store, the count of all stores.
  byId("open-count").setAttribute("aria-label", store() === null ? `${open} open` : `${open} open, of all stores`);
  byId("open-count").title = store() === null ? "" : "Open entries of all stores";
}

function problem(failure, of = null, gone = false) {
  const says = byId("review-problem");
  about = of;
  says.hidden = !failure;
  if (failure) says.textContent = failure.code === "review-off" ? failure.detail : (failure.text ?? String(failure));
  byId("queue").hidden = byId("review-keys").hidden = byId("states").hidden = byId("export").hidden = gone;
  if (gone) { forget(); count(0); }
}

/**
 * Clear the shown problem after a success, unless it is about another entry, which is still as it
 * was.
 */
function settled(id = null) {
  if (about === id || !entryOf(about)) problem(null);
}

/**
 * Update the list to the entries without touching unchanged items, one of which may have the focus.
 */
function show() {
  const list = byId("entries");
  const ids = new Set(entries.map((entry) => entry.id));
  let lost = false;
  for (const [id, item] of items) {
    if (ids.has(id)) continue;
    lost ||= item.contains(document.activeElement);
    item.remove();
    items.delete(id);
  }
  entries.forEach((entry, i) => {
    let item = items.get(entry.id);
    if (!item || item.dataset.told !== told(entry)) {
      const fresh = line(entry);
      if (item) {
        const focused = item.contains(document.activeElement);
        item.replaceChildren(...fresh.childNodes);
        item.dataset.told = told(entry);
        if (focused) focusItem(entry.id, { preventScroll: true });
      } else { item = fresh; items.set(entry.id, item); }
    }
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
  });
  byId("no-entries").hidden = entries.length > 0;
  byId("no-entries").textContent = filter() === "open" && store() !== null ? "Nothing of this store waits for review." : NOTHING[filter()];
  byId("more").hidden = older === null || entries.length === 0;
  mark();
  const entry = entryOf(selected);
  if (selected === null) select(entries[0]?.id ?? null);
  else if (!entry) leave();
  else if (ruling(entry) !== showing && !decided.has(selected)) change(entry);
  if (lost) byId("details").focus({ preventScroll: true });
}

/**
 * Mark the selected entry as gone after another reviewer took it from the list. No other entry
 * takes its place: a click on its way would decide that one.
 */
function leave() {
  if (showing === GONE) return;
  showing = GONE;
  const text = "Decided meanwhile, or no longer kept.";
  const [details, decision] = [byId("details"), byId("details").querySelector(".decision")];
  const focused = decision.contains(document.activeElement);
  decision.replaceWith(h("p", { class: "note meanwhile" }, text));
  if (focused) details.focus({ preventScroll: true });
  announce(text);
}

/** Show the decision of another reviewer on the selected entry, which is still in the list. */
function change(entry) {
  const focused = byId("details").contains(document.activeElement);
  select(entry.id);
  if (focused) byId("details").focus({ preventScroll: true });
  announce(`Meanwhile ${entry.state}${entry.reviewer ? ` by ${entry.reviewer}` : ""}: ${entry.class_name}.`);
}

const told = (entry) => [entry.state, entry.seen, entry.true_class_name].join(" ");

function line(entry) {
  const other = entry.suggested_label === entry.label ? null : entry.suggested_class_name;
  const says = other === null ? entry.class_name : `${entry.class_name} → ${other}`;
  const spoken = `${WORDS[entry.verdict]}: ${entry.class_name}${other === null ? "" : `, the mutants say ${other}`}, ${when(entry.at)}${entry.state === "open" ? "" : `, ${entry.state}`}`;
  const path = entry.has_image ? `review/${encodeURIComponent(entry.id)}/image` : null;
  return h(
    "li",
    { "data-id": entry.id, "data-told": told(entry) },
    h(
      "button",
      { type: "button", class: "entry", "aria-label": spoken, onclick: () => { select(entry.id); reveal(); } },
      picture(path, ""),
      h("span", { class: "entry-says" }, says),
      badge(entry.verdict),
      h("span", { class: "entry-when" }, when(entry.at), entry.seen > 1 ? ` · seen ${entry.seen} times` : "", entry.state === "open" ? "" : ` · ${entry.state}`, entry.probing ? " · campaign" : "", entry.sampled ? " · sampled" : ""),
    ),
  );
}

/** Check whether the details are below the list, as base.css arranges them. */
const stacked = () => matchMedia("(max-width: 56rem)").matches;

/** Scroll to the details where they are below the list. */
const reveal = () => { if (stacked()) byId("details").scrollIntoView(); };

const focusItem = (id, options) => items.get(id)?.querySelector("button").focus(options);

function select(id) {
  selected = id;
  mark();
  const entry = id === null ? null : entryOf(id);
  showing = entry ? ruling(entry) : "";
  byId("details").replaceChildren(...(entry ? detailsView(entry, decide, byId("details")) : [emptyDetails()]));
}

function mark() {
  const position = entries.findIndex((entry) => entry.id === selected);
  place = position < 0 ? Math.min(place, entries.length) : position;
  for (const [id, item] of items) item.querySelector("button").setAttribute("aria-current", String(id === selected));
}

/** Apply a decision at once; undo it, and say so, where the server refuses it. */
async function decide(id, decision, label, pointed) {
  const byKey = !pointed && byId("entries").contains(document.activeElement); // the reviewer goes through the list by keys
  const mine = generation;
  const position = entries.findIndex((entry) => entry.id === id);
  if (position < 0) return;
  const before = entries[position];
  const state = decision === "confirm" ? "confirmed" : "dismissed";
  const leaves = filter() !== "all" && filter() !== state;
  const following = entries[position + 1] ?? entries[position - 1] ?? null;
  decided.add(id);
  rulings += 1;
  if (leaves) entries.splice(position, 1);
  if (before.state === "open") step(-1);
  const next = leaves ? (following?.id ?? null) : id;
  select(next);
  if (following && leaves) focusItem(following.id, { preventScroll: stacked() && !byKey });
  else if (leaves) byId("details").focus();
  show();
  if (following && leaves && !byKey) reveal();
  const then = leaves ? (following ? ` Next: ${following.class_name}, ${WORDS[following.verdict]}.` : " Nothing is left.") : "";
  announce(`${state === "confirmed" ? "Confirmed" : "Dismissed"}: ${before.class_name}.${then}`);
  try {
    const body = JSON.stringify(label === null ? { decision } : { decision, label });
    const after = await askJson(`review/${encodeURIComponent(id)}`, { method: "POST", body, type: "application/json" });
    if (!leaves && mine === generation) replace(after);
    settled(id);
  } catch (failure) {
    if (before.state === "open") step(1);
    if (mine === generation) {
      if (leaves && failure.code !== "unknown-entry") entries.splice(Math.min(position, entries.length), 0, before);
      const stayed = selected === next; // false if the reviewer has gone on to another entry
      if (stayed && entryOf(id)) select(id);
      show();
      const here = document.activeElement === document.body || byId("review").contains(document.activeElement);
      if (stayed && here) focusItem(id);
    }
    problem(failure, id);
    announce(`Not ${state}. ${failure.text ?? failure}`);
  } finally {
    decided.delete(id);
    rulings += 1;
    if (mine !== generation) refresh(); // a list fetched meanwhile left this entry out
  }
}

function step(by) {
  count(Math.max(0, (Number(byId("open-count").textContent) || 0) + by));
}

function replace(entry) {
  const position = entries.findIndex((one) => one.id === entry.id);
  if (position < 0) return;
  entries[position] = entry;
  if (selected === entry.id) select(entry.id);
  show();
}

/** Handle shortcuts, only within the queue, and not where text is typed or a value chosen. */
function shortcut(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, pre, .scroll")) return;
  const moves = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
  if (event.key in moves && event.target.closest(event.key.startsWith("Arrow") ? "#entries" : "#review")) {
    const by = moves[event.key];
    const towards = entries[place + (by > 0 && !entryOf(selected) ? 0 : by)];
    if (!towards) return;
    event.preventDefault();
    select(towards.id);
    focusItem(towards.id);
  } else if ((event.key === "c" || event.key === "d") && !event.repeat) { // a held key would decide entries that nobody has read
    const button = byId("details").querySelector(`button[data-decision="${event.key === "c" ? "confirm" : "dismiss"}"]`);
    if (button) { event.preventDefault(); button.click(); }
  }
}

/**
 * Save the confirmed labels as a file. The file is saved from memory, as a link cannot send a key.
 */
async function exportLabels() {
  const button = byId("export");
  button.disabled = true;
  try {
    const blob = await (await ask(withQuery("review/export", { store: store() }))).blob();
    const url = URL.createObjectURL(blob);
    h("a", { href: url, download: `review-${store() ?? entries[0]?.store.name ?? "labels"}.npz` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    announce(`The labels are saved, ${plural(Math.ceil(blob.size / 1024), "kilobyte")}.`);
    settled();
  } catch (failure) {
    problem(failure);
    announce(failure.text ?? String(failure));
  } finally {
    button.disabled = false;
  }
}
