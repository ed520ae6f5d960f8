// The admin's first page: asks for the live part again every few seconds, and keeps the focus where it was.
"use strict";

const EVERY = 3000; // milliseconds
const live = document.getElementById("live");
const trouble = document.getElementById("live-trouble");

async function refresh() {
  try {
    const response = await fetch(live.dataset.url, { redirect: "error" });
    if (!response.ok) throw new Error(response.statusText);
    replace(await response.text());
    trouble.textContent = "";
  } catch {
    trouble.textContent = "The site does not answer; the figures above are old.";
  }
  setTimeout(refresh, EVERY);
}

// The server's template made this HTML; everything in it is escaped there.
function replace(html) {
  const focused = document.activeElement?.id;
  live.innerHTML = html;
  if (focused) document.getElementById(focused)?.focus();
}

if (live) refresh();
