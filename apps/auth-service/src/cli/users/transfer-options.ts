import { extname } from 'node:path';
import { Option } from 'commander';
import type { Format } from '../transfer/rows.js';

const FORMATS: Record<string, Format> = { '.ndjson': 'ndjson', '.jsonl': 'ndjson', '.csv': 'csv' };

/** The option `--format` of `import` and `export`. */
export const formatOption = (): Option =>
  new Option('--format <format>', 'format of the file; by default, the one of its extension').choices([
    'ndjson',
    'csv',
  ]);

/** Finds the format of a file by its extension. */
export function formatOf(file: string): Format {
  const format = FORMATS[extname(file).toLowerCase()];
  if (!format)
    throw new Error(`The format of ${file} is not known by its extension: add --format ndjson or --format csv.`);
  return format;
}

/** Aborts on the first signal, such as that of Ctrl-C; the second one ends the process. */
export function onInterrupt(): AbortSignal {
  const interrupt = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => interrupt.abort());
  return interrupt.signal;
}
