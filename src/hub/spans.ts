/** Which bytes of a file are there: spans [start, end), in order, none touching the next. */
export interface Spans {
  add(start: number, end: number): void;
  /** Bytes from 0 on without a gap. */
  readonly front: number;
  readonly total: number;
  /** What is missing of `size` bytes, in pieces of at most `most`. */
  gaps(size: number, most: number): { start: number; end: number }[];
}

export function createSpans(): Spans {
  let spans: { start: number; end: number }[] = [];
  return {
    add(start, end) {
      if (end <= start) return;
      const apart = spans.filter((span) => span.end < start || span.start > end);
      const touching = spans.filter((span) => !(span.end < start || span.start > end));
      const merged = {
        start: Math.min(start, ...touching.map((span) => span.start)),
        end: Math.max(end, ...touching.map((span) => span.end)),
      };
      spans = [...apart, merged].sort((a, b) => a.start - b.start);
    },
    get front() {
      return spans[0]?.start === 0 ? spans[0].end : 0;
    },
    get total() {
      return spans.reduce((sum, { start, end }) => sum + end - start, 0);
    },
    gaps(size, most) {
      const pieces: { start: number; end: number }[] = [];
      let at = 0;
      for (const { start, end } of [...spans, { start: size, end: size }]) {
        for (; at < start; at = Math.min(start, at + most)) pieces.push({ start: at, end: Math.min(start, at + most) });
        at = end;
      }
      return pieces;
    },
  };
}
