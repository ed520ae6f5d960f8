// The host page's theme, light or dark: what its root element says, or else what the reader's system prefers.

const dark = matchMedia("(prefers-color-scheme: dark)");

function themeOf(element) {
  const said = `${element.dataset.theme ?? ""} ${element.dataset.bsTheme ?? ""} ${element.dataset.mode ?? ""} ${element.className}`;
  return /(?:^|[\s_-])(dark|light)(?:$|[\s_-])/.exec(said)?.[1];
}

export function followTheme(element, fixed) {
  const show = () => {
    const page = themeOf(document.documentElement) ?? themeOf(document.body);
    element.dataset.theme = fixed || page || (dark.matches ? "dark" : "light");
  };
  show();
  dark.addEventListener("change", show);
  const watch = new MutationObserver(show);
  for (const root of [document.documentElement, document.body]) watch.observe(root, { attributes: true });
}
