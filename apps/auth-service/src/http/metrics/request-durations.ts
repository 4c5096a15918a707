import type { Metric, Registry } from 'prom-client';
import { REQUEST_DURATIONS } from './definitions.js';

type Labels = { method: string; route: string; status: number };
type Series = { labels: Labels; counts: number[]; sum: number };

const NAME = 'latchkey_http_request_duration_seconds';
const { help: HELP } = REQUEST_DURATIONS[NAME];
// The feed of ended sessions waits up to 30 seconds by design.
const BOUNDS = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** Methods that are told apart. */
export const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** Takes note of a response to a method and a pattern of a route. */
export type TakeNote = (method: string, route: string, status: number, seconds: number) => void;

/**
 * A histogram of how long responses took, counted by hand: prom-client's own would cost every token check a fifth more.
 * Its labels are such that callers cannot make more of them: patterns of routes, never paths.
 *
 * @returns what takes note of a response
 */
export function addRequestDurations(registry: Registry): TakeNote {
  const series = new Map<string, Series>();

  const get = async () => ({
    ...{ name: NAME, help: HELP, type: 'histogram' },
    values: [...series.values()].flatMap(({ labels, counts, sum }) => {
      let count = 0;
      const buckets = counts.map((more, i) => {
        count += more;
        return { metricName: `${NAME}_bucket`, labels: { ...labels, le: BOUNDS[i] ?? '+Inf' }, value: count };
      });
      const of = (what: string, value: number) => ({ metricName: `${NAME}_${what}`, labels, value });
      return [...buckets, of('sum', sum), of('count', count)];
    }),
  });
  // All that a registry asks of a metric.
  registry.registerMetric({ name: NAME, get } as unknown as Metric);

  return (method, route, status, seconds) => {
    const key = `${method} ${route} ${status}`;
    let one = series.get(key);
    if (!one) {
      one = { labels: { method, route, status }, counts: new Array(BOUNDS.length + 1).fill(0), sum: 0 };
      series.set(key, one);
    }
    one.sum += seconds;
    let i = 0;
    while (i < BOUNDS.length && seconds > (BOUNDS[i] as number)) i++;
    (one.counts[i] as number)++;
  };
}
