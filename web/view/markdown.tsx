import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { type Block, type Inline, parseMarkdown } from "../text/markdown.ts";
import { CopyButton } from "./copy-button.tsx";

/** A text as a model wrote it. Its words become text nodes, and nothing else. */
export function Markdown({ text }: { readonly text: string }) {
  const blocks = useMemo(() => parseMarkdown(text), [text]);
  return <div class="prose">{blocks.map(showBlock)}</div>;
}

function showBlock(block: Block, index: number): ComponentChildren {
  switch (block.type) {
    case "paragraph":
      return <p key={index}>{block.content.map(showInline)}</p>;
    case "heading": {
      // The page's own headings are above them.
      const Level = `h${Math.min(6, block.level + 2)}` as "h3";
      return <Level key={index}>{block.content.map(showInline)}</Level>;
    }
    case "code":
      return (
        <div key={index} class="code">
          <div class="code-head">
            <span>{block.language}</span>
            <CopyButton text={block.text} />
          </div>
          {/* It can be wider than the page: then it is scrolled, by keys too. */}
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached */}
          <pre tabIndex={0}>
            <code>{block.text}</code>
          </pre>
        </div>
      );
    case "list": {
      const items = block.items.map((item, i) => <li key={i}>{item.map(showBlock)}</li>);
      if (block.start === undefined) return <ul key={index}>{items}</ul>;
      return (
        <ol key={index} start={block.start}>
          {items}
        </ol>
      );
    }
    case "quote":
      return <blockquote key={index}>{block.blocks.map(showBlock)}</blockquote>;
    case "table":
      return (
        <div key={index} class="table">
          <table>
            <thead>
              <tr>
                {block.head.map((cell, i) => (
                  <th key={i}>{cell.map(showInline)}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {block.rows.map((row, i) => (
                <tr key={i}>
                  {row.map((cell, j) => (
                    <td key={j}>{cell.map(showInline)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      );
    case "rule":
      return <hr key={index} />;
  }
}

function showInline(part: Inline, index: number): ComponentChildren {
  switch (part.type) {
    case "text":
      return part.text;
    case "code":
      return <code key={index}>{part.text}</code>;
    case "strong":
      return <strong key={index}>{part.content.map(showInline)}</strong>;
    case "emphasis":
      return <em key={index}>{part.content.map(showInline)}</em>;
    case "link":
      return (
        <a key={index} href={part.url} target="_blank" rel="noopener noreferrer nofollow" title={part.url}>
          {part.content.map(showInline)}
        </a>
      );
    case "break":
      return <br key={index} />;
  }
}
