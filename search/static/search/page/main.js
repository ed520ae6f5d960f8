// The search page: wires the box, the results, the answer and what is remembered.

import { ask, restore, stop, tellInterrupted } from "./ask.js";
import { watchCitations } from "./citations.js";
import { byId, form, remember, show } from "./dom.js";
import { clearHistory, showHistory } from "./history.js";
import { moveByArrows, openFirst, search, searchSoon } from "./search.js";
import { shown } from "./shown.js";
import { clearThread } from "./thread.js";
import { wireTools } from "./tools.js";

const field = byId("q");

function askTyped() {
  if (form.reportValidity()) choose(field.value.trim());
}

function choose(question) {
  field.value = question;
  ask(question);
  search({ quiet: true });
}

function askAgain() {
  ask(shown.question, { after: shown.after, again: true, chosen: shown.filters });
}

function closeAnswer() {
  clearThread();
  show(false, "answers");
  document.body.classList.remove("beside");
  remember({ q: field.value.trim() });
  field.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  openFirst();
});

field.addEventListener("input", () => {
  if (!field.value) showHistory(choose);
  searchSoon();
});

field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing) return;
  event.preventDefault();
  if (event.shiftKey) askTyped();
  else openFirst();
});

document.addEventListener("keydown", (event) => {
  if (event.isComposing) return undefined; // the keys belong to the list of an input method
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
  const wanted = (event.key === "/" && !typing) || (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey));
  if (!wanted) return moveByArrows(event);
  event.preventDefault();
  field.focus();
  field.select();
  return undefined;
});

for (const id of ["source", "version"]) byId(id)?.addEventListener("change", () => search());
byId("ask-button").addEventListener("click", askTyped);
byId("stop").addEventListener("click", () => {
  stop();
  field.focus();
});

byId("follow").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = byId("follow-text").value.trim();
  if (!question) return;
  byId("follow-text").value = "";
  ask(question, { after: shown.key, chosen: shown.filters });
});

for (const example of document.querySelectorAll("[data-question]")) {
  example.addEventListener("click", (event) => {
    event.preventDefault();
    choose(example.dataset.question);
  });
}

byId("clear-history")?.addEventListener("click", () => {
  clearHistory();
  showHistory(choose);
  field.focus();
});

wireTools(askAgain, closeAnswer);
watchCitations(byId("answers"), byId("card"));
show(false, "search");
show(true, "ask-button", "hint");
showHistory(choose);

async function resume() {
  const address = new URLSearchParams(location.search);
  const question = address.get("q") ?? "";
  const after = address.get("after") ?? "";
  if (address.get("answer") && (await restore(address.get("answer"), after))) search({ quiet: true });
  else if (address.get("asked")) tellInterrupted(question, after);
  else if (question) search();
}

resume();
