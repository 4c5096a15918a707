import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { readYaml } from './kustomization.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COPIED =
  /^(\.taprc|biome\.json|tsconfig\.base\.json|docker-compose\.yml|scripts\/|apps\/[\w-]+\/(package\.json|src\/config))/;

/** Copies what the command and the new service need of the repository. */
function copyRepository(t: Test): string {
  const folder = t.testdir();
  const { stdout } = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  for (const file of stdout.split('\n').filter(file => COPIED.test(file) && existsSync(join(ROOT, file)))) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(join(ROOT, file), join(folder, file));
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

/** Without what tap gives to every process that a test starts, by which that would take itself for a part of this test. */
const run = (cwd: string, program: string, ...args: string[]) =>
  spawnSync('env', ['-i', `PATH=${process.env['PATH']}`, program, ...args], { cwd, encoding: 'utf8' });

t.test('a new service is linted, type-checked and tested at once', async t => {
  const folder = copyRepository(t);
  const make = (...args: string[]) => run(folder, process.execPath, 'scripts/new-service.js', ...args);
  t.match(make('order-items'), { status: 0, stderr: '', stdout: /Made apps\/order-items-service.* port 3010/ });
  t.match(make('order-items'), { status: 2, stderr: /apps\/order-items-service exists already/ });
  t.match(make('invoices'), { status: 0, stdout: /port 3011/ }, 'another one has another port');
  for (const name of ['', 'Orders', 'orders-service', '../orders', 'or ders', 'x'.repeat(31), '--port'])
    t.match(make(name), { status: 2, stdout: '' }, name);
  t.match(make('--help'), { status: 0, stdout: /^Usage: pnpm new-service NAME/ });

  const [{ services }] = readYaml(join(folder, 'docker-compose.yml'));
  t.match(services['order-items-service'], {
    ...{ build: { args: { APP: 'order-items-service' } }, environment: { PORT: 3010 }, cap_drop: ['ALL'] },
  });

  const service = join(folder, 'apps/order-items-service');
  // Its dependencies are among those of notes-service; pnpm would link them so.
  symlinkSync(join(ROOT, 'apps/notes-service/node_modules'), join(service, 'node_modules'));
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(service, 'package.json'), 'utf8'));
  for (const name of Object.keys({ ...dependencies, ...devDependencies }))
    t.ok(existsSync(join(service, 'node_modules', name)), name);
  const check = (what: string, program: string, ...args: string[]) => {
    const { status, stdout, stderr } = run(service, program, ...args);
    t.equal(status, 0, `${what}: ${stdout}${stderr}`);
  };
  check('lint', join(ROOT, 'node_modules/.bin/biome'), 'check', '--vcs-enabled=false', '.');
  check('types', join(service, 'node_modules/.bin/tsc'));
  check('build', join(service, 'node_modules/.bin/tsc'), '-p', 'tsconfig.build.json');
  check('bundle', process.execPath, '../../scripts/bundle.js', 'server');
  check('tests', process.execPath, '../../scripts/build-tests.js');
  check('tests', join(service, 'node_modules/.bin/tap'));
  t.notMatch(readFileSync(join(service, 'src/app.ts'), 'utf8'), /sample/i);
});
