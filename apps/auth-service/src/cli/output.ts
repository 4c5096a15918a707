import Table from 'cli-table3';

/** Writes to standard output; resolves when it is written, and rejects when it cannot be, as on a full disk. */
export function writeOut(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(`${text}\n`, error => (error ? reject(error) : resolve()));
  });
}

/** Prints rows as a table, or as JSON. */
export function printRows(rows: Record<string, unknown>[], { json, empty }: { json?: boolean; empty: string }): void {
  if (json) console.log(JSON.stringify(rows, null, 2));
  else console.log(rows.length === 0 ? empty : toTable(rows));
}

/** Prints the fields of one thing a line each, or as JSON. */
export function printFields(fields: Record<string, unknown>, { json }: { json?: boolean }): void {
  const width = Math.max(...Object.keys(fields).map(name => name.length));
  const lines = Object.entries(fields).map(([name, value]) => `${name.padEnd(width)}  ${toText(value)}`.trimEnd());
  console.log(json ? JSON.stringify(fields, null, 2) : lines.join('\n'));
}

function toTable(rows: Record<string, unknown>[]): string {
  const head = Object.keys(rows[0] ?? {});
  const style = { head: process.stdout.isTTY ? ['bold'] : [], border: [], 'padding-left': 0, 'padding-right': 2 };
  const table = new Table({ head, style, chars: PLAIN });
  for (const row of rows) table.push(Object.values(row).map(toText));
  return table.toString();
}

function toText(value: unknown): string {
  if (Array.isArray(value)) return printable(value.join(' '));
  return printable(typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value ?? ''));
}

/** Replaces control characters: text of a caller, such as a user agent, could hold commands for the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, '\uFFFD');
}

// No lines, so that columns are easy to cut.
const PLAIN = Object.fromEntries(
  ['top', 'bottom', 'left', 'right', 'mid']
    .flatMap(side => [side, `${side}-mid`, `${side}-left`, `${side}-right`])
    .concat('mid-mid', 'left-mid', 'right-mid', 'middle')
    .map(name => [name, '']),
);
