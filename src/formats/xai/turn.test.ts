import { describe, expect, it } from "vitest";
import { withoutAddon } from "../../../test/support/addon.ts";
import { createRandom } from "../../kernels/oracle.case.ts";
import { toF16 } from "../../tensor/f16.ts";
import { createRowEncoder } from "../../tensor/row-encoder.ts";
import type { Panel } from "./panels.ts";
import { type ElementType, elementBytes } from "./pickle-values.ts";
import { type PanelElements, turnColumns, turnToQ8 } from "./turn.ts";

/** A panel of some columns of the second of two matrices. */
function panelOf(type: ElementType, rows: number, count: number, groups: number) {
  const random = createRandom(rows * count + groups);
  const columns = count + 5;
  // No NaN: what is above the elements' exponents is cleared.
  const bytes = Uint8Array.from({ length: rows * count * elementBytes[type] }, (_, i) =>
    type !== "i1" && i % elementBytes[type] === elementBytes[type] - 1 ? 0x30 + random.below(8) : random.below(256),
  );
  const scales = groups > 0 ? random.normal(2 * groups * columns, 0.01) : new Float32Array(0);
  const panel: Panel = { matrix: 1, first: 3, count, columnMajor: false, bytes };
  const elements: PanelElements = { type, rows, columns, scales, groups: Math.max(1, groups) };
  return { panel, elements, columns };
}

describe("columns turned to rows", () => {
  it.each([
    ["i1", 64, 64, 1],
    ["i1", 96, 130, 8],
    ["i1", 70, 3, 5],
    ["i1", 1, 200, 1],
    ["f4", 65, 67, 0],
    ["f4", 65, 67, 5],
    ["f2", 130, 70, 2],
    ["bfloat16", 33, 129, 3],
  ] as const)("are what they were, %s of %i rows and %i columns in %i groups", (type, rows, count, groups) => {
    const { panel, elements, columns } = panelOf(type, rows, count, groups);
    const { bytes } = panel;
    const read = (k: number, c: number): number => {
      const at = (k * count + c) * elementBytes[type];
      const view = new DataView(bytes.buffer, bytes.byteOffset + at);
      if (type === "i1") return view.getInt8(0);
      if (type === "f4") return view.getFloat32(0, true);
      const bits = view.getUint16(0, true);
      const scale = new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
      return type === "bfloat16" ? scale : (1 + (bits & 1023) / 1024) * 2 ** (((bits >> 10) & 31) - 15);
    };
    const [from, to] = [1, count];
    const expected = Float32Array.from({ length: (to - from) * rows }, (_, i) => {
      const [c, k] = [from + Math.floor(i / rows), i % rows];
      const group = Math.floor((k * elements.groups) / rows);
      const scale = groups === 0 ? 1 : elements.scales[(elements.groups + group) * columns + 3 + c]!;
      return read(k, c) * scale;
    });
    expect(turnColumns(panel, elements, from, to)).toEqual(expected);
  });

  it.skipIf(withoutAddon !== "")(`are the same from the addon, with any number of threads${withoutAddon}`, () => {
    for (const threads of [1, 3]) {
      const encoder = createRowEncoder({ threads });
      const addon = encoder.addon!;
      for (const [type, rows, count, groups] of [
        ["i1", 96, 130, 8],
        ["i1", 256, 200, 2],
        ["i1", 70, 3, 5],
        ["f4", 65, 67, 0],
        ["f2", 130, 70, 2],
        ["bfloat16", 33, 129, 3],
      ] as const) {
        const { panel, elements } = panelOf(type, rows, count, groups);
        const into = new Float32Array(rows * count + 7).fill(Number.NaN);
        for (const [from, to] of [
          [0, count],
          [2, 2],
          [1, count - 1],
        ] as const) {
          expect(turnColumns(panel, elements, from, to, { addon, into })).toEqual(
            turnColumns(panel, elements, from, to),
          );
          if (type !== "i1" || (rows / groups) % 32 !== 0) continue;
          const halves = Uint16Array.from(elements.scales, toF16);
          expect(turnToQ8(panel, elements, halves, from, to, addon)).toEqual(
            turnToQ8(panel, elements, halves, from, to),
          );
        }
      }
      const { panel, elements } = panelOf("i1", 64, 64, 1);
      const wrong: readonly Partial<Panel & PanelElements>[] = [
        ...[{ count: 65 }, { rows: 63 }, { groups: 3 }, { columns: 8 }, { bytes: new Uint8Array(9) }],
      ];
      for (const part of wrong) {
        const [all, some] = [
          { ...elements, ...part },
          { ...panel, ...part },
        ];
        expect(() => turnColumns(some, all, 0, some.count, { addon })).toThrow();
      }
      expect(() => turnColumns(panel, elements, 0, 65, { addon })).toThrow(/do not fit/);
      encoder.close();
      expect(() => turnColumns(panel, elements, 0, 64, { addon })).toThrow(/closed/);
    }
  });
});
