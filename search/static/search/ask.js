// The question page: posts the question, reads the stream of events, shows them as they come.
//
// Everything that arrives is hostile: it becomes text nodes and attributes of known elements, never markup.
"use strict";

const byId = (id) => document.getElementById(id);
const form = byId("ask");
const field = byId("q");
const answer = byId("answer");
const passages = byId("passages");

const UNAVAILABLE = "The answer did not arrive. Check your connection and ask again.";
const BROKEN_OFF = "The connection ended before the answer was complete. Ask again to get all of it.";

let running = null; // the AbortController of the question being answered
let block = null; // the block of code that was opened last
let fence = ""; // the marks that opened it, while it is open
let atLineStart = true;
let target = answer; // the quotation that is being written, or else the answer

class Refused extends Error {}

async function ask({ again = false } = {}) {
  if (running) running.abort();
  const mine = new AbortController();
  running = mine;
  clear();
  try {
    await show(await post(mine.signal, again), mine);
  } catch (error) {
    if (running === mine) fail(error);
  } finally {
    if (running === mine) settle();
  }
}

async function post(signal, again) {
  const fields = Object.fromEntries(new FormData(form));
  if (!fields.source) delete fields.source;
  history.replaceState(null, "", `?${new URLSearchParams(fields)}`);
  const response = await fetch(form.dataset.url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...fields, again }),
    signal,
  });
  if (response.ok) return response;
  throw new Refused(await reason(response));
}

// A proxy's error may be anything.
async function reason(response) {
  if (response.headers.get("Content-Type") !== "application/json") return UNAVAILABLE;
  return (await response.json()).error;
}

async function show(response, mine) {
  let ended = false;
  for await (const { name, data } of eventsOf(response)) {
    if (running !== mine) return;
    if (handlers[name]) handlers[name](data);
    ended = ended || name === "done" || name === "error";
  }
  if (!ended) throw new Refused(BROKEN_OFF);
}

async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const blocks = held.split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      const found = /^event: (\w+)\ndata: (.*)$/.exec(block); // anything else is a comment
      if (found) yield { name: found[1], data: JSON.parse(found[2]) };
    }
  }
}

const handlers = {
  passages({ mode, passages: found }) {
    passages.replaceChildren(...found.map(passageElement));
    byId("sources-section").hidden = !found.length;
    byId("extractive").hidden = mode !== "extractive" || !found.length;
    byId("answer-section").hidden = false;
    byId("result").hidden = false;
    say(mode === "extractive" ? "Choosing the best sentences…" : "Writing the answer…");
  },
  token({ text, citation }) {
    if (citation) target.append(citationElement(text, citation));
    else write(text);
  },
  unsupported({ missing }) {
    target.append(doubtElement(missing), " ");
  },
  discard() {
    empty();
  },
  notice({ kind, message }) {
    if (kind === "thinking" || kind === "waiting") {
      say(message);
      return;
    }
    byId("notice").textContent = message;
    byId("notice").hidden = false;
    byId("again").hidden = kind !== "remembered";
  },
  timings(stages) {
    byId("timings").replaceChildren(...Object.entries(stages).map(stageElement));
    byId("timings").hidden = false;
  },
  done() {
    const count = passages.children.length;
    say(count ? `Answered from ${count} passage${count === 1 ? "" : "s"}.` : "Nothing was found.");
  },
  error({ message }) {
    complain(message);
  },
};

// Code is what stands between two runs of as many backticks in one piece of text, or in a fence: the server sends each
// span of code whole, and a run that nothing closes is a character like others.
function write(text) {
  for (const part of text.split(/(?<=\n)/)) {
    const line = atLineStart ? unquoted(part) : part;
    const mark = atLineStart && /^[ \t>]*(`{3,}|~{3,})[ \t]*([^\n`]*)\n?$/.exec(line);
    if (mark && !fence) openBlock(mark[1]);
    else if (mark && mark[1].startsWith(fence) && !mark[2].trim()) fence = "";
    else if (fence) block.append(line === "\n" && !atLineStart && !block.textContent ? "" : line);
    else writeInline(line);
    atLineStart = part.endsWith("\n");
  }
}

