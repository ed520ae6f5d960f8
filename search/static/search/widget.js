// The widget's one script tag. Its attributes, all of which may be left out:
//
//   data-label      what the button says            data-sources    names of sources, separated by commas
//   data-title      what stands above the box       data-questions  examples, separated by |
//   data-accent     a colour                        data-note       a sentence below the answers
//   data-language   en, de, fr or es                data-theme      light or dark; else that of the page
//
// Everything else is loaded when the page is ready, and lives in a shadow root: neither side's styles reach the other.
"use strict";

{
  const script = document.currentScript;
  import(new URL("widget/panel.js", script.src).href).then(({ attach }) => attach(script));
}
