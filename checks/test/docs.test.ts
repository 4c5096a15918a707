import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import { PROBLEM_REASONS } from '@latchkey/user-schema';
import t from 'tap';
import { authSettings, latchkey } from './services.js';

const CHECK_FILES = fileURLToPath(new URL('../../scripts/check-files.js', import.meta.url));
const ROOT = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, ROOT), 'utf8');
/** As GitHub makes the anchor of a heading. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w -]/g, '')
    .replaceAll(' ', '-');
const FOLDERS: Record<string, string> = {
  auth: 'apps/auth-service',
  notes: 'apps/notes-service',
  client: 'packages/auth-client',
  kit: 'packages/service-kit',
  checks: 'checks',
};

t.test('the ASVS table names each requirement once, in order, and tests that there are', async t => {
  const rows = [...read('docs/security.md').matchAll(/^\| V(\d+\.\d+\.\d+) +\|(.*)\|$/gm)];
  const places = rows.map(([, id = '']) => id.split('.').reduce((place, part) => place * 1000 + Number(part), 0));
  t.ok(rows.length > 150);
  t.same(
    places,
    [...new Set(places)].sort((a, b) => a - b),
  );
  const named = rows.flatMap(([, id, row = '']) => {
    t.match(row, /^ [123] +\| (yes|partly|no|n\/a) +\|/, `${id}`);
    const tests = [...row.matchAll(/`(\w+)\/([\w/-]+)` “([^”]+)”/g)];
    t.equal(row.split('“').length - 1, tests.length, `${id}: every title has its file`);
    return tests;
  });
  t.ok(named.length > 100);
  for (const [all, folder = '', file, title] of named) {
    // Stories that several test files tell are in a file of their own.
    const source = read(`${FOLDERS[folder]}/test/${file?.includes('/') ? file : `${file}.test`}.ts`);
    t.ok(source.includes(`'${title}'`), all);
  }
});

t.test('the page of the HTTP API names every reason of a fault', async t => {
  const [, table = ''] = read('docs/http-api.md').split('| reason ');
  const named = [...(table.split('\n\n')[0]?.matchAll(/`(\w+)`/g) ?? [])].map(([, reason]) => reason);
  t.same(named.sort(), [...PROBLEM_REASONS].sort());
});

t.test('the commands of the documents are scripts, and none that pnpm has itself', async t => {
  const { scripts } = JSON.parse(read('package.json'));
  const pages = ['README.md', 'CONTRIBUTING.md', 'docs/index.md', 'docs/new-service.md', 'docs/operating.md'];
  const commands = pages.flatMap(page =>
    [...read(page).matchAll(/npx -y pnpm@[\d.]+ (?:-s )?([a-z][\w:-]*)/g)].map(([, name = '']) => name),
  );
  t.ok(commands.length > 20);
  // pnpm passes these to npm, before it looks for a script.
  const OF_NPM = ['access', 'bugs', 'docs', 'edit', 'info', 'owner', 'ping', 'pkg', 'repo', 'search', 'token', 'view'];
  for (const name of new Set(commands)) {
    t.ok(name === 'install' || name in scripts, name);
    t.notOk(OF_NPM.includes(name), `${name} is a command of npm`);
  }
});

t.test('links between the documents lead to files and headings that exist', async t => {
  const pages = [
    ...['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'deploy/kubernetes/README.md', 'examples/README.md'],
    ...readdirSync(new URL('docs', ROOT), { recursive: true, encoding: 'utf8' })
      .filter(name => name.endsWith('.md') && !name.startsWith('node_modules'))
      .map(name => `docs/${name}`),
  ];
  for (const page of pages) {
    for (const [link, target = '', anchor] of read(page).matchAll(/\]\(([^)#:]*)(?:#([^)]+))?\)/g)) {
      const url = new URL(target, new URL(page, ROOT));
      t.ok(existsSync(url), `${page}: ${link}`);
      if (anchor === undefined) continue;
      const headings = [...readFileSync(target === '' ? new URL(page, ROOT) : url, 'utf8').matchAll(/^#+ (.*)$/gm)];
      t.ok(headings.map(([, heading = '']) => anchorOf(heading)).includes(anchor), `${page}: ${link}`);
    }
  }
});

t.test('every page has one place in the site', async t => {
  const pages = readdirSync(new URL('docs', ROOT), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.md') && name !== 'index.md' && !name.startsWith('node_modules'))
    .map(name => `/${name.replace(/\.md$/, '')}`);
  const [, sidebar = ''] = /PAGES[^=]*= (.*?)\n\];/s.exec(read('docs/.vitepress/config.ts')) ?? [];
  const placed = [...sidebar.matchAll(/link: '([^']+)'/g)].map(([, link]) => link);
  t.same(placed.toSorted(), pages.toSorted());
});

t.test('the files on the path of a request exist', async t => {
  const sources = ['apps/auth-service/src', 'packages/service-kit/src', 'packages/user-schema/src'].flatMap(folder =>
    readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' }).map(file => `${folder}/${file}`),
  );
  const path =
    read('docs/design.md')
      .split(/^## /m)
      .find(section => section.startsWith('The path of a request')) ?? '';
  const named = [...path.matchAll(/`([\w/-]+\.ts)`/g)].map(([, file = '']) => file.replace(/^kit\//, ''));
  t.ok(named.length > 50);
  for (const file of named)
    t.ok(
      sources.some(source => source.endsWith(`/${file}`)),
      file,
    );
});

t.test('lint refuses tracked files that belong to nothing', async t => {
  const check = (...files: string[]) => spawnSync(process.execPath, [CHECK_FILES, ...files], { encoding: 'utf8' });
  const good = ['README.md', 'apps/auth-service/src/app.ts', 'apps/auth-service/migrations/001_users.sql', 'docs/a.md'];
  good.push('packages/auth-client/CHANGELOG.md', '.changeset/brave-cats-sing.md');
  t.match(check(...good), { status: 0, stderr: '' });
  const strays = [
    ...[
      '-',
      'apps/auth-service/-',
      'nohup.out',
      'core',
      'npm-debug.log',
      'README.md.orig',
      'dump.sql',
      'deploy/a.json',
    ],
    ...['apps/auth-service/src/app.ts.orig', 'apps/auth-service/src/core', 'apps/auth-service/scratch.ts', 'apps/a.ts'],
    ...['apps/auth-service/test/users.ndjson', 'docs/notes.txt', 'packages/auth-client/nohup.out', 'new-folder/a.ts'],
  ];
  const { status, stderr } = check(...good, ...strays);
  t.equal(status, 1);
  for (const stray of strays) t.match(stderr, `${stray} belongs to nothing. `);
  t.equal(stderr.trim().split('\n').length, strays.length);
});

t.test('the pages of the reference are what the service says of itself', async t => {
  const postgres = await startThrowawayPostgres();
  t.teardown(() => postgres.stop());
  // With all operations, also those that need a mail server in production.
  const settings = { ...authSettings(), NODE_ENV: 'development', DATABASE_URL: postgres.url };
  for (const page of ['api', 'commands', 'events', 'metrics', 'problems', 'settings']) {
    const { stdout } = await latchkey(settings, `reference ${page}`);
    t.equal(read(`docs/${page}.md`), stdout, `make it with: latchkey reference ${page} > docs/${page}.md`);
  }
});
