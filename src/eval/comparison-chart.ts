import { escapeMarkup } from "../bytes/markup.ts";
import type { Comparison } from "./compare.ts";

const width = 720;
const left = 64;
const plotHeight = 150;

/** A comparison as SVG: quantiles of the divergence, and by layer the error and, of mixtures, the routers' agreement. */
export function drawComparison(comparison: Comparison, a: string, b: string): string {
  const { divergence, layers, routers, perplexity, sameTop } = comparison;
  const quantiles = [
    ...[["median", divergence.median] as const, ["mean", divergence.mean] as const, ["90 %", divergence.q90] as const],
    ...[["99 %", divergence.q99] as const, ["99.9 %", divergence.q999] as const, ["largest", divergence.max] as const],
  ];
  const plots = [
    bars("KL divergence in nats (the scale is a logarithm)", quantiles, {
      height: (value, most) => Math.max(0, 1 + Math.log10(value / most) / 6),
      label: (value) => value.toPrecision(3),
    }),
    ...(layers.length > 0
      ? [
          bars("Error of each layer's output, beside its size", numbered(layers), {
            height: (value, most) => value / most,
            label: (value) => `${(100 * value).toFixed(1)} %`,
          }),
        ]
      : []),
    ...(routers.length > 0
      ? [
          bars("Share of tokens for which both choose the same experts", numbered(routers), {
            height: (value) => value,
            label: (value) => `${(100 * value).toFixed(1)} %`,
          }),
        ]
      : []),
  ];
  const head = `perplexity ${perplexity.a.toFixed(3)} and ${perplexity.b.toFixed(3)}, same likeliest token ${(100 * sameTop).toFixed(1)} %`;
  const height = 60 + plots.length * (plotHeight + 70);
  const drawn = plots.map((plot, i) => `<g transform="translate(0 ${60 + i * (plotHeight + 70)})">${plot}</g>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
<rect width="${width}" height="${height}" fill="#fff"/>
<text x="16" y="24" font-size="15">${escapeMarkup(b)} beside ${escapeMarkup(a)}</text>
<text x="16" y="44">${head}</text>
${drawn.join("\n")}
</svg>
`;
}

const numbered = (values: readonly number[]) => values.map((value, i) => [String(i), value] as const);

interface BarOptions {
  /** Of a value beside the largest, from 0 to 1. */
  readonly height: (value: number, most: number) => number;
  readonly label: (value: number) => string;
}

function bars(title: string, values: readonly (readonly [string, number])[], { height, label }: BarOptions): string {
  const most = Math.max(...values.map(([, value]) => value), Number.MIN_VALUE);
  const step = (width - left - 16) / values.length;
  const labelled = Math.ceil(values.length / 12);
  const drawn = values.map(([name, value], i) => {
    const tall = Math.min(1, Math.max(0, height(value, most))) * plotHeight;
    const [x, middle] = [left + i * step, left + (i + 0.5) * step];
    const says = `<title>${name}: ${label(value)}</title>`;
    const bar = `<rect x="${(x + 1).toFixed(1)}" y="${(20 + plotHeight - tall).toFixed(1)}" width="${(step - 2).toFixed(1)}" height="${tall.toFixed(1)}" fill="#4a78b5">${says}</rect>`;
    if (i % labelled !== 0) return bar;
    return `${bar}<text x="${middle.toFixed(1)}" y="${36 + plotHeight}" text-anchor="middle">${name}</text><text x="${middle.toFixed(1)}" y="${(16 + plotHeight - tall).toFixed(1)}" text-anchor="middle" font-size="10">${label(value)}</text>`;
  });
  return `<text x="16" y="0">${title}</text>${drawn.join("")}`;
}
