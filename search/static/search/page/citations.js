// Citations: a card with the passage while one is pointed at or has the focus, and a jump to the passage.

const SHOWN_PIXELS = 10; // between a citation and its card

let shownFor = null;

export function watchCitations(root, card) {
  root.addEventListener("mouseover", (event) => open(card, event.target.closest(".cite")));
  root.addEventListener("mouseout", (event) => {
    if (event.target.closest(".cite") && !card.contains(event.relatedTarget)) close(card);
  });
  root.addEventListener("focusin", (event) => open(card, event.target.closest(".cite")));
  root.addEventListener("focusout", () => close(card));
  card.addEventListener("mouseleave", () => close(card));
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close(card);
  });
  root.addEventListener("click", (event) => jump(card, event.target.closest(".cite")));
}

function passageOf(cite) {
  return cite.getRootNode().getElementById(cite.getAttribute("href").slice(1));
}

function open(card, cite) {
  const passage = cite && passageOf(cite);
  if (!passage || shownFor === cite) return;
  shownFor = cite;
  card.replaceChildren(...[".passage-title", ".passage-place", ".preview"].map((part) => copyOf(passage, part)));
  card.hidden = false;
  cite.setAttribute("aria-describedby", card.id);
  place(card, cite.getBoundingClientRect());
}

function copyOf(passage, selector) {
  const line = document.createElement("p");
  const found = passage.querySelector(selector);
  line.className = found.className;
  line.textContent = found.textContent;
  return line;
}

function place(card, at) {
  const left = Math.min(at.left, document.documentElement.clientWidth - card.offsetWidth - SHOWN_PIXELS);
  const below = at.bottom + SHOWN_PIXELS + card.offsetHeight < document.documentElement.clientHeight;
  const top = below ? at.bottom + SHOWN_PIXELS : at.top - SHOWN_PIXELS - card.offsetHeight;
  card.style.left = `${Math.max(SHOWN_PIXELS, left)}px`;
  card.style.top = `${Math.max(SHOWN_PIXELS, top)}px`;
}

function close(card) {
  shownFor?.removeAttribute("aria-describedby");
  shownFor = null;
  card.hidden = true;
}

function jump(card, cite) {
  const passage = cite && passageOf(cite);
  if (!passage) return;
  close(card);
  for (let e = passage.parentElement; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
  passage.querySelector("details").open = true;
  passage.focus(); // the link itself scrolls and marks it
}
