import { BUILD_INFO, COUNTERS, GAUGES, HISTOGRAMS, REQUEST_DURATIONS } from '../../http/metrics/definitions.js';
import { code, page, table } from './markdown.js';

const INTRODUCTION = `With \`METRICS_PORT\` the service serves these metrics at \`/metrics\` of that port: [Watch it](operating.md#watch-it). Node.js adds its
own, such as \`nodejs_eventloop_lag_p99_seconds\` and \`process_resident_memory_bytes\`.`;

type Definition = { help: string; labels?: readonly string[] };

/** The metrics, by type. */
export function metricsPage(): string {
  const rowsOf = (type: string, definitions: Record<string, Definition>) =>
    Object.entries(definitions).map(([name, { help, labels = [] }]) => [
      ...[code(name), type],
      ...[labels.map(code).join(', '), help],
    ]);
  const rows = [
    ...rowsOf('histogram', { ...REQUEST_DURATIONS, ...HISTOGRAMS }),
    ...rowsOf('counter', COUNTERS),
    ...rowsOf('gauge', { ...GAUGES, ...BUILD_INFO }),
  ];
  return page('Metrics', INTRODUCTION, table(['metric', 'type', 'labels', 'meaning'], rows));
}
