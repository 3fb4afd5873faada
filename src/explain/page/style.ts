/** Colours are those of the page that `grok1 serve` shows. */
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
.facts dd { margin: 0; font-size: 1.5rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.facts dt { color: var(--soft); font-size: 0.9rem; }
.flow { margin: 0 0 1rem; padding: 0; line-height: 2.1; font-size: 1.1rem; list-style: none; }
.flow > * { display: inline-block; padding: 0 0.1rem; border-radius: 0.25rem; white-space: pre-wrap; vertical-align: top; }
ol.flow > * { padding: 0 0.25rem; margin-right: 1px; }
.flow small { display: block; font-size: 0.7rem; line-height: 1.2; text-align: center; font-variant-numeric: tabular-nums; }
.plus { background: color-mix(in oklab, var(--plus) calc(var(--v) * 62%), transparent); }
.minus { background: color-mix(in oklab, var(--minus) calc(var(--v) * 62%), transparent); }
.key { display: flex; gap: 1.25rem; font-size: 0.85rem; color: var(--soft); margin-bottom: 0.9rem; }
.key span i { display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.35em; border-radius: 0.2em; vertical-align: -0.08em; }
table { border-collapse: separate; border-spacing: 0; font-size: 0.9rem; }
th, td { padding: 0.15rem 0.5rem; text-align: left; white-space: pre; font-weight: 400; }
thead th { color: var(--soft); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
.bars { width: 100%; max-width: 52rem; }
.bars td:last-child { width: 100%; min-width: 8rem; }
.bars tfoot > tr > * { border-top: 1px solid var(--line); font-weight: 600; }
.bar { position: relative; display: flex; height: 0.8em; }
.bar::before { content: ""; position: absolute; left: var(--zero); width: 1px; height: 100%; background: var(--line); }
.bar i { flex: none; height: 100%; border-radius: 0.15em; }
.scroll { overflow: auto; max-height: 75vh; margin-top: 0.5rem; border: 1px solid var(--line); border-radius: 0.4rem; }
.grid thead th { position: sticky; top: 0; z-index: 2; background: var(--raised); border-bottom: 1px solid var(--line); }
.grid th:first-child { position: sticky; left: 0; z-index: 1; background: var(--raised); border-right: 1px solid var(--line); }
.grid thead th:first-child { z-index: 3; }
.grid td.plus { border: 1px solid var(--raised); border-radius: 0.3rem; }
.grid th, .grid td { max-width: 9rem; overflow: hidden; text-overflow: ellipsis; }
.grid .last { font-weight: 600; }
bdi { unicode-bidi: isolate; }
.controls { display: flex; flex-wrap: wrap; gap: 0.5rem 1.5rem; align-items: center; margin-bottom: 1rem; }
.controls label { display: flex; gap: 0.6rem; align-items: center; }
.controls select { max-width: 14rem; padding: 0.15rem 0.4rem; border: 1px solid var(--line); border-radius: 0.4rem; background: var(--raised); }
.heads { display: flex; flex-wrap: wrap; gap: 0.5rem; margin: 0 0 1.25rem; padding: 0; border: 0; }
.heads label { display: grid; justify-items: center; gap: 0.1rem; padding: 0.3rem; border: 1px solid var(--line); border-radius: 0.5rem; font-size: 0.8rem; color: var(--soft); cursor: pointer; }
.heads label:has(:checked) { border-color: var(--accent); color: var(--accent); }
.heads label:has(:focus-visible) { outline: 2px solid var(--accent); outline-offset: 2px; }
.heads input { position: absolute; opacity: 0; pointer-events: none; }
canvas { display: block; color: var(--plus); caret-color: var(--ink); }
.heads canvas { width: 4.5rem; image-rendering: pixelated; }
#map { max-width: 100%; }
#at { min-height: 1.55em; margin: 0.3rem 0 1rem; font-size: 0.9rem; white-space: pre-wrap; }
@media (max-width: 40rem) {
  section { padding: 0.9rem 0.8rem; }
  .bars td:last-child, .bars thead td { display: none; }
}
footer { margin-top: 1.5rem; font-size: 0.85rem; color: var(--soft); }
`;
