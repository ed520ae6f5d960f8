// The widget: a button on another site's page, and a dialog that searches and asks.
//
// Results and answers are HTML that the server's templates and sanitiser made. The page is told of what happens by
// events of the name "docs-widget" on its document.

import { addCopyButtons, Blocks } from "../page/blocks.js";
import { watchCitations } from "../page/citations.js";
import { eventsOf } from "../page/stream.js";
import { labelsFor } from "./labels.js";
import { styleSheet } from "./style.js";
import { followTheme } from "./theme.js";

const PAUSE = 150; // milliseconds without a key
const SITE = new URL("../../../", import.meta.url); // the server's root

export function attach(script) {
  const host = document.createElement("div");
  const shadow = host.attachShadow({ mode: "open" });
  shadow.adoptedStyleSheets = [styleSheet(script.dataset.accent)];
  document.body.append(host);
  new Panel(shadow, script.dataset);
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

class Panel {
  #running = null; // the AbortController of the newest request
  #timer = 0;

  constructor(shadow, options) {
    this.words = labelsFor(options.language);
    this.#build(options);
    shadow.append(this.root);
    followTheme(this.root, options.theme);
    watchCitations(this.answerSection, this.card);
    this.blocks = new Blocks(this.answer);
    this.#listen();
  }

  #build(options) {
    const { words } = this;
    this.launch = element("button", { className: "launch", textContent: options.label || words.open });
    this.field = element("input", { type: "search", maxLength: 2000, placeholder: words.box, ariaLabel: words.box, autofocus: true });
    this.source = this.#sources(split(options.sources, ","));
    this.stop = element("button", { type: "button", className: "plain", textContent: words.stop, hidden: true });
    this.form = element("form", {}, this.field, this.source, element("button", { textContent: words.ask }), this.stop);
    this.status = element("p", { className: "status" });
    this.status.setAttribute("role", "status");
    this.questions = element("div", { className: "questions" }, ...split(options.questions, "|").map((q) => this.#example(q)));
    this.answer = element("div", { className: "answer" });
    this.passages = element("ol", { className: "passages" });
    this.answerSection = element("section", { hidden: true }, this.answer, element("h3", { textContent: words.sources }), this.passages);
    this.results = element("div");
    this.close = element("button", { type: "button", className: "plain", textContent: words.close });
    const title = element("h2", { textContent: options.title || words.title });
    this.card = element("div", { className: "card", id: "card", hidden: true, role: "tooltip" });
    const note = element("p", { className: "note", textContent: options.note ?? "", hidden: !options.note });
    this.dialog = element(
      "dialog", { ariaLabel: title.textContent }, element("div", { className: "head" }, title, this.close), this.form,
      this.status, this.questions, this.answerSection, this.results, note, this.card,
    );
    this.root = element("div", { className: "root" }, this.launch, this.dialog);
  }

  #sources(names) {
    const options = names.length === 1 ? names : ["", ...names];
    const made = element("select", { ariaLabel: this.words.source, hidden: names.length < 2 });
    made.append(...options.map((name) => element("option", { value: name, textContent: name || this.words.all })));
    return made;
  }

  #example(question) {
    const button = element("button", { type: "button", className: "plain", textContent: question });
    button.addEventListener("click", () => {
      this.field.value = question;
      this.#ask();
    });
    return button;
  }

  #listen() {
    this.launch.addEventListener("click", () => this.dialog.showModal());
    this.close.addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.#running?.abort());
    this.stop.addEventListener("click", () => this.#running?.abort());
    this.field.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#search(), PAUSE);
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.field.value.trim()) this.#ask();
    });
    this.answerSection.addEventListener("click", (event) => {
      if (event.target.closest(".cite")) event.preventDefault(); // the address is the page's
    });
  }

  // The newest request alone may show something; ``work`` is given its signal.
  async #only(work) {
    clearTimeout(this.#timer);
    this.#running?.abort();
    const mine = new AbortController();
    this.#running = mine;
    try {
      await work(mine.signal);
    } catch (error) {
      if (this.#running !== mine) return false;
      if (error.name === "AbortError") this.#say("");
      else this.#say(error.cause ?? this.words.failed, true);
    }
    return this.#running === mine;
  }

  #search() {
    const query = new URLSearchParams({ q: this.field.value.trim(), source: this.source.value });
    this.questions.hidden = Boolean(query.get("q"));
    this.stop.hidden = true;
    if (!query.get("q")) {
      this.#running?.abort(); // what it would show is of an older text
      return this.results.replaceChildren();
    }
    return this.#only(async (signal) => {
      const response = await fetch(new URL(`widget/results?${query}`, SITE), { signal, credentials: "omit" });
      if (!response.headers.get("Content-Type")?.startsWith("text/html")) throw await refusal(response);
      this.#fill(this.results, await response.text());
      this.#say("");
    });
  }

  async #ask() {
    this.#begin();
    const body = { q: this.field.value.trim(), source: this.source.value };
    document.dispatchEvent(new CustomEvent("docs-widget", { detail: { kind: "question", question: body.q } }));
    let complete = false;
    const ended = await this.#only(async (signal) => {
      const response = await fetch(new URL("widget/ask", SITE), {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal, credentials: "omit",
      });
      if (!response.ok) throw await refusal(response);
      for await (const { name, data } of eventsOf(response)) {
        this.#handle(name, data);
        complete ||= name === "done";
      }
      if (!complete) throw new Error("broken off", { cause: this.words.brokenOff });
      this.#say(this.notice || this.words.done);
    });
    if (ended) this.#settle(complete);
  }

  #begin() {
    this.blocks.clear();
    this.results.replaceChildren();
    this.questions.hidden = true;
    this.answerSection.hidden = true;
    this.stop.hidden = false;
    this.notice = ""; // what is to be known of the whole answer
    this.#say(this.words.searching);
  }

  #handle(name, data) {
    if (name === "passages") {
      this.#fill(this.passages, data.html);
      this.answerSection.hidden = false;
    } else if (name === "html") this.blocks.set(data.block, data.html);
    else if (name === "discard") this.blocks.clear();
    else if (name === "notice" && data.kind !== "remembered") this.#note(data);
    else if (name === "error") throw new Error(name, { cause: data.message });
  }

  #note({ kind, message }) {
    if (kind !== "thinking" && kind !== "waiting") this.notice = message;
    this.#say(message);
  }

  #settle(complete) {
    this.blocks.flush();
    addCopyButtons(this.answer);
    this.stop.hidden = true;
    if (complete) document.dispatchEvent(new CustomEvent("docs-widget", { detail: { kind: "answered" } }));
  }

  // Addresses in the server's HTML are relative to the server, not to the page.
  #fill(target, html) {
    target.innerHTML = html;
    for (const link of target.querySelectorAll("a[href]")) {
      link.href = new URL(link.getAttribute("href"), SITE);
      link.target = "_blank";
      link.rel = "noopener nofollow";
    }
  }

  #say(text, isError = false) {
    this.status.textContent = text;
    this.status.classList.toggle("error", isError);
  }
}

// The server's sentence; what a proxy answers is no JSON, and fails otherwise.
async function refusal(response) {
  return new Error("refused", { cause: (await response.json()).error });
}

function split(text, separator) {
  return (text ?? "").split(separator).map((part) => part.trim()).filter(Boolean);
}
