/** What an explanation has beside what all pages have. */
export const style = `
.flow { margin: 0 0 1rem; padding: 0; line-height: 2.1; font-size: 1.1rem; list-style: none; }
.flow > * { display: inline-block; padding: 0 0.1rem; border-radius: 0.25rem; white-space: pre-wrap; vertical-align: top; }
ol.flow > * { padding: 0 0.25rem; margin-right: 1px; }
.flow small { display: block; font-size: 0.7rem; line-height: 1.2; text-align: center; font-variant-numeric: tabular-nums; }
.plus { background: color-mix(in oklab, var(--plus) calc(var(--v) * 62%), transparent); }
.minus { background: color-mix(in oklab, var(--minus) calc(var(--v) * 62%), transparent); }
.key { display: flex; gap: 1.25rem; font-size: 0.85rem; color: var(--soft); margin-bottom: 0.9rem; }
.key span i { display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.35em; border-radius: 0.2em; vertical-align: -0.08em; }
.scroll { overflow: auto; max-height: 75vh; margin-top: 0.5rem; border: 1px solid var(--line); border-radius: 0.4rem; }
.grid thead th { position: sticky; top: 0; z-index: 2; background: var(--raised); border-bottom: 1px solid var(--line); }
.grid th:first-child { position: sticky; left: 0; z-index: 1; background: var(--raised); border-right: 1px solid var(--line); }
.grid thead th:first-child { z-index: 3; }
.grid td.plus { border: 1px solid var(--raised); border-radius: 0.3rem; }
.grid th, .grid td { max-width: 9rem; overflow: hidden; text-overflow: ellipsis; }
.grid .last { font-weight: 600; }
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
.bars { width: 100%; max-width: 52rem; }
.bars td:last-child { width: 100%; min-width: 8rem; }
.bars tfoot > tr > * { border-top: 1px solid var(--line); font-weight: 600; }
.bar { position: relative; display: flex; height: 0.8em; }
.bar::before { content: ""; position: absolute; left: var(--zero); width: 1px; height: 100%; background: var(--line); }
.bar i { flex: none; height: 100%; border-radius: 0.15em; }
@media (max-width: 40rem) {
  .bars td:last-child, .bars thead td { display: none; }
}
`;
