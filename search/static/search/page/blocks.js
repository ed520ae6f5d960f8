// The parts of an answer as they arrive -> elements, at most once for each frame of the screen.
//
// A part is one element that is filled anew when it changes. Code gets its button once the answer is complete.

export class Blocks {
  #target;
  #waiting = new Map();
  #frame = 0;

  constructor(target) {
    this.#target = target;
  }

  set(number, html) {
    this.#waiting.set(number, html);
    this.#frame ||= requestAnimationFrame(() => this.flush());
  }

  flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    for (const [number, html] of this.#waiting) this.#element(number).innerHTML = html;
    this.#waiting.clear();
  }

  clear() {
    this.#waiting.clear();
    this.#target.replaceChildren();
  }

  #element(number) {
    while (this.#target.children.length <= number) {
      const part = document.createElement("div");
      part.className = "part";
      this.#target.append(part);
    }
    return this.#target.children[number];
  }
}

export function addCopyButtons(answer) {
  for (const figure of answer.querySelectorAll("figure:not(.copied)")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain copy-code";
    button.textContent = "Copy";
    button.addEventListener("click", () => copy(figure.querySelector("code").textContent, button));
    figure.classList.add("copied");
    figure.append(button);
  }
}

export async function copy(text, button) {
  const label = (button.dataset.label ??= button.textContent); // a second press finds "Copied" there
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied: the browser forbids it here";
  }
  setTimeout(() => (button.textContent = label), 2000);
}
