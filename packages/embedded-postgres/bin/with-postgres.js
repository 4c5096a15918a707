#!/usr/bin/env node
// with-postgres COMMAND…: runs a command with TEST_DATABASE_URL naming a throw-away PostgreSQL, and ends as it ended.
import { spawn } from 'node:child_process';
import { startThrowawayPostgres } from '../dist/index.js';

const [command, ...args] = process.argv.slice(2);
if (!command) {
  console.error('usage: with-postgres COMMAND [ARGUMENT…]');
  process.exit(2);
}
const postgres = await startThrowawayPostgres();
const child = spawn(command, args, {
  stdio: 'inherit',
  env: { ...process.env, TEST_DATABASE_URL: postgres.url },
  shell: process.platform === 'win32',
});
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
  process.on(signal, () => child.kill(signal));
child.once('error', error => console.error(`with-postgres: ${command}: ${error.message}`));
child.once('close', async (code, signal) => {
  await postgres.stop();
  process.exitCode = signal || code === null || code < 0 ? 1 : code;
});
