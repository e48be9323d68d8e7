// Requests to the server. Addresses are relative to the page, so that it works behind any prefix.

const KEY = "mutant-guard-key";

/**
 * Source of the events "key" (the key changed) and "unauthorized" (a key is asked for; detail: the
 * problem).
 */
export const session = new EventTarget();

let memory = "";

export function key() {
  try { return sessionStorage.getItem(KEY) ?? memory; } catch { return memory; }
}

/** Keep a key for this tab; an empty text forgets it. */
export function setKey(value) {
  memory = value.trim();
  try {
    if (memory) sessionStorage.setItem(KEY, memory);
    else sessionStorage.removeItem(KEY);
  } catch { /* a browser without storage: the key is kept for this page alone */ }
  session.dispatchEvent(new Event("key"));
}

const TITLES = {
  0: "The server cannot be reached",
  400: "The server could not read this request",
  401: "An API key is needed",
  403: "This key may not do that",
  404: "It is not there",
  413: "This file is too large",
  415: "This is no kind of file the server takes",
  422: "The server could not read this image",
  429: "Too many requests just now",
  500: "The server failed",
  503: "The server takes no requests just now",
  504: "It took too long",
};

/** Failure in words: `message` is a short sentence, `detail` what the server said. */
export class Problem extends Error {
  constructor(status, code, detail, retryAfter = null) {
    super(TITLES[status] ?? `The server answered ${status}`);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }

  /** Message, detail and waiting time in one line. */
  get text() {
    const wait = this.retryAfter ? ` Try again in ${this.retryAfter} s.` : "";
    return `${this.message}. ${this.detail ? sentence(this.detail) : ""}${wait}`.trim();
  }
}

function sentence(text) {
  const told = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(told) ? told : `${told}.`;
}

async function problemOf(response) {
  let told = {};
  try { told = await response.json(); } catch { /* no JSON, for example a proxy's own page */ }
  const code = String(told.type ?? "").split(":").pop();
  const wait = Number(response.headers.get("Retry-After"));
  return new Problem(response.status, code, String(told.detail ?? ""), wait > 0 ? wait : null);
}

/** Ask the server, with the key if there is one. Throws a Problem unless it succeeds. */
export async function ask(path, { method = "GET", body, type, seconds = 40 } = {}) {
  const headers = new Headers();
  const sent = key();
  let response;
  try {
    if (sent) headers.set("Authorization", `Bearer ${sent}`);
    if (type) headers.set("Content-Type", type);
    const signal = AbortSignal.timeout(seconds * 1000);
    response = await fetch(path, { method, body, headers, signal, cache: "no-store", redirect: "error" });
  } catch (error) {
    if (error.name === "TypeError" && /header|ISO-8859|ByteString/i.test(error.message)) {
      throw unauthorized(new Problem(401, "unknown-key", "the key holds characters that no key has"), sent);
    }
    throw new Problem(0, "network", error.name === "TimeoutError" ? `No answer within ${seconds} s` : "");
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  throw response.status === 401 ? unauthorized(problem, sent) : problem;
}

/** Report that a key is asked for, unless the key has changed since. */
function unauthorized(problem, sent) {
  if (sent === key()) session.dispatchEvent(new CustomEvent("unauthorized", { detail: problem }));
  return problem;
}

export const askJson = async (path, options) => (await ask(path, options)).json();

/** Return a path with its parameters; those that are null are left out. */
export function withQuery(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/**
 * Call a function now and then every so many seconds while the page is visible, one call at a time.
 * Returns a function that calls it at once.
 */
export function whileSeen(seconds, work) {
  let timer = null;
  let running = null;
  let again = false;
  async function run() {
    clearTimeout(timer);
    if (running) { again = true; return running; }
    running = work();
    try { await running; } finally { running = null; }
    if (again) { again = false; return run(); }
    if (!document.hidden) timer = setTimeout(run, seconds * 1000);
    return undefined;
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) run(); });
  run();
  return run;
}
