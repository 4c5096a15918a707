import { availableParallelism } from 'node:os';
import type { Plot } from './plot.js';
import { keepsPromise } from './promise.js';

/** What the command line asks for; each part has its own defaults. */
export type Settings = Partial<
  Record<'cost' | 'seconds' | 'rounds' | 'count' | 'accounts' | 'outage' | 'minutes', number>
> &
  Partial<Record<'quick' | 'without-patroni', boolean>> &
  Partial<Record<'peer' | 'keycloak-home', string>>;

export type Row = {
  what: string;
  measured: number | string;
  reference?: string;
  ratio?: number;
  /** As `keepsPromise` reads it; empty when nothing is promised. */
  promise: string;
  /** That something happened that must never happen. */
  broken?: boolean;
};

export type Report = {
  title: string;
  rows: Row[];
  /** Figures behind the rows, in columns of their own. */
  details?: Record<string, Record<string, number | string>>;
  /** What a reader of a broken promise wants to know, a line each. */
  evidence?: string[];
  plot?: Plot;
};

/** A part of the bench, or of the faults. */
export type Part = (settings: Settings) => Promise<Report>;

/** A row on what must not happen even once. */
export function never(what: string, measured: number, reference = ''): Row {
  return { what, measured, reference, promise: '0', broken: measured > 0 };
}

/** The rows that miss their promise, other than by what must never happen. */
export function missedRows({ rows }: Report): Row[] {
  return rows.filter(row => !row.broken && !keepsPromise(row));
}

export function print(report: Report): void {
  const { title, rows, details, evidence = [] } = report;
  console.log(`\n${title} (${availableParallelism()} cores, Node ${process.version})`);
  const columns = rows.map(({ what, measured, reference = '', ratio = '', promise }) => {
    return [what, { measured, reference, ratio, promise }] as const;
  });
  console.table(Object.fromEntries(columns));
  if (details) console.table(details);
  for (const row of rows.filter(({ broken }) => broken)) console.log(`BROKEN: ${describe(row)}`);
  for (const row of missedRows(report)) console.log(`MISSED: ${describe(row)}`);
  for (const line of evidence) console.log(`  ${line}`);
}

function describe({ what, measured, ratio, promise }: Row): string {
  const value = ratio === undefined ? measured : `${measured}, ratio ${ratio}`;
  return `${what}: ${value}${promise === '' ? '' : `; promised: ${promise}`}`;
}

/** Shows how far a long part is, on a terminal. */
export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
}

const BAR_WIDTH = 30;

/** Shows the share of a long part that is done, on a terminal. */
export function progressBar(text: string, share: number): void {
  const done = Math.round(share * BAR_WIDTH);
  progress(`${text} ${'█'.repeat(done)}${'░'.repeat(BAR_WIDTH - done)} ${round(100 * share)} %`);
}

export function median(values: number[]): number {
  return percentile(values, 50);
}

/** The value that `p` percent of the values do not exceed. */
export function percentile(values: number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)] ?? Number.NaN;
}

export function round(value: number, digits = 0): number {
  return Number(value.toFixed(digits));
}
