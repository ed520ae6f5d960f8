// The widget's styles, as a sheet that a page's content security policy need not allow.

const CSS = `
:host { all: initial; }
.root {
  --page: #ffffff; --text: #1d2327; --soft: #566067; --line: #dcdad5; --tint: #e8f1f0; --code: #f4f3f0;
  --error: #9b1c1c; --accent: #155e63; --on-accent: #ffffff; --link: var(--accent); color-scheme: light;
  color: var(--text); font: 16px/1.55 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
.root[data-theme="dark"] {
  --page: #1b2124; --text: #e4e8ea; --soft: #a3aeb4; --line: #31393d; --tint: #1f3234; --code: #111517;
  --error: #f5a3a3; --accent: #7cc7c4; --on-accent: #0d2021; color-scheme: dark;
}
*, *::before, *::after { box-sizing: border-box; }
[hidden] { display: none !important; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
button { font: inherit; font-weight: 600; cursor: pointer; min-height: 44px; padding: 6px 18px; border-radius: 9px; border: 1px solid var(--accent); background: var(--accent); color: var(--on-accent); }
button.plain { background: transparent; color: var(--link); border-color: transparent; min-height: 32px; padding: 2px 10px; font-size: 14px; }
.launch { position: fixed; right: 20px; bottom: 20px; z-index: 2147483000; border-radius: 999px; box-shadow: 0 4px 18px rgb(0 0 0 / 25%); }
dialog { width: min(44rem, calc(100vw - 24px)); max-height: min(46rem, calc(100vh - 24px)); margin: auto; padding: 18px 20px; overflow-y: auto; border: 1px solid var(--line); border-radius: 14px; background: var(--page); color: var(--text); }
dialog::backdrop { background: rgb(0 0 0 / 45%); }
.head { display: flex; align-items: center; justify-content: space-between; margin-bottom: 10px; }
h2 { margin: 0; font-size: 17px; }
.hits h2 { font-size: 15px; }
h3 { margin: 0; font-size: 15px; }
form { display: flex; flex-wrap: wrap; gap: 8px; }
input, select { font: inherit; color: inherit; background: var(--page); border: 1px solid var(--soft); border-radius: 9px; padding: 8px 12px; min-height: 44px; min-width: 0; }
input { flex: 1 1 14rem; }
.status { min-height: 1.5em; margin: 8px 2px; color: var(--soft); font-size: 14px; }
.status.error { color: var(--error); }
.questions { display: flex; flex-wrap: wrap; gap: 6px; }
.answer { line-height: 1.65; overflow-wrap: anywhere; }
.answer p, .answer ul, .answer ol, .answer blockquote, .answer figure, .answer table { margin: 0 0 12px; }
.answer blockquote { padding-left: 14px; border-left: 3px solid var(--accent); }
.answer code { font: 0.88em ui-monospace, Consolas, monospace; background: var(--code); padding: 1px 5px; border-radius: 4px; }
.answer figure { position: relative; background: var(--code); border-radius: 9px; }
.answer figcaption { padding: 6px 12px 0; font-size: 12px; color: var(--soft); }
.answer pre { margin: 0; padding: 10px 12px; overflow-x: auto; }
.answer pre code { padding: 0; background: none; }
.answer table { display: block; overflow-x: auto; border-collapse: collapse; }
.answer th, .answer td { padding: 5px 10px; border: 1px solid var(--line); text-align: left; }
.copy-code { position: absolute; top: 2px; right: 2px; }
.unsupported { font-size: 13px; color: var(--error); }
.cite { display: inline-block; min-width: 1.5em; padding: 0 5px; margin: 0 1px; border-radius: 5px; background: var(--tint); color: var(--link); font-size: 0.78em; font-weight: 650; text-align: center; text-decoration: none; }
a { color: var(--link); }
ol.passages { list-style: none; margin: 6px 0 0; padding: 0; }
.passage { display: flex; gap: 10px; padding: 10px 0; border-top: 1px solid var(--line); }
.passage:focus { background: var(--tint); outline: none; box-shadow: 0 0 0 6px var(--tint); }
.passage-body { min-width: 0; overflow-wrap: anywhere; }
.number { flex: none; width: 24px; height: 24px; border-radius: 6px; background: var(--tint); color: var(--link); font-size: 14px; font-weight: 700; text-align: center; }
.passage-title { font-weight: 650; }
.passage-place, .preview, .passage-meta, summary, .note, .hit-preview { margin: 2px 0 0; font-size: 14px; color: var(--soft); }
.passage-text { white-space: pre-wrap; max-height: 16rem; overflow-y: auto; padding: 8px 10px; background: var(--code); border-radius: 8px; font-size: 14px; }
summary { cursor: pointer; color: var(--link); }
.hits { margin-top: 10px; }
.hit { display: block; padding: 6px 8px; border-radius: 8px; color: inherit; text-decoration: none; }
.hit:hover, .hit:focus { background: var(--tint); }
.hit-section { display: block; color: var(--link); }
.hit-preview { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; }
.source { font-weight: 400; font-size: 13px; color: var(--soft); }
mark { background: none; color: inherit; font-weight: 650; }
.card { position: fixed; z-index: 1; width: min(22rem, calc(100vw - 20px)); padding: 10px 14px; background: var(--page); border: 1px solid var(--soft); border-radius: 9px; font-size: 14px; }
.card p { margin: 0 0 4px; }
@media (prefers-color-scheme: dark) { :host { color-scheme: dark; } }
`;

export function styleSheet(accent) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(CSS);
  if (accent && COLOUR.test(accent)) {
    sheet.insertRule(`.root, .root[data-theme] { --accent: ${accent}; --on-accent: #ffffff; }`, sheet.cssRules.length);
    // A colour that buttons have on white is too dark for text on black.
    const link = `color-mix(in srgb, ${accent} 45%, white)`;
    sheet.insertRule(`.root[data-theme="dark"] { --link: ${link}; }`, sheet.cssRules.length);
  }
  return sheet;
}

const COLOUR = /^(#[0-9a-f]{3,8}|[a-z]{3,20}|(rgb|hsl|oklch)\([\d.,%\s/a-z-]{1,60}\))$/i;
