// The turns of a conversation: the last one is where answers are written, those before it stand above it.

import { byId } from "./dom.js";

const thread = byId("thread");

// Ids are the page's: a copy names its passages anew, and its citations lead to those.
export function archiveTurn() {
  const copy = byId("turn").cloneNode(true);
  const name = `turn-${thread.children.length + 1}`;
  for (const unwanted of copy.querySelectorAll(".tools, .shared, .note, .follow, .timings, #read, .copy-code")) {
    unwanted.remove();
  }
  for (const passage of copy.querySelectorAll(".passage")) passage.id = `${name}-${passage.id}`;
  for (const cite of copy.querySelectorAll(".cite")) cite.href = `#${name}-${cite.getAttribute("href").slice(1)}`;
  for (const other of copy.querySelectorAll("[id]:not(.passage)")) other.removeAttribute("id");
  copy.removeAttribute("id");
  copy.removeAttribute("aria-labelledby");
  const sources = copy.querySelector("section");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "Sources";
  details.append(summary, sources.querySelector("ol"));
  sources.replaceWith(details);
  thread.append(copy);
}

export function clearThread() {
  thread.replaceChildren();
}
