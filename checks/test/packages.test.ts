import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
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
  const folder = t.testdir({
    'package.json': JSON.stringify({ name: 'outside', private: true, type: 'module' }),
    'main.ts': PROGRAM,
  });
  const run = (cwd: string, program: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync('env', ['-u', 'NODE_OPTIONS', program, ...args], {
      cwd,
      encoding: 'utf8',
    });
    t.equal(status, 0, `${program} ${args[0]}: ${stdout}${stderr}`);
    return stdout;
  };
  const archives = ['user-schema', 'auth-client'].map(name => {
    const cwd = join(ROOT, 'packages', name);
    run(cwd, 'pnpm', 'pack', '--pack-destination', folder);
    const { version, private: isPrivate, publishConfig } = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8'));
    t.match(
      { isPrivate, publishConfig },
      { isPrivate: undefined, publishConfig: { access: 'public', provenance: true } },
    );
    return `./latchkey-${name}-${version}.tgz`;
  });
  const others = ['fastify', '@types/node'].map(name => `${name}@${catalog[name]}`);
  run(folder, 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', '--silent', ...archives, ...others);
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: join(ROOT, 'tsconfig.base.json'), compilerOptions: { noEmit: false } }),
  );
  run(folder, join(ROOT, 'node_modules/.bin/tsc'), '-p', '.');
  t.equal(run(folder, process.execPath, 'main.js'), 'ada ada ada\n');
});
