// Images that are fetched with the key, a few at a time, and shown from memory.

import { ask } from "./api.js";
import { h, s } from "./dom.js";

const AT_ONCE = 4;
const TRIES = 4;
const SMALL = 64;

const waiting = [];
let running = 0;

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    waiting.shift()().finally(() => { running -= 1; next(); });
  }
}

async function patiently(path) {
  for (let attempt = 1; ; attempt += 1) {
    try { return await (await ask(path)).blob(); } catch (problem) {
      if (problem.status !== 429 || attempt === TRIES) throw problem;
      await new Promise((done) => setTimeout(done, (problem.retryAfter ?? 1) * 1000));
    }
  }
}

/** Load an image as a blob, after images that were asked for before. */
export function load(path) {
  return new Promise((done, failed) => {
    waiting.push(() => patiently(path).then(done, failed));
    next();
  });
}

/** Show a blob in an img; tiny images are drawn with visible pixels. */
export function show(img, blob) {
  const url = URL.createObjectURL(blob);
  return new Promise((done) => {
    const finish = (fine) => {
      URL.revokeObjectURL(url);
      img.classList.toggle("pixels", fine && Math.max(img.naturalWidth, img.naturalHeight) <= SMALL);
      done(fine);
    };
    img.addEventListener("load", () => finish(true), { once: true });
    img.addEventListener("error", () => finish(false), { once: true });
    img.src = url;
  });
}

/** Make a frame that shows an image once it is loaded, or a sign that there is none. */
export function picture(path, alt, kind = "thumb") {
  const frame = h("span", { class: `frame ${kind}` });
  if (path === null) frame.append(nothing(alt));
  else {
    frame.classList.add("loading");
    const img = h("img", { alt });
    load(path)
      .then((blob) => show(img, blob))
      .then((fine) => frame.replaceChildren(fine ? img : nothing(alt)), () => frame.replaceChildren(nothing(alt)))
      .finally(() => frame.classList.remove("loading"));
  }
  return frame;
}

function nothing(alt) {
  return s(
    "svg",
    { viewBox: "0 0 48 48", class: "no-image", ...(alt ? { role: "img", "aria-label": "no image kept" } : { "aria-hidden": "true" }) },
    s("rect", { x: 7, y: 9, width: 34, height: 30, rx: 5 }),
    s("path", { d: "M12 34l9-10 6 6 4-4 6 8M10 43L40 5" }),
  );
}
