// The stores that are served, which of them is chosen, and the names of their classes.

import { askJson, session, withQuery } from "./api.js";
import { byId, h } from "./dom.js";

/** Tells of "store": another one is chosen. */
export const chosen = new EventTarget();

let several = false;
const classes = new Map();

/** Name of the store that is asked; null where there is but one. */
export const store = () => (several ? byId("store").value : null);

export async function startStores() {
  byId("store").addEventListener("change", () => chosen.dispatchEvent(new Event("store")));
  session.addEventListener("key", () => { classes.clear(); list(); });
  await list();
}

async function list() {
  let names;
  try { names = (await askJson("v2/models")).map((model) => model.name); } catch { return; }
  const picker = byId("store");
  const before = picker.value;
  picker.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
  if (names.includes(before)) picker.value = before;
  several = names.length > 1;
  byId("store-picker").hidden = !several;
  chosen.dispatchEvent(new Event("store"));
}

/** Class names of a store, by position; none where they cannot be had. */
export async function classesOf(name) {
  if (!classes.has(name)) {
    try { classes.set(name, (await askJson(withQuery("console/classes", { store: name }))).classes); } catch { return []; }
  }
  return classes.get(name);
}