// Lines behind ">" that follow one another are one quotation.
function unquoted(line) {
  const quotation = /^> ?/.exec(line);
  if (!quotation) target = answer;
  else if (target === answer) {
    target = document.createElement("blockquote");
    answer.append(target);
  }
  return quotation ? line.slice(quotation[0].length) : line;
}

function openBlock(mark) {
  fence = mark;
  block = document.createElement("code");
  const frame = document.createElement("pre");
  frame.append(block);
  target.append(frame);
}

function writeInline(text) {
  let end = 0;
  for (const span of text.matchAll(/(?<!`)(`+)(?!`)([^]*?[^`])\1(?!`)/g)) {
    const code = document.createElement("code");
    const bare = /^ .* $/s.test(span[2]) && span[2].trim() ? span[2].slice(1, -1) : span[2];
    code.append(bare); // a space on both sides only keeps backticks apart
    target.append(text.slice(end, span.index), code);
    end = span.index + span[0].length;
  }
  target.append(text.slice(end));
}

function doubtElement(missing) {
  const mark = document.createElement("span");
  mark.className = "unsupported";
  mark.textContent = `not in the passages: ${missing.join(", ")}`;
  return mark;
}

function citationElement(text, number) {
  const link = document.createElement("a");
  link.className = "cite";
  link.href = `#source-${number}`;
  link.textContent = text.replace(/[[\]]/g, "");
  link.setAttribute("aria-label", `Source ${number}`);
  return link;
}

function passageElement(passage) {
  const item = byId("passage").content.firstElementChild.cloneNode(true);
  item.id = `source-${passage.number}`;
  const fill = (selector, text) => {
    item.querySelector(selector).textContent = text;
  };
  fill(".number", passage.number);
  fill(".passage-place", passage.section);
  fill(".preview", passage.preview);
  fill(".passage-text", passage.text);
  fill(".source", passage.source);
  fill(".score", passage.score.toFixed(4));
  const title = item.querySelector(".passage-title");
  title.textContent = passage.title;
  if (isWebAddress(passage.link)) title.href = passage.link;
  if (passage.external) title.rel = "noopener nofollow";
  return item;
}

function isWebAddress(link) {
  const { protocol } = new URL(link, location.href);
  return protocol === "http:" || protocol === "https:";
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

function clear() {
  for (const id of ["intro", "error", "nothing", "result", "timings", "extractive", "notice", "again"]) {
    if (byId(id)) byId(id).hidden = true;
  }
  empty();
  passages.replaceChildren();
  document.body.classList.add("busy");
  answer.setAttribute("aria-busy", "true");
  byId("stop").hidden = false;
  say("Searching…");
}

function empty() {
  answer.replaceChildren();
  target = answer;
  fence = "";
  atLineStart = true;
}

function settle() {
  running = null;
  document.body.classList.remove("busy");
  answer.removeAttribute("aria-busy");
  byId("stop").hidden = true;
}

function fail(error) {
  if (error.name === "AbortError") say("Stopped.");
  else complain(error instanceof Refused ? error.message : UNAVAILABLE);
}

function complain(message) {
  say("");
  byId("error").textContent = message;
  byId("error").hidden = false;
}

function say(text) {
  byId("status").textContent = text;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});

field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});

byId("again").addEventListener("click", () => {
  ask({ again: true });
  field.focus();
});

byId("stop").addEventListener("click", () => {
  running.abort();
  field.focus();
});

for (const example of document.querySelectorAll("[data-question]")) {
  example.addEventListener("click", (event) => {
    event.preventDefault();
    field.value = example.dataset.question;
    form.requestSubmit();
    field.focus();
  });
}

byId("hint").hidden = false;
