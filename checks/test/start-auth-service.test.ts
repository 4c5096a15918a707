import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createVerifier } from '@latchkey/auth-client';
import { startAuthService } from '@latchkey/auth-client/testing/service';
import getPort from 'get-port';
import t, { type Test } from 'tap';
import { PASSWORD } from './services.js';

const MODULE = import.meta.resolve('@latchkey/auth-client/testing/service');
const CHECKS = fileURLToPath(new URL('../../checks', import.meta.url));

t.test('a test has an auth-service of its own, with the settings it wants', async t => {
  const port = `${await getPort({ host: '127.0.0.1' })}`;
  const settings = { PORT: port, SIGN_UP: 'email', TOKEN_AUDIENCE: 'shop', PUBLIC_URL: 'https://auth.example.com' };
  const { auth, mailbox, url, stop, ...service } = await startAuthService({ settings, from: '../checks' });
  t.teardown(stop);
  t.match({ url, ...service }, { url: `http://localhost:${port}`, issuer: settings.PUBLIC_URL, audience: 'shop' });

  const credentials = { username: 'ada', password: PASSWORD };
  t.equal(await auth.requestSignUp({ ...credentials, email: 'ada@example.com' }), 'pending');
  await auth.verifyEmail(await mailbox.next('ada@example.com'));
  const { token, user } = await auth.signIn(credentials);

  const client = await service.createClient('orders-service', 'revocations:read', 'orders:read');
  await t.rejects(service.createClient('orders-service'), /orders-service/, 'exists already');
  const { issuer, audience } = service;
  const verifier = createVerifier({ issuer, audience, baseUrl: url, client });
  t.teardown(() => verifier.close());
  await verifier.ready();
  t.match(await verifier.verify(token), { id: user.id, aud: 'shop' });
  await Promise.all([stop(), stop()]);
  await t.rejects(fetch(`${url}/readyz`), TypeError);
});

t.test('what keeps it from starting is said', async t => {
  const settings = { DATABASE_URL: 'postgresql://127.0.0.1:1/none', BCRYPT_COST: '99' };
  await t.rejects(startAuthService({ settings }), /not started[\s\S]*BCRYPT_COST: must be <= 20/);
  // Its shims for programs set NODE_PATH, by which pnpm lets everything be found from everywhere.
  const program = `await (await import('${MODULE}')).startAuthService({ from: '..' })`;
  const args = ['--input-type=module', '--eval', program];
  const { status, stderr } = spawnSync(process.execPath, args, { env: {}, cwd: CHECKS, encoding: 'utf8' });
  t.equal(status, 1);
  t.match(stderr, `${dirname(CHECKS)} has no built @latchkey/auth-service. Add`);
});

/** Runs a program that starts an auth-service, with an empty folder for what is temporary, until it prints the URL. */
async function runProgram(t: Test, program: string) {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-test-'));
  // PostgreSQL does not run as root, and its user must enter the folder.
  chmodSync(folder, 0o755);
  const start = `const { url } = await (await import('${MODULE}')).startAuthService(); console.log(url);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', `${start} ${program}`], {
    env: { PATH: process.env['PATH'], TMPDIR: folder },
    cwd: CHECKS,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  const exited = once(child, 'exit');
  const [url] = await once(child.stdout, 'data');
  return { child, exited, folder, url: String(url).trim() };
}

for (const [how, program, end] of [
  ['ends without stopping it', '', undefined],
  ['is killed', 'setInterval(() => undefined, 1000);', 'SIGKILL'],
] as const) {
  t.test(`nothing is left of it when the process of the test ${how}`, { timeout: 60_000 }, async t => {
    const { child, exited, folder, url } = await runProgram(t, program);
    if (end) child.kill(end);
    t.same(await exited, end ? [null, end] : [0, null]);
    for (let i = 0; readdirSync(folder).length > 0; i++) {
      if (i > 500) throw new Error(`these are left: ${readdirSync(folder)}`);
      await sleep(20);
    }
    await t.rejects(fetch(`${url}/readyz`), TypeError);
  });
}
