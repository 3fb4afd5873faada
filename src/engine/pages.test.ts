import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createPagePool, createTimeline, fork, reserve, roomFor, type Timeline, truncate } from "./pages.ts";

describe("pages", () => {
  it("hands out the lowest free page", () => {
    const pool = createPagePool(4, 2);
    expect([pool.take(), pool.take(), pool.take()]).toEqual([0, 1, 2]);
    pool.release(1);
    pool.release(0);
    expect([pool.take(), pool.take(), pool.take(), pool.take()]).toEqual([0, 1, 3, undefined]);
  });

  it("copies a shared last page before it is written to, and only then", () => {
    const pool = createPagePool(4, 4);
    const copies: [number, number][] = [];
    const first = createTimeline();
    reserve(pool, first, 6, () => undefined);
    first.length = 6;
    const second = fork(pool, first);
    expect(second.pages).toEqual([0, 1]);
    expect(pool.free).toBe(2);
    reserve(pool, second, 1, (from, to) => copies.push([from, to]));
    expect(copies).toEqual([[1, 2]]);
    expect(second.pages).toEqual([0, 2]);
    reserve(pool, first, 1, (from, to) => copies.push([from, to]));
    expect(copies).toHaveLength(1);
  });

  it("keeps every timeline's contents, never lets two write one page, and loses no page", () => {
    const operation = fc.record({
      kind: fc.constantFrom("append", "append", "append", "truncate", "fork", "drop"),
      which: fc.nat(20),
      count: fc.integer({ min: 0, max: 9 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 5 }),
        fc.array(operation),
        (pages, size, script) => {
          const pool = createPagePool(pages, size);
          const memory = new Int32Array(pages * size).fill(-1);
          const copy = (from: number, to: number) => memory.copyWithin(to * size, from * size, (from + 1) * size);
          const all: { timeline: Timeline; content: number[] }[] = [{ timeline: createTimeline(), content: [] }];
          let value = 0;
          for (const { kind, which, count } of script) {
            const chosen = all[which % all.length]!;
            const { timeline, content } = chosen;
            if (kind === "append") {
              const room = roomFor(pool, timeline);
              const free = pool.free;
              const done = reserve(pool, timeline, count, copy);
              expect(done).toBe(count <= room);
              if (!done) {
                expect(pool.free).toBe(free);
                continue;
              }
              for (let i = 0; i < count; i++) {
                const position = timeline.length++;
                const page = timeline.pages[Math.floor(position / size)]!;
                expect(pool.owners(page)).toBe(1);
                memory[page * size + (position % size)] = value;
                content.push(value++);
              }
            } else if (kind === "truncate") {
              truncate(pool, timeline, count);
              content.length = Math.min(content.length, count);
            } else if (kind === "fork") {
              all.push({ timeline: fork(pool, timeline), content: [...content] });
            } else if (all.length > 1) {
              truncate(pool, timeline, 0);
              all.splice(all.indexOf(chosen), 1);
            }
            for (const each of all) {
              expect(each.timeline.length).toBe(each.content.length);
              const read = each.content.map(
                (_, position) => memory[each.timeline.pages[Math.floor(position / size)]! * size + (position % size)],
              );
              expect(read).toEqual(each.content);
            }
            const held = new Map<number, number>();
            for (const page of all.flatMap((each) => each.timeline.pages)) held.set(page, (held.get(page) ?? 0) + 1);
            for (const [page, owners] of held) expect(pool.owners(page)).toBe(owners);
            expect(pool.free).toBe(pages - held.size);
          }
          for (const each of all) truncate(pool, each.timeline, 0);
          expect(pool.free).toBe(pages);
        },
      ),
      { numRuns: 300 },
    );
  });
});
