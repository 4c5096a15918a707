import { type ChildProcess, execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { type AuthClient, createAuthClient, type SignedIn } from '@latchkey/auth-client';
import { startThrowawayPostgres, type ThrowawayPostgres } from '@latchkey/embedded-postgres';
import { stopsOnce } from './cleanup.js';
import { type Server, startServer } from './processes.js';

const SERVER = new URL(import.meta.resolve('@latchkey/auth-service/server'));
const LATCHKEY = new URL(import.meta.resolve('@latchkey/auth-service/cli'));
const run = promisify(execFile);

export const ISSUER = 'http://auth.bench';
export const AUDIENCE = 'latchkey';

/** A database, and as many replicas of the service on it as wanted. */
export type Stage = {
  postgres: Database;
  env: Record<string, string>;
  /** Starts a replica, with more settings than the stage has; `onSpawn` gets its process before it is ready. */
  start(more?: Record<string, string>, onSpawn?: (child: ChildProcess) => void): Promise<Server>;
  /** Ends another process together with the replicas. */
  adopt(child: ChildProcess): void;
  /** Runs the service's command line and reads the JSON that it prints. */
  latchkey(...args: string[]): Promise<unknown>;
  /** Makes a client that may read the revocation feed. */
  newClient(): Promise<{ id: string; secret: string }>;
  stop(): Promise<void>;
};

/** What a stage needs of a PostgreSQL. */
export type Database = { url: string; stop(): Promise<void> };

/** Starts a PostgreSQL that goes when this command ends, even while it starts. */
export async function startPostgres(options: { durable?: boolean } = {}): Promise<ThrowawayPostgres> {
  const starting = startThrowawayPostgres(options);
  const stop = stopsOnce(async () => (await starting).stop());
  return { ...(await starting), stop };
}

/** Sets a stage on a new PostgreSQL that is quick, not crash-safe, unless it is given one. */
export async function setStage(settings: Record<string, string> = {}, given?: Database): Promise<Stage> {
  const postgres = given ?? (await startPostgres());
  const env = {
    NODE_ENV: 'production',
    HOST: '127.0.0.1',
    DATABASE_URL: postgres.url,
    AUTH_SECRETS: `bench:${randomBytes(32).toString('base64')}`,
    PUBLIC_URL: ISSUER,
    BCRYPT_COST: '4',
    THROTTLE_ENABLED: 'false',
    // An account that signs in again and again must not end the session whose token is checked beside it.
    SESSIONS_PER_ACCOUNT: '10000',
    LOG_LEVEL: 'warn',
    ...settings,
  };
  const children: ChildProcess[] = [];
  let isOver = false;
  const latchkey = async (...args: string[]): Promise<unknown> => {
    const { stdout } = await run(process.execPath, [LATCHKEY.pathname, ...args, '--json'], { env });
    return JSON.parse(stdout);
  };
  return {
    postgres,
    env,
    latchkey,
    adopt: child => void children.push(child),
    async start(more = {}, onSpawn) {
      if (isOver) throw new Error('the stage has been left');
      return startServer(SERVER, { ...env, ...more }, child => {
        children.push(child);
        onSpawn?.(child);
      });
    },
    async newClient() {
      const id = `bench-${randomUUID()}`;
      const created = await latchkey('clients', 'create', id, '--scope', 'revocations:read');
      return { id, secret: (created as { clientSecret: string }).clientSecret };
    },
    stop: stopsOnce(async () => {
      isOver = true;
      // There is nothing that they would have to finish.
      for (const child of children) child.kill('SIGKILL');
      await postgres.stop();
    }),
  };
}

export const clientOf = ({ url }: Pick<Server, 'url'>): AuthClient => createAuthClient({ baseUrl: url, maxRetries: 0 });

export const signUp = (client: AuthClient): Promise<SignedIn> =>
  client.signUp({ username: `user-${randomUUID()}`, password: 'open sesame 42' });

/** Runs `work` for every index below `count`, so many at a time. */
export async function forEach(count: number, atOnce: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker));
}
