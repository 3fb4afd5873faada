import { keepPolicies } from "./expert-cache.ts";
import { type SimulatedMachine, simulate } from "./simulate.ts";
import type { RoutingTrace } from "./trace.ts";

const policies: readonly SimulatedMachine["policy"][] = [...keepPolicies, "optimum"];
const points = 12;

/** Sizes in pixels. */
const plot = { left: 60, top: 60, width: 420, height: 300 };
const map = { left: 560, top: 60, width: 380, height: 300 };

const style = `
  svg { background: #fff; color: #1f2328; font: 13px sans-serif }
  text { fill: currentColor } .axis { stroke: currentColor; stroke-opacity: .25 } .line { fill: none; stroke-width: 2.5 }
  .recency { stroke: #b35900 } .frequency { stroke: #0969da } .optimum { stroke: #1a7f37; stroke-dasharray: 6 4 } .cell { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; color: #e6edf3 }
    .recency { stroke: #f0883e } .frequency { stroke: #58a6ff } .optimum { stroke: #3fb950 } .cell { fill: #58a6ff }
  }`;

const asXml = (text: string) => text.replace(/[&<>"]/g, (each) => `&#${each.codePointAt(0)};`);
const round = (value: number) => Math.round(value * 10) / 10;

/**
 * A trace as a picture (SVG, which needs nothing else): how often experts are in memory by how much of it they have, for each policy and whoever knows
 * the future, without reading ahead; and how often each layer's experts are asked for.
 * @param skip Passes at the beginning that only fill memory.
 */
export function renderTraceChart(trace: RoutingTrace, skip: number): string {
  const { model, layers, experts, passes } = trace;
  const title = `${model}: ${layers} layers of ${experts} experts, ${passes.length - skip} passes`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 980 420" role="img">
<title>${asXml(title)}</title><style>${style}</style>
<text x="${plot.left}" y="24" font-size="15">${asXml(title)}</text>
${renderHits(trace, skip)}
${renderUse(trace, skip)}
</svg>
`;
}

function renderHits(trace: RoutingTrace, skip: number): string {
  const all = trace.expertBytes.reduce((sum, bytes) => sum + bytes, 0) * trace.experts;
  const { left, top, width, height } = plot;
  const x = (share: number) => round(left + share * width);
  const y = (share: number) => round(top + (1 - share) * height);
  const quarters = [0, 0.25, 0.5, 0.75, 1];
  const axes = quarters.flatMap((share) => [
    `<line class="axis" x1="${left}" x2="${left + width}" y1="${y(share)}" y2="${y(share)}"/>`,
    `<text x="${left - 8}" y="${y(share) + 4}" text-anchor="end">${100 * share} %</text>`,
    `<text x="${x(share)}" y="${top + height + 18}" text-anchor="middle">${(share * all) / 1e9 >= 1 ? `${round((share * all) / 1e9)} GB` : `${round((share * all) / 1e6)} MB`}</text>`,
  ]);
  const lines = policies.flatMap((policy, i) => {
    const places = Array.from({ length: points }, (_, point) => {
      const share = (point + 1) / points;
      const machine = { bytes: share * all, driveBandwidth: 3e9, memoryBandwidth: 50e9, policy, ahead: false };
      return `${x(share)},${y(simulate(trace, machine, skip).hitRate)}`;
    });
    const at = top + height - 62 + 20 * i;
    return [
      `<polyline class="line ${policy}" points="${places.join(" ")}"/>`,
      `<line class="line ${policy}" x1="${left + width - 110}" x2="${left + width - 85}" y1="${at}" y2="${at}"/>`,
      `<text x="${left + width - 78}" y="${at + 4}">${policy}</text>`,
    ];
  });
  const caption = `<text x="${left}" y="${top + height + 44}">asked for and in memory, by memory for experts</text>`;
  return [...axes, ...lines, caption].join("\n");
}

function renderUse({ layers, experts, passes }: RoutingTrace, skip: number): string {
  const counts = Array.from({ length: layers }, () => new Array<number>(experts).fill(0));
  for (const { asked } of passes.slice(skip)) {
    for (const [layer, some] of asked.entries()) for (const expert of some) counts[layer]![expert]!++;
  }
  const most = Math.max(1, ...counts.map((row) => Math.max(...row)));
  const { left, top, width, height } = map;
  const [cellWidth, cellHeight] = [width / experts, height / layers];
  const cells = counts.flatMap((row, layer) =>
    row.map((count, expert) => {
      const place = `x="${round(left + expert * cellWidth)}" y="${round(top + layer * cellHeight)}"`;
      const size = `width="${round(cellWidth)}" height="${round(cellHeight)}"`;
      const share = round((100 * count) / Math.max(1, passes.length - skip));
      return `<rect class="cell" ${place} ${size} fill-opacity="${(count / most).toFixed(3)}"><title>layer ${layer}, expert ${expert}: in ${share} % of passes</title></rect>`;
    }),
  );
  return [
    ...cells,
    `<rect class="axis" x="${left}" y="${top}" width="${width}" height="${height}" fill="none"/>`,
    `<text x="${left - 8}" y="${top + 12}" text-anchor="end">layer 0</text>`,
    `<text x="${left - 8}" y="${top + height}" text-anchor="end">${layers - 1}</text>`,
    `<text x="${left}" y="${top + height + 44}">how often each expert is asked for, at most in ${round((100 * most) / Math.max(1, passes.length - skip))} % of passes</text>`,
  ].join("\n");
}
