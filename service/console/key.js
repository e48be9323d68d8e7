// Field of the API key: shown on demand, and when the server asks for a key.

import { announce, byId } from "./dom.js";
import { key, session, setKey } from "./api.js";

const NOTE = "Kept in this tab until it is closed, and sent with every request as a header.";

function toggle(open) {
  byId("key-panel").hidden = !open;
  byId("key-button").setAttribute("aria-expanded", String(open));
}

function say(text, wrong) {
  const note = byId("key-note");
  note.textContent = text;
  note.classList.toggle("wrong", wrong);
  byId("key-field").setAttribute("aria-invalid", String(wrong));
}

export function startKey() {
  const field = byId("key-field");
  let asked = false; // whether this key was asked for already; periodic requests then leave a closed panel closed
  byId("key-button").addEventListener("click", () => {
    toggle(byId("key-panel").hidden);
    if (!byId("key-panel").hidden) field.focus();
  });
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!field.value.trim()) { field.focus(); return; }
    say(NOTE, false);
    const value = field.value;
    field.value = "";
    toggle(false);
    byId("key-button").focus();
    announce("The key is used from now on.");
    setKey(value);
  });
  byId("key-forget").addEventListener("click", () => {
    field.value = "";
    say(NOTE, false);
    toggle(false);
    byId("key-button").focus();
    announce("The key is forgotten.");
    setKey("");
  });
  session.addEventListener("unauthorized", ({ detail }) => {
    say(detail.text, key() !== "");
    if (asked) return;
    asked = true;
    const first = byId("key-panel").hidden;
    toggle(true);
    if (!first) return;
    announce(detail.text);
    if (document.activeElement === document.body || document.activeElement === byId("key-button")) field.focus();
  });
  session.addEventListener("key", () => { asked = false; mark(); });
  mark();
}

function mark() {
  byId("key-button").textContent = key() ? "API key ✓" : "API key";
  byId("key-button").setAttribute("aria-label", key() ? "API key, one is set" : "API key");
}
