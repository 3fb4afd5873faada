import type { LiveToken } from "../model/live-token.ts";

/** Where the cells of a map are, in CSS pixels. */
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly layers: number;
  readonly experts: number;
  readonly left: number;
  readonly top: number;
  readonly cellWidth: number;
  readonly cellHeight: number;
}

const [left, top, most] = [24, 18, 336];

export function layOut(width: number, layers: number, experts: number): Layout {
  const cellWidth = Math.max(1, (width - left) / experts);
  const cellHeight = Math.max(3, Math.min(28, Math.floor(most / layers), Math.round(cellWidth * 0.85)));
  return { ...{ width, layers, experts, left, top, cellWidth, cellHeight }, height: top + layers * cellHeight };
}

export function cellAt({ left, top, cellWidth, cellHeight, layers, experts }: Layout, x: number, y: number) {
  const [expert, layer] = [Math.floor((x - left) / cellWidth), Math.floor((y - top) / cellHeight)];
  return expert >= 0 && expert < experts && layer >= 0 && layer < layers ? { layer, expert } : undefined;
}

export interface MapContent {
  /** How often each was chosen: [layer][expert]. */
  readonly counts: readonly (readonly number[])[];
  /** The last tokens, the one that is looked at at their end: those before it fade away. */
  readonly recent: readonly LiveToken[];
}

const stillness = matchMedia("(prefers-reduced-motion: reduce)");

/** Its colours are those of the element: the lit cells' as its text, the others' as its caret. */
export function drawMap(canvas: HTMLCanvasElement, layout: Layout, { counts, recent }: MapContent): void {
  const { width, height, layers, experts } = layout;
  const scale = devicePixelRatio;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d")!;
  const { color: lit, caretColor: ink, fontFamily } = getComputedStyle(canvas);
  context.scale(scale, scale);
  const most = Math.max(1, ...counts.flat());
  const cell = (layer: number, expert: number, colour: string, strength: number) => {
    const gap = Math.min(layout.cellWidth, layout.cellHeight) >= 9 ? 3 : layout.cellWidth >= 4 ? 1 : 0;
    context.globalAlpha = strength;
    context.fillStyle = colour;
    context.beginPath();
    context.roundRect(
      layout.left + expert * layout.cellWidth,
      layout.top + layer * layout.cellHeight,
      Math.max(1, layout.cellWidth - gap),
      Math.max(1, layout.cellHeight - Math.min(gap, layout.cellHeight / 3)),
      gap > 1 ? 4 : 0,
    );
    context.fill();
  };
  for (let layer = 0; layer < layers; layer++) {
    for (let expert = 0; expert < experts; expert++) {
      cell(layer, expert, ink, 0.07 + 0.3 * (counts[layer]![expert]! / most));
    }
  }
  const shown = stillness.matches ? recent.slice(-1) : recent;
  for (const [i, token] of shown.entries()) {
    const age = shown.length - 1 - i;
    for (const { layer, experts: chosen, weights } of token.experts) {
      const largest = Math.max(...weights, 1e-9);
      for (const [k, expert] of chosen.entries()) {
        const strength = age === 0 ? 0.6 + 0.4 * (weights[k]! / largest) : 0.32 / age;
        cell(layer, expert, lit, strength);
      }
    }
  }
  context.globalAlpha = 0.75;
  context.fillStyle = ink;
  context.font = `11px ${fontFamily}`;
  context.textBaseline = "middle";
  const label = (count: number, place: (n: number) => [x: number, y: number]) => {
    const step = count <= 16 ? 1 : Math.ceil(count / 8);
    for (let n = 0; n < count; n += step) context.fillText(String(n), ...place(n));
  };
  context.textAlign = "right";
  label(layers, (n) => [layout.left - 8, layout.top + (n + 0.45) * layout.cellHeight]);
  context.textAlign = "center";
  label(experts, (n) => [layout.left + (n + 0.45) * layout.cellWidth, layout.top / 2]);
}
