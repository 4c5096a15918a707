import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { BUILD_INFO, COUNTERS, GAUGES, HISTOGRAMS, type Labels } from './definitions.js';

/** Makes what holds all metrics. */
export function createRegistry(version: string) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];

  const counters = new Map<string, Counter>();
  for (const [name, definition] of Object.entries(COUNTERS)) {
    const { help, labels = [], from = [] } = { labels: undefined, from: undefined, ...definition };
    const counter = new Counter({ name, help, labelNames: labels, registers });
    for (const values of from) counter.inc(values, 0);
    counters.set(name, counter);
  }
  const histograms = new Map<string, Histogram>();
  for (const [name, { help, buckets }] of Object.entries(HISTOGRAMS)) {
    histograms.set(name, new Histogram({ name, help, buckets: [...buckets], registers }));
  }

  const { help, labels } = BUILD_INFO.latchkey_build_info;
  new Gauge({ name: 'latchkey_build_info', help, labelNames: labels, registers }).set({ version }, 1);

  return {
    registry,
    count: (what: keyof typeof COUNTERS, labels: Labels = {}, by = 1) => counters.get(what)?.inc(labels, by),
    observe: (what: keyof typeof HISTOGRAMS, seconds: number) => histograms.get(what)?.observe(seconds),
    gauge(name: keyof typeof GAUGES, read: () => number | undefined) {
      new Gauge({
        name,
        help: GAUGES[name].help,
        registers,
        collect() {
          const value = read();
          if (value === undefined) this.remove();
          else this.set(value);
        },
      });
    },
  };
}
