/** Numbers that a monitor collects, in Prometheus' text format (version 0.0.4). Written here: a client library is ten times as long. */
export interface Metric {
  text(): string;
}

type Labels = Readonly<Record<string, string>>;

export interface Counter extends Metric {
  add(labels: Labels, amount?: number): void;
}

export interface Histogram extends Metric {
  /** @param times how often the same was seen */
  observe(labels: Labels, value: number, times?: number): void;
}

const escapeLabel = (value: string) => value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`));

function sample(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, of]) => `${label}="${escapeLabel(of)}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}\n`;
}

const head = (name: string, type: string, help: string) => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;

/** What belongs to each set of labels. */
function createSeries<T>(empty: () => T) {
  const series = new Map<string, { readonly labels: Labels; readonly value: T }>();
  return {
    at(labels: Labels): { readonly labels: Labels; readonly value: T } {
      const key = JSON.stringify(Object.entries(labels));
      const known = series.get(key) ?? { labels, value: empty() };
      series.set(key, known);
      return known;
    },
    map: (write: (labels: Labels, value: T) => string) =>
      [...series.values()].map(({ labels, value }) => write(labels, value)).join(""),
  };
}

export function createCounter(name: string, help: string): Counter {
  const series = createSeries(() => ({ count: 0 }));
  return {
    add(labels, amount = 1) {
      series.at(labels).value.count += amount;
    },
    text: () => head(name, "counter", help) + series.map((labels, { count }) => sample(name, labels, count)),
  };
}

/** @param bounds of the buckets, ascending */
export function createHistogram(name: string, help: string, bounds: readonly number[]): Histogram {
  const series = createSeries(() => ({ counts: bounds.map(() => 0), sum: 0, count: 0 }));
  return {
    observe(labels, value, times = 1) {
      const { value: of } = series.at(labels);
      for (const [i, bound] of bounds.entries()) if (value <= bound) of.counts[i]! += times;
      of.sum += value * times;
      of.count += times;
    },
    text: () =>
      head(name, "histogram", help) +
      series.map(
        (labels, { counts, sum, count }) =>
          bounds.map((bound, i) => sample(`${name}_bucket`, { ...labels, le: String(bound) }, counts[i]!)).join("") +
          sample(`${name}_bucket`, { ...labels, le: "+Inf" }, count) +
          sample(`${name}_sum`, labels, sum) +
          sample(`${name}_count`, labels, count),
      ),
  };
}

/** What is read when it is asked for. */
export function gauge(
  name: string,
  help: string,
  values: readonly (readonly [Labels, number])[],
  type = "gauge",
): string {
  if (values.length === 0) return "";
  return head(name, type, help) + values.map(([labels, value]) => sample(name, labels, value)).join("");
}
