/** What a report of an evaluation has beside what all pages have. */
export const style = `
.figures { width: 100%; }
.figures td, .figures th { vertical-align: middle; padding: 0.2rem 0.6rem 0.2rem 0; }
.figures .of th { padding-top: 0.9rem; white-space: normal; font-weight: 600; }
.figures .of small { color: var(--soft); font-weight: 400; }
.figures .group th:first-child { font-weight: 600; }
.figures .drawn { width: 45%; min-width: 9rem; }
.figures .said { white-space: normal; min-width: 7rem; color: var(--accent); }
.bar { position: relative; display: block; height: 1.1em; border-right: 1px solid var(--line);
  background: repeating-linear-gradient(to right, var(--line) 0 1px, transparent 1px 25%); }
.bar > * { position: absolute; }
.bar .amount { top: 0.15em; bottom: 0.15em; border-radius: 0.15em; background: color-mix(in oklab, var(--plus) 62%, transparent); }
.bar .less { background: color-mix(in oklab, var(--minus) 62%, transparent); }
.bar .doubtful { background: color-mix(in oklab, var(--soft) 45%, transparent); }
.bar .whisker { top: 0.3em; bottom: 0.3em; border: solid var(--ink); border-width: 0 1.5px;
  background: linear-gradient(var(--ink), var(--ink)) center / 100% 1.5px no-repeat; }
.bar .guess { top: -0.1em; bottom: -0.1em; border-left: 2px dashed var(--ink); }
.bar .zero { top: 0; bottom: 0; border-left: 1px solid var(--soft); }
.warnings { margin: 0.75rem 0 0; padding-left: 1.2rem; }
details { margin-top: 1rem; }
summary { cursor: pointer; font-weight: 600; }
details > p { color: var(--soft); }
.settings th { color: var(--soft); vertical-align: top; }
.settings td { white-space: normal; overflow-wrap: anywhere; }
.hashes { margin-top: 1rem; }
.hashes code { font-size: 0.75rem; }
@media (max-width: 48rem) {
  .figures, .figures tbody { display: block; }
  .figures thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .figures tr { display: flex; flex-wrap: wrap; align-items: baseline; column-gap: 0.9rem; padding: 0.2rem 0; }
  .figures td, .figures th { padding: 0; min-width: 0; white-space: normal; }
  .figures td::before { color: var(--soft); font-size: 0.85em; }
  html[data-language="en"] .figures td[data-en]::before { content: attr(data-en) " "; }
  html[data-language="es"] .figures td[data-es]::before { content: attr(data-es) " "; }
  .figures .drawn { width: 100%; flex: none; padding: 0.2rem 0; }
  .figures .said { min-width: 0; }
}
`;
