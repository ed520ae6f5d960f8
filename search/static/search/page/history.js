// Questions asked before and favourites, in this browser only.

import { byId } from "./dom.js";

const KEY = "asked";
const KEPT = 30;
const SHOWN = 8;

function entries() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((entry) => typeof entry?.question === "string") : [];
  } catch {
    return []; // forbidden, or not ours
  }
}

function store(list) {
  const favourites = list.filter((entry) => entry.favourite);
  const others = list.filter((entry) => !entry.favourite).slice(0, KEPT);
  try {
    localStorage.setItem(KEY, JSON.stringify([...favourites, ...others]));
  } catch {
    // Without storage there is no history.
  }
}

export function noteQuestion(question) {
  const list = entries();
  const before = list.find((entry) => entry.question === question);
  store([{ question, favourite: before?.favourite ?? false }, ...list.filter((entry) => entry !== before)]);
}

export function isFavourite(question) {
  return entries().some((entry) => entry.question === question && entry.favourite);
}

export function setFavourite(question, favourite) {
  store(entries().map((entry) => (entry.question === question ? { ...entry, favourite } : entry)));
}

export function forgetQuestion(question) {
  store(entries().filter((entry) => entry.question !== question));
}

export function clearHistory() {
  store(entries().filter((entry) => entry.favourite));
}

export function showHistory(choose) {
  if (!byId("history")) return;
  const list = [...entries()].sort((one, other) => Number(other.favourite ?? 0) - Number(one.favourite ?? 0));
  byId("history").hidden = !list.length;
  byId("history-list").replaceChildren(...list.slice(0, SHOWN).map((entry) => line(entry, choose)));
}

function line(entry, choose) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = `?${new URLSearchParams({ q: entry.question })}`;
  link.textContent = entry.question;
  link.addEventListener("click", (event) => {
    event.preventDefault();
    choose(entry.question);
  });
  item.append(entry.favourite ? "★ " : "", link);
  return item;
}
