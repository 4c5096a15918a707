import pg from 'pg';

/** Connects to a database. A connection that breaks fails its queries, and nothing else. */
export async function connectTo(databaseUrl: string): Promise<pg.Client> {
  const client = new pg.Client(databaseUrl);
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

export async function withClient<T>(databaseUrl: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connectTo(databaseUrl);
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
