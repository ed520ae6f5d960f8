// What can be done with an answer: ask again, copy, share, rate, keep as a favourite, forget.

import { copy } from "./blocks.js";
import { byId, complain, form, post, say, sentence, show } from "./dom.js";
import { forgetQuestion, isFavourite, setFavourite } from "./history.js";
import { shown } from "./shown.js";

const OF_STORED = ["share", "rating", "forget", "follow"];
const ratings = [...document.querySelectorAll("[data-rating]")];

export function resetTools() {
  show(false, "again", "copy", "favourite", "shared", "note", ...OF_STORED);
  showRating("");
  byId("read").setAttribute("aria-expanded", "false"); // passages of a new answer are closed
  if (byId("note-text")) byId("note-text").value = "";
}

export function showTools() {
  show(true, "again", "favourite");
  show(shown.markdown, "copy");
  show(shown.key, ...OF_STORED);
  showLink(shown.shared);
  byId("favourite").setAttribute("aria-pressed", String(isFavourite(shown.question)));
}

// Posts a change of the stored answer; tells the reader what went wrong.
async function change(body) {
  try {
    const response = await post(`${form.dataset.answers}${encodeURIComponent(shown.key)}/change`, body);
    return await response.json();
  } catch (error) {
    complain(sentence(error));
    return null;
  }
}

function showLink(link) {
  if (!byId("share")) return;
  shown.shared = link;
  byId("link").value = link;
  show(link, "shared");
}

export function showRating(rating) {
  for (const button of ratings) button.setAttribute("aria-pressed", String(button.dataset.rating === rating));
}

async function rate(button) {
  const pressed = button.getAttribute("aria-pressed") === "true";
  const rating = pressed ? "" : button.dataset.rating;
  if (!(await change({ do: "rate", rating }))) return;
  showRating(rating);
  show(rating === "down", "note");
  say(rating ? "Thank you, your rating is kept." : "Your rating is taken back.");
  if (rating === "down") byId("note-text").focus();
}

async function sendNote(event) {
  event.preventDefault();
  if (!(await change({ do: "rate", rating: "down", note: byId("note-text").value }))) return;
  show(false, "note");
  say("Thank you, your note is kept.");
}

async function share() {
  const answered = await change({ do: "share" });
  if (!answered) return;
  showLink(answered.link);
  byId("link").select();
  say("Everybody with this link can read the answer.");
}

async function unshare() {
  if (!(await change({ do: "unshare" }))) return;
  showLink("");
  say("The link is deleted.");
  byId("share").focus();
}

async function forget(whenForgotten) {
  if (!(await change({ do: "forget" }))) return;
  forgetQuestion(shown.question);
  whenForgotten();
  say("The answer is deleted, with its conversation and its links.");
}

export function wireTools(askAgain, whenForgotten) {
  byId("again").addEventListener("click", askAgain);
  byId("copy").addEventListener("click", (event) => copy(shown.markdown, event.currentTarget));
  byId("share")?.addEventListener("click", share);
  byId("unshare").addEventListener("click", unshare);
  byId("forget").addEventListener("click", () => forget(whenForgotten));
  byId("note").addEventListener("submit", sendNote);
  for (const button of ratings) button.addEventListener("click", () => rate(button));
  byId("favourite").addEventListener("click", (event) => {
    const favourite = event.currentTarget.getAttribute("aria-pressed") !== "true";
    setFavourite(shown.question, favourite);
    event.currentTarget.setAttribute("aria-pressed", String(favourite));
  });
  byId("read").addEventListener("click", (event) => {
    const open = event.currentTarget.getAttribute("aria-expanded") !== "true";
    for (const details of document.querySelectorAll("#sources details")) details.open = open;
    event.currentTarget.setAttribute("aria-expanded", String(open));
  });
}
