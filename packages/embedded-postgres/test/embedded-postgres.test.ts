import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { startPostgres, startThrowawayPostgres } from '#src/index.js';
import { isAlive } from '#src/lock.js';

const LIBRARY = new URL('../dist/index.js', import.meta.url).href;
const WITH_POSTGRES = fileURLToPath(new URL('../bin/with-postgres.js', import.meta.url));

/** Whether a server answers in PostgreSQL's protocol: it says whether it would encrypt. */
async function isRunning(url: string): Promise<boolean> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  try {
    await once(socket, 'connect');
    socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    return /[SN]/.test(answer.toString());
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** A data folder that goes with the test, with its cluster, wherever that had to be made. */
function makeDataDir(t: Test): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-test-'));
  chmodSync(dataDir, 0o755);
  t.teardown(() => {
    rmSync(realpathSync(join(dataDir, 'postgres')), { recursive: true, force: true });
    rmSync(dataDir, { recursive: true });
  });
  return dataDir;
}

const serverPid = (home: string) => Number(readFileSync(join(home, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]);

t.test('is shared, and the last user stops it', async t => {
  const dataDir = makeDataDir(t);
  const [first, second] = await Promise.all([startPostgres(dataDir), startPostgres(dataDir)]);
  t.equal(first.url, second.url);
  t.ok(await isRunning(first.url));
  await first.stop();
  t.ok(await isRunning(second.url));
  await second.stop();
  t.notOk(await isRunning(second.url));

  const again = await startPostgres(dataDir);
  t.equal(new URL(again.url).password, new URL(first.url).password, 'the same cluster');
  await again.stop();
});

t.test('a server that a killed process left behind is taken over', async t => {
  const dataDir = makeDataDir(t);
  const script = `import { startPostgres } from '${LIBRARY}';
    console.log((await startPostgres(${JSON.stringify(dataDir)})).url); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  child.kill('SIGKILL');
  await once(child, 'close');
  const url = line.toString().trim();
  t.ok(await isRunning(url), 'it runs on');

  const taken = await startPostgres(dataDir);
  t.equal(taken.url, url);
  await taken.stop();
  t.notOk(await isRunning(url));
});

t.test('comes back after a crash of the server', async t => {
  const dataDir = makeDataDir(t);
  const first = await startPostgres(dataDir);
  const pid = serverPid(first.home);
  process.kill(pid, 'SIGKILL');
  // On a busy machine it takes a moment to die, and answers until then.
  while (isAlive(pid)) await setTimeout(10);
  const second = await startPostgres(dataDir);
  t.ok(await isRunning(second.url));
  await second.stop();
  await first.stop();
});

t.test('what a killed start left half done is done again', async t => {
  const dataDir = makeDataDir(t);
  const { home, stop } = await startPostgres(dataDir);
  await stop();
  mkdirSync(join(home, 'data.draft'));
  writeFileSync(join(home, 'data.draft', 'PG_VERSION'), 'half');
  const dead = spawnSync(process.execPath, ['--eval', 'console.log(process.pid)']).stdout.toString().trim();
  writeFileSync(join(home, 'lock'), dead);
  writeFileSync(join(home, 'users', `${dead}.1`), '');
  const again = await startPostgres(dataDir);
  t.ok(await isRunning(again.url));
  await again.stop();
  t.notOk(await isRunning(again.url), 'a dead user does not keep it running');
});

t.test('what killed runs left behind is removed, and what others put there is not', async t => {
  const dead = spawnSync(process.execPath, ['--eval', 'console.log(process.pid)']).stdout.toString().trim();
  const first = await startThrowawayPostgres();
  const parent = dirname(first.home);
  const place = (name: string) => join(parent, `latchkey-throwaway-${dead}-${name}-${process.pid}`);
  t.teardown(() => {
    for (const name of ['left', 'linked', 'foreign']) rmSync(place(name), { recursive: true, force: true });
  });
  mkdirSync(place('left'));
  symlinkSync(t.testdir(), place('linked'));
  mkdirSync(place('foreign'));
  const isRoot = process.getuid?.() === 0;
  if (isRoot) chownSync(place('foreign'), 4242, 4242);
  await (await startThrowawayPostgres()).stop();
  t.notOk(existsSync(place('left')));
  t.ok(lstatSync(place('linked')).isSymbolicLink());
  t.equal(existsSync(place('foreign')), isRoot);
  await first.stop();
});

t.test('works in a folder that other users may not enter, and starts afresh when it is removed', async t => {
  const dataDir = makeDataDir(t);
  chmodSync(dataDir, 0o700);
  const first = await startPostgres(dataDir);
  await first.stop();
  const second = await startPostgres(dataDir);
  t.equal(second.home, first.home);
  await second.stop();

  rmSync(first.home, { recursive: true });
  rmSync(dataDir, { recursive: true });
  mkdirSync(dataDir, { mode: 0o700 });
  const third = await startPostgres(dataDir);
  t.not(new URL(third.url).password, new URL(first.url).password);
  await third.stop();
});

t.test('a throw-away server leaves nothing behind', async t => {
  const postgres = await startThrowawayPostgres();
  t.ok(await isRunning(postgres.url));
  await postgres.stop();
  t.notOk(await isRunning(postgres.url));
  t.notOk(existsSync(postgres.home));
});

t.test('a throw-away server comes back where it was, after a halt and after a crash', async t => {
  const postgres = await startThrowawayPostgres({ durable: true });
  t.teardown(postgres.stop);
  const pid = await postgres.pid();
  t.equal(pid, serverPid(postgres.home));
  await postgres.halt('fast');
  t.notOk(await isRunning(postgres.url));
  t.equal(await postgres.pid(), undefined);
  await postgres.start();
  t.ok(await isRunning(postgres.url));
  process.kill((await postgres.pid()) as number, 'SIGKILL');
  while (isAlive(serverPid(postgres.home))) await setTimeout(10);
  await postgres.start();
  t.ok(await isRunning(postgres.url));
});

t.test('with-postgres lends a server to a command and ends as it ends', async t => {
  const run = (...args: string[]) => spawnSync(process.execPath, [WITH_POSTGRES, ...args], { encoding: 'utf8' });
  const lent = run(process.execPath, '--eval', 'console.log(process.env.TEST_DATABASE_URL); process.exitCode = 3');
  t.equal(lent.status, 3);
  t.match(lent.stdout, /^postgresql:\/\/postgres:\w+@127\.0\.0\.1:\d+\/postgres/);
  t.notOk(await isRunning(lent.stdout.trim()));
  t.match(run(), { status: 2, stderr: /usage: with-postgres/ });
  t.match(run('no-such-command'), { status: 1, stderr: /no-such-command/ });
});
