import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { catalog } = parse(readFileSync(join(ROOT, 'pnpm-workspace.yaml'), 'utf8'));

const PROGRAM = `
import { createAuthClient, createUserSession, createVerifier, type User } from '@latchkey/auth-client';
import { authGuard } from '@latchkey/auth-client/fastify';
import { createTestIssuer } from '@latchkey/auth-client/testing';
import { fastify } from 'fastify';

const auth = createTestIssuer();
const { issuer, audience, fetch } = auth;
const session = createUserSession(createAuthClient({ baseUrl: issuer, fetch }), { fetch });
const user: User = await session.signUp({ username: 'ada', password: 'open sesame 42' });
const verifier = createVerifier({ issuer, audience, fetch });
const { username } = await verifier.verify(await session.token());
verifier.close();
const app = fastify();
await app.register(authGuard, { issuer, audience, fetch });
app.get('/', { onRequest: app.authenticate }, async request => request.user.username);
const { body } = await app.inject({ url: '/', headers: { authorization: \`Bearer \${await session.token()}\` } });
await app.close();
console.log(user.username, username, body);
`;

t.test('packed packages install and work outside of the workspace', async t => {
  // Where nothing is installed above.
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'outside', private: true, type: 'module' }));
  writeFileSync(join(folder, 'main.ts'), PROGRAM);
  const run = (cwd: string, program: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync('env', ['-u', 'NODE_OPTIONS', program, ...args], {
      cwd,
      encoding: 'utf8',
    });
    t.equal(status, 0, `${program} ${args[0]}: ${stdout}${stderr}`);
    return stdout;
  };
  const archives = ['user-schema', 'auth-client', 'service-kit', 'tracing'].map(name => {
    const cwd = join(ROOT, 'packages', name);
    run(cwd, 'pnpm', 'pack', '--pack-destination', folder);
    const { version, private: isPrivate, publishConfig } = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8'));
    t.match(
      { isPrivate, publishConfig },
      { isPrivate: undefined, publishConfig: { access: 'public', provenance: true } },
    );
    return `./latchkey-${name}-${version}.tgz`;
  });
  const others = ['fastify', 'pino', '@fastify/type-provider-typebox', '@sinclair/typebox', '@types/node', '@types/pg'];
  const versions = others.map(name => `${name}@${catalog[name]}`);
  const quietly = ['--prefer-offline', '--no-audit', '--no-fund', '--silent'];
  run(folder, 'npm', 'install', ...quietly, '--omit=optional', ...archives, ...versions);
  cpSync(join(ROOT, 'scripts/new-service/template/src'), join(folder, 'service'), { recursive: true });
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: join(ROOT, 'tsconfig.base.json'), compilerOptions: { noEmit: false } }),
  );
  run(folder, join(ROOT, 'node_modules/.bin/tsc'), '-p', '.');
  t.equal(run(folder, process.execPath, 'main.js'), 'ada ada ada\n');

  // On a terminal, where the log is for people if pino-pretty is installed, which it is not.
  writeFileSync(join(folder, 'terminal.js'), 'process.stdout.isTTY = true;');
  const service = spawn(
    'env',
    ['-i', `PATH=${process.env['PATH']}`, 'PORT=0', process.execPath, '--import=./terminal.js', 'service/server.js'],
    { cwd: folder },
  );
  service.stdout.once('data', () => service.kill());
  const said = await Promise.all([text(service.stdout), text(service.stderr)]);
  t.match(said, [/Server listening at/, /^$/]);

  const program = `await (await import('@latchkey/service-kit')).provideDatabase({ dataDir: '.data' })`;
  const { stderr } = spawnSync('env', ['-i', process.execPath, '--input-type=module', '--eval', program], {
    cwd: folder,
    encoding: 'utf8',
  });
  t.match(stderr, 'Set DATABASE_URL, or add @latchkey/embedded-postgres to the devDependencies');
});
