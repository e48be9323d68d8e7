// Stores that are served, the chosen store, and the names of their classes.

import { askJson, session, withQuery } from "./api.js";
import { byId, h } from "./dom.js";

/** Source of the event "store" (another store is chosen, or the list was loaded). */
export const chosen = new EventTarget();

let several = false;
const classes = new Map();

/** Return the name of the chosen store; null where there is only one. */
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

/** Return the class names of a store, by position; empty where they cannot be fetched. */
export async function classesOf(name) {
  if (!classes.has(name)) {
    try { classes.set(name, (await askJson(withQuery("console/classes", { store: name }))).classes); } catch { return []; }
  }
  return classes.get(name);
}
