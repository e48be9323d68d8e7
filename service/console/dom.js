// Elements, made of text: no script of this page parses markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Make an HTML element with attributes, listeners (onclick: …) and children: elements or text. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an SVG element with attributes, listeners and children. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export const byId = (id) => document.getElementById(id);

let turn = false;

/** Announce a text to users of screen readers. The same text twice in a row is announced twice. */
export function announce(text) {
  turn = !turn;
  byId("announcer").textContent = turn ? text : `${text}\u00a0`;
}

let last = 0;

/** Return an id that no other element has. */
export const newId = (prefix) => `${prefix}-${++last}`;
