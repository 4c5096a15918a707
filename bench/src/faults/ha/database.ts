import pg from 'pg';

/** One of the servers that a database is kept on. */
export type Node = {
  name: string;
  /** Connection string of its superuser, past everything that stands in front. */
  url: string;
};

/** A database on several servers, one of which leads, and something in front that finds that one. */
export type HaDatabase = {
  /** What it is made of. */
  title: string;
  /** What the service is given. */
  url: string;
  nodes: Node[];
  /** Ways for the leader to fail, by name. */
  faults: Record<string, Fault>;
  /** Waits until every node is in place again, and somebody confirms what the leader writes. */
  becomeWhole(): Promise<void>;
  stop(): Promise<void>;
};

/** How a leader fails, and how the node that it was comes back. */
export type Fault = {
  inject(leader: Node): Promise<void>;
  /** How long it lasts, when it does not end by itself. */
  lastsS?: number;
  repair(node: Node): Promise<void>;
};

/** The node that takes writes, other than one that does not count. */
export async function findLeader(nodes: Node[], except?: Node): Promise<Node | undefined> {
  const others = nodes.filter(node => node !== except);
  return others[(await Promise.all(others.map(leads))).indexOf(true)];
}

/** Whether a node takes writes; one that does not answer does not. */
export async function leads({ url }: Node): Promise<boolean> {
  const rows = await query<{ leads: boolean }>(url, 'SELECT NOT pg_is_in_recovery() AS leads').catch(() => []);
  return rows[0]?.leads === true;
}

/** Asks one server, on a connection for this alone. */
export async function query<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000, query_timeout: 10_000 });
  // A server that is killed while it is asked.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end().catch(() => undefined);
  }
}
