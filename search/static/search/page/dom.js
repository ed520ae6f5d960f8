// What every module needs of the page: its elements, its one status line, and requests to our own server.
//
// The server sends HTML that its templates and its sanitiser made; nothing here makes markup out of text.

export const byId = (id) => document.getElementById(id);
export const form = byId("ask");

const UNAVAILABLE = "The answer did not arrive. Check your connection and ask again.";

// A sentence of the server for the reader.
export class Refused extends Error {}

export function say(text) {
  byId("status").textContent = text;
}

export function complain(message) {
  if (message) say(""); // taking a complaint back says nothing about an answer being written
  byId("error").textContent = message;
  byId("error").hidden = !message;
}

export async function post(url, body, signal) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  if (response.ok) return response;
  throw await refusal(response);
}

// Why a response is none: the server's sentence, or ours where a proxy said anything else.
export async function refusal(response) {
  if (!/^application\/(problem\+)?json/.test(response.headers.get("Content-Type"))) return new Refused(UNAVAILABLE);
  return new Refused((await response.json()).error);
}

// What to tell the reader of an error; that of a connection is in the browser's words.
export const sentence = (error) => (error instanceof Refused ? error.message : UNAVAILABLE);

export function show(visible, ...ids) {
  for (const id of ids) if (byId(id)) byId(id).hidden = !visible;
}

export function remember(parameters) {
  const kept = Object.entries(parameters).filter(([, value]) => value);
  history.replaceState(null, "", kept.length ? `?${new URLSearchParams(kept)}` : location.pathname);
}

// The source and the version that are searched, as far as there is a choice.
export function filters() {
  return { source: byId("source")?.value ?? "", version: byId("version")?.value ?? "" };
}
