import { createHash } from "node:crypto";
import { escapeMarkup } from "../bytes/markup.ts";
import { languageScript, switcher } from "./languages.ts";
import { style } from "./style.ts";

/** What a page consists of; all but `title` is markup. */
export interface PageParts {
  readonly title: string;
  readonly heading: string;
  /** What the page is of, under its heading. */
  readonly subject: string;
  readonly main: string;
  readonly footer: string;
  /** Rules beside those of all pages. */
  readonly style: string;
  /** Goes on from {@link languageScript}, and speaks the language that is wanted. */
  readonly script: string;
  /** What the script reads, as JSON in `#data`. */
  readonly data?: unknown;
}

/** One HTML document, in English and Spanish, light and dark: nothing is fetched, by a policy of its own too. */
export function renderPage(parts: PageParts): string {
  const script = `"use strict";\n{\n${languageScript}\n${parts.script}}\n`;
  const hash = createHash("sha256").update(script).digest("base64");
  const policy = `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;
  const data =
    parts.data === undefined
      ? ""
      : `<script type="application/json" id="data">${JSON.stringify(parts.data).replaceAll("<", "\\u003c")}</script>\n`;
  return `<!doctype html>
<html lang="en" data-language="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeMarkup(parts.title)}</title>
<style>${style}${parts.style}</style>
</head>
<body>
<header>
<div><h1>${parts.heading}</h1>
<div class="soft">${parts.subject}</div></div>
${switcher}
</header>
<main>
${parts.main}
</main>
<footer>${parts.footer}</footer>
${data}<script>${script}</script>
</body>
</html>
`;
}

/** A part of a page under a heading that names it. */
export function renderSection(id: string, heading: string, body: string): string {
  return `<section aria-labelledby="${id}"><h2 id="${id}">${heading}</h2>\n${body}\n</section>`;
}

// What has no shape of its own, and changes what is seen of the rest.
const unseen = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** A text as it is seen: what is not seen is written out. */
export function visible(text: string): string {
  return text
    .replaceAll("\n", "↵")
    .replaceAll("\t", "⇥")
    .replace(unseen, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}
