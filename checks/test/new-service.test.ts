import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { readYaml } from './kustomization.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const VARIABLES = ['CI', 'HOME', 'PATH', 'XDG_CACHE_HOME', 'XDG_DATA_HOME'].flatMap(name => {
  const value = process.env[name];
  return value === undefined ? [] : [`${name}=${value}`];
});

/** Without what tap gives to every process that a test starts, by which that would take itself for a part of this test. */
const run = (cwd: string, program: string, ...args: string[]) =>
  spawnSync('env', ['-i', ...VARIABLES, program, ...args], { cwd, encoding: 'utf8' });

/** Copies the repository as Git has it, and what was built of it, to where nothing is installed above. */
function copyRepository(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const { stdout } = run(ROOT, 'git', 'ls-files', '--cached', '--others', '--exclude-standard', '-z');
  const packages = readdirSync(join(ROOT, 'packages')).map(name => `packages/${name}`);
  const built = [...packages, 'apps/auth-service'].map(name => `${name}/dist`);
  for (const file of [...stdout.split('\0').filter(Boolean), ...built].filter(file => existsSync(join(ROOT, file)))) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(join(ROOT, file), join(folder, file), { recursive: true });
  }
  return folder;
}

t.test('a new service is installed, linted, type-checked and tested at once', async t => {
  const folder = copyRepository(t);
  const make = (...args: string[]) => run(folder, process.execPath, 'scripts/new-service.js', ...args);
  const made = make('order-items');
  t.match(made, { status: 0, stderr: '', stdout: /Made apps\/order-items-service.* port 30\d\d/ });
  // Behind those that were made before, such as in a fork.
  const port = Number(/port (\d+)/.exec(made.stdout)?.[1]);
  t.ok(port >= 3010);
  t.match(make('order-items'), { status: 2, stderr: /apps\/order-items-service exists already/ });
  t.match(make('invoices'), { status: 0, stdout: `port ${port + 1},` }, 'another one has another port');
  t.match(make('resample-jobs'), { status: 0 });
  const routes = readFileSync(join(folder, 'apps/resample-jobs-service/src/resample-jobs-routes.ts'), 'utf8');
  t.match(
    routes,
    /export const resampleJobsRoutes: .*\n.*'\/resample-jobs\//s,
    'the name has a word of the template in it',
  );
  for (const name of ['', 'Orders', 'orders-service', '../orders', 'or ders', 'x'.repeat(31), '--port'])
    t.match(make(name), { status: 2, stdout: '' }, name);
  t.match(make('--help'), { status: 0, stdout: /^Usage: pnpm new-service NAME/ });

  const [{ services }] = readYaml(join(folder, 'docker-compose.yml'));
  t.match(services['order-items-service'], {
    ...{ build: { args: { APP: 'order-items-service' } }, environment: { PORT: port }, cap_drop: ['ALL'] },
  });

  const check = (program: string, ...args: string[]) => {
    const { status, stdout, stderr } = run(folder, program, ...args);
    t.equal(status, 0, `${program} ${args.join(' ')}: ${stdout}${stderr}`);
  };
  const name = '@latchkey/order-items-service';
  // With what the lockfile says alone, so nothing is resolved, and everything is in the store.
  check('pnpm', 'install', '--offline', '--frozen-lockfile', '--filter', 'latchkey', '--filter', `${name}...`);
  const files = readdirSync(join(folder, 'apps/order-items-service'), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && !entry.parentPath.includes('node_modules'))
    .map(entry => join(entry.parentPath, entry.name).slice(folder.length + 1));
  check(process.execPath, 'scripts/check-files.js', ...files);
  check('node_modules/.bin/biome', 'check', '--vcs-enabled=false', ...files);
  for (const script of ['typecheck', 'build', 'test']) check('pnpm', '--filter', name, script);
  for (const file of files) t.notMatch(file + readFileSync(join(folder, file), 'utf8'), /sample/i, file);
});
