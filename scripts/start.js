// `pnpm start`: auth-service and the other services in apps/, side by side on one embedded PostgreSQL.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import getPort, { portNumbers } from 'get-port';
import pretty from 'pino-pretty';
import { listApps } from './app-ports.js';
import { build } from './build.js';

const HELP = `Usage: pnpm start

Starts auth-service and the other services in apps/ for development, on an embedded PostgreSQL whose data are kept in .data.

Environment: PORT    port of auth-service; when not set, 3000 or the next one that is free
             and every other setting of auth-service in the README's table`;

let help;
try {
  ({ help } = parseArgs({ options: { help: { type: 'boolean', short: 'h' } } }).values);
} catch (error) {
  console.error(`${/** @type {Error} */ (error).message}\n\n${HELP}`);
  process.exit(2);
}
if (help) {
  console.log(HELP);
  process.exit(0);
}

const DEFAULT_PORT = 3000;
// A second signal this soon after the first is the same Ctrl-C, passed on by npx and pnpm.
const SAME_SIGNAL_MS = 1000;

console.log('Building …');
build();

const asked = process.env['PORT'];
if (asked && !(/^\d+$/.test(asked) && Number(asked) >= 1 && Number(asked) <= 65535)) {
  console.error(`PORT must be a number from 1 to 65535, not "${asked}".`);
  process.exit(1);
}
const authPort = Number(asked) || (await getPort({ port: portNumbers(DEFAULT_PORT, DEFAULT_PORT + 99) }));
/** @type {{ name: string, port: number }[]} */
const others = [];
for (const { name, port } of listOthers()) {
  const exclude = [authPort, ...others.map(({ port }) => port)];
  others.push({ name, port: await getPort({ port: portNumbers(port, port + 99), exclude }) });
}
if (authPort !== DEFAULT_PORT && !asked) {
  console.log(
    `Port ${DEFAULT_PORT} is in use; auth-service takes ${authPort}. Set PORT=${authPort} for the command line too.`,
  );
}
const authUrl = process.env['PUBLIC_URL'] || `http://localhost:${authPort}`;

/** @type {number | undefined} */
let stoppingSince;
const services = [
  launch('auth-service', { PORT: `${authPort}` }),
  ...others.map(({ name, port }) =>
    launch(name, { PORT: `${port}`, AUTH_URL: `http://localhost:${authPort}`, AUTH_ISSUER: authUrl }),
  ),
];
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop);

await Promise.all(services.map(service => service.ready));
if (!stoppingSince) announce();

/** The services in apps/ beside auth-service, which can be started. */
function listOthers() {
  return listApps().filter(({ name }) => name !== 'auth-service' && existsSync(`apps/${name}/dist/server.js`));
}

/**
 * Runs a service as a process of its own.
 *
 * @param {string} name
 * @param {Record<string, string>} env
 */
function launch(name, env) {
  const child = spawn(process.execPath, [`apps/${name}/dist/server.js`], {
    env: { ...process.env, ...env },
    // Not the terminal itself: when that is closed, Node cannot end a process that holds it.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // In a process group of its own, so that Ctrl-C reaches it once, through here.
    detached: process.platform !== 'win32',
  });
  const { stdout, stderr } = child;
  if (process.stdout.isTTY) stdout?.pipe(pretty({ destination: 1 }));
  else stdout?.pipe(process.stdout);
  stderr?.pipe(process.stderr);
  child.once('exit', (code, signal) => {
    if (stoppingSince) return;
    console.error(`${name} ended (${signal ?? `exit code ${code}`}); stopping.`);
    process.exitCode = 1;
    stop();
  });
  return { child, ready: new Promise(resolve => child.once('message', resolve).once('exit', resolve)) };
}

function stop() {
  if (stoppingSince && performance.now() - stoppingSince < SAME_SIGNAL_MS) return;
  const signal = stoppingSince ? 'SIGKILL' : 'SIGTERM';
  stoppingSince ??= performance.now();
  for (const { child } of services) child.kill(signal);
}

function announce() {
  const hasMailbox = !process.env['SMTP_URL'] && process.env['NODE_ENV'] !== 'production';
  const places = [
    ['auth-service', authUrl],
    ['documentation', `${authUrl}/docs`],
    ...(hasMailbox ? [['mailbox', `${authUrl}/dev/mailbox`]] : []),
    ...others.map(({ name, port }) => [name, `http://localhost:${port}`]),
  ];
  const width = Math.max(...places.map(([name = '']) => name.length));
  const body = `-H 'content-type: application/json' -d '{"username":"helloworld","password":"open sesame 42"}'`;
  console.log(`
Latchkey is ready.

${places.map(([name = '', url]) => `  ${name.padEnd(width)}  ${url}`).join('\n')}

Sign up, then sign in:

  curl -s ${authUrl}/auth/sign-up ${body}
  curl -s ${authUrl}/auth/sign-in ${body}

Ctrl-C stops it; the data are kept for the next start.
`);
}
