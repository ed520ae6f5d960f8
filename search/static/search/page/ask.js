// One question at a time: posts it, reads the stream of events, shows them as they come, and knows what was asked last.

import { addCopyButtons, Blocks } from "./blocks.js";
import { byId, complain, filters, form, post, Refused, remember, say, sentence, show } from "./dom.js";
import { noteQuestion } from "./history.js";
import { nowShown, shown } from "./shown.js";
import { eventsOf } from "./stream.js";
import { archiveTurn, clearThread } from "./thread.js";
import { resetTools, showRating, showTools } from "./tools.js";

const BROKEN_OFF = "The connection ended before the answer was complete. Ask again to get all of it.";
const answer = byId("answer");
const blocks = new Blocks(answer);

let running = null; // the AbortController of the question being answered

export function ask(question, { after = "", again = false, chosen = filters() } = {}) {
  if (after && !again) archiveTurn();
  else if (!after) clearThread();
  nowShown({ question, filters: chosen, after });
  noteQuestion(question);
  remember({ q: question, ...chosen, after, asked: 1 });
  return answerOf({ q: question, ...chosen, after, again });
}

async function answerOf(body) {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  begin();
  try {
    await read(await post(form.dataset.ask, body, mine.signal), mine);
  } catch (error) {
    if (running === mine) fail(error);
  } finally {
    if (running === mine) settle();
  }
}

async function read(response, mine) {
  let ended = false;
  for await (const { name, data } of eventsOf(response)) {
    if (running !== mine) return;
    handlers[name]?.(data);
    ended = ended || name === "done" || name === "error";
  }
  if (!ended) throw new Refused(BROKEN_OFF);
}

const handlers = {
  passages({ mode, count, html }) {
    showSources(html, count);
    show(mode === "extractive" && count, "extractive");
    say(mode === "extractive" ? "Choosing the best sentences…" : "Writing the answer…");
  },
  html({ block, html }) {
    blocks.set(block, html);
  },
  discard() {
    blocks.clear();
  },
  markdown({ text }) {
    shown.markdown = text;
  },
  notice({ kind, message }) {
    if (kind === "thinking" || kind === "waiting") return say(message);
    const place = byId(kind === "understood" ? "understood" : "notice");
    place.textContent = message;
    place.hidden = false;
    return undefined;
  },
  timings(stages) {
    byId("timings").replaceChildren(...Object.entries(stages).map(stageElement));
    show(true, "timings");
  },
  done() {
    const count = byId("sources").children.length;
    say(count ? `Answered from ${count} passage${count === 1 ? "" : "s"}.` : "Nothing was found.");
  },
  kept({ key }) {
    shown.key = key;
    if (key) remember({ q: shown.question, ...shown.filters, after: shown.after, answer: key });
  },
  error({ message }) {
    complain(message);
  },
};

function showSources(html, count) {
  byId("sources").innerHTML = html;
  show(count, "sources-section");
}

function stageElement([stage, milliseconds]) {
  const entry = document.createElement("div");
  const name = document.createElement("dt");
  const time = document.createElement("dd");
  name.textContent = stage;
  time.textContent = `${milliseconds.toFixed(1)} ms`;
  entry.append(name, time);
  return entry;
}

function begin() {
  complain("");
  show(false, "intro", "understood", "extractive", "notice", "sources-section", "timings", "follow");
  show(true, "answers", "stop");
  resetTools();
  blocks.clear();
  byId("asked").textContent = shown.question;
  document.body.classList.add("busy", "beside");
  answer.setAttribute("aria-busy", "true");
  say("Searching…");
}

function settle() {
  running = null;
  blocks.flush();
  addCopyButtons(answer);
  document.body.classList.remove("busy");
  answer.removeAttribute("aria-busy");
  show(false, "stop");
  showTools();
}

function fail(error) {
  if (error.name === "AbortError") say("Stopped.");
  else complain(sentence(error));
}

export function stop() {
  running?.abort();
}

// An answer that this reader was given before, after the page was loaded again.
export async function restore(key, after) {
  const response = await fetch(`${form.dataset.answers}${encodeURIComponent(key)}/mine`);
  if (!response.ok) return false;
  const stored = await response.json();
  const { question, source, version, markdown, shared } = stored;
  nowShown({ question, filters: { source, version }, after, key, markdown, shared });
  begin();
  showSources(stored.passages, stored.count);
  show(stored.mode === "extractive" && stored.count, "extractive");
  blocks.set(0, stored.html);
  settle();
  showRating({ 1: "up", [-1]: "down" }[stored.rating] ?? "");
  const at = new Date(stored.at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  say(`This is the answer of ${at}.`);
  return true;
}

export function tellInterrupted(question, after) {
  nowShown({ question, filters: filters(), after });
  begin();
  settle();
  say("The page was loaded again before the answer was complete.");
}
