import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import bcrypt from 'bcrypt';
import getPort from 'get-port';
import pg from 'pg';
import { checker, type OnEnd, type Peer, post } from './peer.js';

const FOLDER = new URL('../../src/peers/', import.meta.url);
const WORKERS = 3;
// What a distribution installs belongs to its own Python, which another may hide.
const PYTHONS = ['python3', '/usr/bin/python3'];

/** The tutorial's app under gunicorn, or `undefined` where Flask and the rest are not installed. */
export async function startFlask(cost: number, onEnd: OnEnd): Promise<Peer | undefined> {
  const python = await findPython();
  if (python === undefined) return undefined;
  const postgres = await startThrowawayPostgres();
  onEnd(postgres.stop);
  const credentials = { username: 'peer', password: 'open sesame 42' };
  await addUser(postgres.url, credentials.username, await bcrypt.hash(credentials.password, cost));
  const address = `127.0.0.1:${await getPort({ host: '127.0.0.1' })}`;
  const options = ['--workers', String(WORKERS), '--bind', address, '--log-level', 'warning'];
  const gunicorn = spawn(python, ['-m', 'gunicorn', ...options, 'flask_app:app'], {
    cwd: FOLDER.pathname,
    env: {
      PATH: process.env['PATH'],
      PYTHONDONTWRITEBYTECODE: '1',
      DATABASE_URL: postgres.url,
      JWT_SECRET: randomBytes(32).toString('hex'),
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(gunicorn, 'exit');
  onEnd(async () => {
    gunicorn.kill('SIGTERM');
    await exited;
  });
  const url = `http://${address}`;
  const signIn = { url: `${url}/auth/sign-in`, body: credentials };
  const { token } = (await (await firstAnswer(() => post(signIn))).json()) as { token: string };
  const headers = { authorization: `Bearer ${token}` };
  return {
    name: 'Flask',
    signIn,
    check: checker(`${url}/verify-token`, { method: 'POST', headers }, credentials.username),
  };
}

async function findPython(): Promise<string | undefined> {
  for (const python of PYTHONS) {
    try {
      await promisify(execFile)(python, ['-c', 'import flask, bcrypt, psycopg2, jwt, gunicorn']);
      return python;
    } catch {
      // The next one may have them.
    }
  }
  return undefined;
}

/** The app of the tutorial has its table already. */
async function addUser(connectionString: string, username: string, password: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query(
    'CREATE TABLE users (id serial PRIMARY KEY, username text UNIQUE NOT NULL, password text NOT NULL)',
  );
  await client.query('INSERT INTO users (username, password) VALUES ($1, $2)', [username, password]);
  await client.end();
}

async function firstAnswer<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (attempt === 100) throw error;
      await setTimeout(100);
    }
  }
}
