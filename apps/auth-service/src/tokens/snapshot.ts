/** A snapshot of the database: which transactions it sees (PostgreSQL's `pg_snapshot`). */
export type Snapshot = { xmin: bigint; xmax: bigint; running: Set<bigint> };

const FORM = /^(\d{1,20}):(\d{1,20}):((?:\d{1,20}(?:,\d{1,20})*)?)$/;

/** Reads `xmin:xmax:running,running,…`; `undefined` when it has another form. */
export function parseSnapshot(text: string): Snapshot | undefined {
  const [, xmin, xmax, running] = FORM.exec(text) ?? [];
  if (xmin === undefined || xmax === undefined || running === undefined) return undefined;
  return { xmin: BigInt(xmin), xmax: BigInt(xmax), running: new Set(running.split(',').filter(Boolean).map(BigInt)) };
}

/** Whether a snapshot sees what a committed transaction did. */
export function isVisible(xid: bigint, { xmin, xmax, running }: Snapshot): boolean {
  return xid < xmin || (xid < xmax && !running.has(xid));
}
