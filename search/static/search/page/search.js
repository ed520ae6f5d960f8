// Results while somebody types: asked for after a pause, and the answer to an older text never replaces a newer one's.

import { byId, complain, filters, form, refusal, remember, say, sentence, show } from "./dom.js";

const PAUSE = 150; // milliseconds without a key
const field = byId("q");
const results = byId("results");

let running = null; // the AbortController of the newest request
let timer = 0;
let shownFor = null; // the text whose results are on the page

export function searchSoon() {
  clearTimeout(timer);
  timer = setTimeout(search, PAUSE);
}

// A quiet search leaves the status line to the answer.
export async function search({ quiet = false } = {}) {
  clearTimeout(timer);
  running?.abort();
  running = null;
  const query = currentQuery();
  show(!query.q, "intro");
  if (!query.q) return empty();
  const mine = new AbortController();
  running = mine;
  try {
    const response = await fetch(`${form.dataset.results}?${new URLSearchParams(query)}`, { signal: mine.signal });
    if (!response.headers.get("Content-Type")?.startsWith("text/html")) throw await refusal(response);
    const html = await response.text();
    if (running !== mine) return undefined;
    results.innerHTML = html;
    shownFor = key(query);
    if (!quiet) report(query);
  } catch (error) {
    if (error.name !== "AbortError" && running === mine) complain(sentence(error));
  }
  return undefined;
}

function currentQuery() {
  return { q: field.value.trim(), ...filters() };
}

const key = (query) => JSON.stringify(query);

function empty() {
  results.replaceChildren();
  shownFor = null;
  if (byId("answers").hidden) remember({});
  if (!document.body.classList.contains("busy")) say("");
}

function report(query) {
  complain("");
  if (byId("answers").hidden) remember(query);
  const count = results.querySelectorAll(".hit").length;
  const pages = results.querySelectorAll(".hits").length;
  const found = `${count} result${count === 1 ? "" : "s"} on ${pages} page${pages === 1 ? "" : "s"}.`;
  if (!document.body.classList.contains("busy")) say(count ? found : "");
}

export function openFirst() {
  const first = results.querySelector(".hit");
  if (first && shownFor === key(currentQuery())) first.click();
  else search();
}

// Arrows move between the box and the results; a letter typed in the results goes on in the box.
export function moveByArrows(event) {
  const stops = [field, ...results.querySelectorAll(".hit")];
  const at = stops.indexOf(document.activeElement);
  if (at < 0) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    stops[Math.min(Math.max(at + (event.key === "ArrowDown" ? 1 : -1), 0), stops.length - 1)].focus();
  } else if (at && (event.key === "Escape" || (event.key.length === 1 && !event.ctrlKey && !event.metaKey))) {
    field.focus();
  }
}
