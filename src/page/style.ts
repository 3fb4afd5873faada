/** What pages that are files have in common. Colours are those of the page that `grok1 serve` shows. */
export const style = `
:root {
  color-scheme: light dark;
  --paper: light-dark(#faf9f6, #171614);
  --raised: light-dark(#ffffff, #201e1b);
  --ink: light-dark(#1d1b18, #ebe8e1);
  --soft: light-dark(#625d55, #a8a298);
  --line: light-dark(#e0dcd3, #37332d);
  --accent: light-dark(#a63f12, #f2935c);
  --plus: light-dark(#d4581c, #f58a4b);
  --minus: light-dark(#2f6fb7, #5b9be3);
}
* { box-sizing: border-box; }
html[data-language="en"] span[lang="es"], html[data-language="es"] span[lang="en"] { display: none; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 76rem;
  font: 1rem / 1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
  color: var(--ink); background: var(--paper); overflow-wrap: break-word;
}
header { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: start; justify-content: space-between; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.25; }
h2 { margin: 0 0 0.25rem; font-size: 1.2rem; line-height: 1.3; }
p { margin: 0 0 0.9rem; }
.soft, section > p { color: var(--soft); }
section > p { max-width: 62rem; }
section { margin-top: 1.5rem; padding: 1.1rem 1.2rem; background: var(--raised); border: 1px solid var(--line); border-radius: 0.75rem; }
button, select, input { font: inherit; color: inherit; accent-color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.languages { display: flex; gap: 0.25rem; }
.languages button { padding: 0.1rem 0.7rem; border: 1px solid var(--line); border-radius: 1rem; background: none; cursor: pointer; }
.languages button[aria-pressed="true"] { color: var(--accent); border-color: currentColor; }
.facts { display: flex; flex-wrap: wrap; gap: 0.75rem 2.5rem; margin: 1rem 0 0; }
.facts div { display: flex; flex-direction: column-reverse; }
.facts dd { margin: 0; text-align: start; font-size: 1.5rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.facts dt { color: var(--soft); font-size: 0.9rem; }
table { border-collapse: separate; border-spacing: 0; font-size: 0.9rem; }
th, td { padding: 0.15rem 0.5rem; text-align: left; white-space: pre; font-weight: 400; }
thead th { color: var(--soft); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
bdi { unicode-bidi: isolate; }
@media (max-width: 40rem) {
  section { padding: 0.9rem 0.8rem; }
}
footer { margin-top: 1.5rem; font-size: 0.85rem; color: var(--soft); }
`;
