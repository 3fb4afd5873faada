import { escapeMarkup } from "../bytes/markup.ts";

/** One step's, or evaluation's, value. */
export interface Point {
  readonly step: number;
  readonly value: number;
}

export interface Curve {
  readonly name: string;
  readonly points: readonly Point[];
}

const size = { width: 800, height: 450, left: 64, right: 20, top: 40, bottom: 48 };
const colors = ["#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#bf3989"];
/** More points than pixels would only make the file large. */
const mostPoints = 800;

/** Curves over steps as an SVG picture: the first as a thin line, the others with a dot for each of their points. */
export function plotCurves(title: string, unit: string, curves: readonly Curve[]): string {
  const shown = curves
    .map(({ name, points }) => ({ name, points: thin(points.filter(({ value }) => Number.isFinite(value))) }))
    .filter(({ points }) => points.length > 0);
  const all = shown.flatMap(({ points }) => points);
  const last = Math.max(1, ...all.map(({ step }) => step));
  const ticks = ticksOf(Math.min(...all.map(({ value }) => value)), Math.max(...all.map(({ value }) => value)));
  const [low, high] = [ticks[0] ?? 0, ticks.at(-1) ?? 1];
  const x = (step: number) => size.left + (step / last) * (size.width - size.left - size.right);
  const y = (value: number) =>
    size.height - size.bottom - ((value - low) / (high - low)) * (size.height - size.top - size.bottom);
  const at = (n: number) => n.toFixed(1);

  const grid = ticks.map(
    (tick) =>
      `<line x1="${size.left}" x2="${size.width - size.right}" y1="${at(y(tick))}" y2="${at(y(tick))}" stroke="#d0d7de"/>` +
      `<text x="${size.left - 8}" y="${at(y(tick) + 4)}" text-anchor="end">${Number(tick.toPrecision(6))}</text>`,
  );
  const steps = ticksOf(0, last)
    .filter((tick) => tick <= last)
    .map(
      (tick) =>
        `<text x="${at(x(tick))}" y="${size.height - size.bottom + 18}" text-anchor="middle">${Number(tick.toPrecision(6))}</text>`,
    );
  const lines = shown.map(({ points }, i) => {
    const color = colors[i % colors.length];
    const path = points.map(({ step, value }) => `${at(x(step))},${at(y(value))}`).join(" ");
    const dots = i === 0 ? [] : points.map((p) => `<circle cx="${at(x(p.step))}" cy="${at(y(p.value))}" r="3"/>`);
    return `<g stroke="${color}" fill="${color}"><polyline points="${path}" fill="none" stroke-width="${i === 0 ? 1 : 2}"/>${dots.join("")}</g>`;
  });
  const legend = shown.map(({ name, points }, i) => {
    const text = `${name}: ${points.at(-1)!.value.toPrecision(4)}`;
    return `<text x="${size.width - size.right}" y="${size.top + 16 + 18 * i}" text-anchor="end" fill="${colors[i % colors.length]}">${escapeMarkup(text)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="${size.left}" y="24" font-size="15">${escapeMarkup(title)}</text>`,
    `<text x="${size.width - size.right}" y="24" text-anchor="end">${escapeMarkup(unit)}</text>`,
    `<text x="${size.width / 2}" y="${size.height - 10}" text-anchor="middle">step</text>`,
    ...grid,
    ...steps,
    ...lines,
    ...legend,
    "</svg>\n",
  ].join("\n");
}

/** At most so many points, each the mean of those it stands for. */
function thin(points: readonly Point[]): readonly Point[] {
  const group = Math.ceil(points.length / mostPoints);
  if (group <= 1) return points;
  return Array.from({ length: Math.ceil(points.length / group) }, (_, i) => {
    const some = points.slice(i * group, (i + 1) * group);
    return { step: some.at(-1)!.step, value: some.reduce((sum, { value }) => sum + value, 0) / some.length };
  });
}

/** Some five round numbers from at most `low` to at least `high`. */
function ticksOf(low: number, high: number): number[] {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const rough = Math.max(high - low, Math.abs(high) * 1e-3, 1e-9) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((multiple) => multiple * power >= rough)! * power;
  const first = Math.floor(low / step);
  const count = Math.max(1, Math.ceil(high / step) - first);
  return Array.from({ length: count + 1 }, (_, i) => (first + i) * step);
}
