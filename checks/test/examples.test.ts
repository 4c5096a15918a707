import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { createAuthClient, createServiceTokens } from '@latchkey/auth-client';
import { createTestIssuer } from '@latchkey/auth-client/testing';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import getPort from 'get-port';
import t, { type Test } from 'tap';
import { authSettings, call, latchkey, newCredentials, startAuthService, waitFor } from './services.js';

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));
const PYTHON = process.env['PYTHON'] ?? '/usr/bin/python3';
// Go and Java build for too long to be tested each time: EXAMPLES=all, or their names.
const chosen = (process.env['EXAMPLES'] ?? '').split(',');

// No files are left in the repository.
const PLAIN = { PYTHONDONTWRITEBYTECODE: '1' };

type Command = { program: string; args: string[] };
type Example = {
  /** Why it cannot be tested, if it cannot. */
  skip: false | string;
  /** Whether it starts without keys, and responds with 503 until it has some. */
  waitsForKeys?: true;
  /** Builds it where that is needed, and says how it is run on a port. */
  prepare: (folder: string, port: string) => Command;
};

const node: Example = {
  skip: false,
  waitsForKeys: true,
  prepare: () => ({ program: process.execPath, args: ['server.js'] }),
};
const python = (modules: string, args: (port: string) => string[]): Example => ({
  skip: withoutPython(modules),
  waitsForKeys: true,
  prepare: (_folder, port) => ({ program: PYTHON, args: ['-m', ...args(port)] }),
});
const built = (name: string, prepare: Example['prepare']): Example => ({
  skip: chosen.includes('all') || chosen.includes(name) ? false : `set EXAMPLES=${name} to build and test it`,
  prepare,
});
const run = (folder: string, program: string, ...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stdout}${stderr}`);
};

const EXAMPLE: Record<string, Example & { folder?: string }> = {
  'express-jose': node,
  'passport-jwt': node,
  flask: {
    ...python('flask,jwt,cryptography', port => ['flask', '--app', 'flask_app', 'run', '--port', port]),
    folder: 'python',
  },
  fastapi: {
    ...python('fastapi,uvicorn,jwt,cryptography', port => ['uvicorn', 'fastapi_app:app', '--port', port]),
    folder: 'python',
  },
  'the tutorial': {
    ...python('flask,jwt,cryptography', port => ['flask', '--app', 'app', 'run', '--port', port]),
    folder: t.testdir({ 'app.py': readTutorial(), 'tokens.py': readFileSync(join(EXAMPLES, 'python/tokens.py')) }),
  },
  go: built('go', folder => {
    run(folder, 'go', 'build', '-o', 'target/', '.');
    return { program: join(folder, 'target/latchkey-example'), args: [] };
  }),
  'spring-boot': built('spring-boot', folder => {
    run(folder, 'mvn', '-q', '-B', 'package');
    return { program: 'java', args: ['-jar', 'target/latchkey-example-0.1.0.jar'] };
  }),
  nimbus: built('nimbus', folder => {
    run(folder, 'mvn', '-q', '-B', 'compile', 'dependency:copy-dependencies', '-DoutputDirectory=target/lib');
    return { program: 'java', args: ['-cp', 'target/classes:target/lib/*', 'com.example.Server'] };
  }),
};

/** The service at the end of the tutorial. */
function readTutorial(): string {
  const page = readFileSync(new URL('../../docs/tutorial.md', import.meta.url), 'utf8');
  return /^```python\n# app\.py\n(.*?)^```$/ms.exec(page)?.[1] ?? '';
}

function withoutPython(modules: string): false | string {
  const missing = !existsSync(PYTHON) || spawnSync(PYTHON, ['-c', `import ${modules}`]).status !== 0;
  if (missing && process.env['CI']) t.fail(`${PYTHON} lacks one of ${modules}, and in CI it must have them`);
  return missing && `${PYTHON} lacks one of ${modules}`;
}

const headerOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString());
const headed = (header: object) => `${Buffer.from(JSON.stringify(header)).toString('base64url')}.e30.AAAA`;

async function start(t: Test, name: string, env: Record<string, string>): Promise<string> {
  const { prepare, folder = name } = EXAMPLE[name] as (typeof EXAMPLE)[string];
  const port = String(await getPort({ host: '127.0.0.1' }));
  const cwd = resolve(EXAMPLES, folder);
  const { program, args } = prepare(cwd, port);
  const child = spawn(program, args, { cwd, env: { ...process.env, ...PLAIN, ...env, PORT: port }, stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const url = `http://127.0.0.1:${port}`;
  await waitFor(url, () => child.exitCode === null);
  return url;
}

// What an issuer and the gateway before it respond with when something is wrong there.
const OUTAGES: Record<string, (response: ServerResponse) => void> = {
  'an error of the gateway': response => response.writeHead(502).end('<h1>Bad Gateway</h1>'),
  'a page in place of the keys': response => response.end('<h1>Welcome</h1>'),
  'a closed connection': response => response.destroy(),
};

/** Requests with a valid token while the issuer fails in each way. */
async function withoutKeys(t: Test, name: string, token: string): Promise<void> {
  let outage = OUTAGES['a closed connection'] as (response: ServerResponse) => void;
  const issuer = createServer((_request, response) => outage(response)).listen(0, '127.0.0.1');
  await once(issuer, 'listening');
  t.teardown(() => issuer.close());
  const AUTH_ISSUER = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}`;
  const url = await start(t, name, { AUTH_ISSUER });
  for (const [what, respond] of Object.entries(OUTAGES)) {
    outage = respond;
    const { status, headers } = await call(`${url}/mine`, token);
    t.match({ status, wait: headers.get('retry-after') }, { status: 503, wait: '1' }, what);
  }
}

t.test('examples for other stacks', async t => {
  const postgres = await startThrowawayPostgres();
  t.teardown(() => postgres.stop());
  const port = await getPort({ host: '127.0.0.1' });
  const AUTH_ISSUER = `http://127.0.0.1:${port}`;
  const settings = { ...authSettings(), DATABASE_URL: postgres.url, PUBLIC_URL: AUTH_ISSUER, PORT: String(port) };
  await startAuthService(t, settings);
  const { token, user } = await createAuthClient({ baseUrl: AUTH_ISSUER }).signUp(newCredentials());
  t.match(await latchkey(settings, 'clients create latchkey'), { code: 1, stderr: /latchkey stands for/ });
  const { stdout } = await latchkey(settings, 'clients create example --scope revocations:read --json');
  const { clientId: id, clientSecret: secret } = JSON.parse(stdout);
  const tokens = createServiceTokens(createAuthClient({ baseUrl: AUTH_ISSUER }), { id, secret });
  const refused: [what: string, token: string | undefined][] = [
    ['no token', undefined],
    ['what is no token', 'x'],
    ['a changed signature', `${token.slice(0, -4)}AAAA`],
    ['a key of somebody else', createTestIssuer({ issuer: AUTH_ISSUER }).signIn('ada').token],
    ['a token of a service', await tokens.token()],
    ['another algorithm than that of the key', headed({ ...headerOf(token), alg: 'RS256' })],
    ['an algorithm that there is not', headed({ ...headerOf(token), alg: 'none' })],
    [
      'a deep header',
      `${Buffer.from(`{"typ":"at+jwt","x":${'['.repeat(1500)}${']'.repeat(1500)}}`).toString('base64url')}.e30.AAAA`,
    ],
  ];

  for (const [name, { skip, waitsForKeys }] of Object.entries(EXAMPLE)) {
    t.test(name, { skip }, async t => {
      const port = await getPort({ host: '127.0.0.1' });
      const other = createTestIssuer({ issuer: `http://127.0.0.1:${port}` });
      await other.listen({ port });
      t.teardown(() => other.close());
      const [url, ofOther] = await Promise.all([
        start(t, name, { AUTH_ISSUER }),
        start(t, name, { AUTH_ISSUER: other.issuer }),
      ]);
      t.match(await call(`${url}/mine`, token), {
        status: 200,
        body: { message: `Hello ${user.username}`, id: user.id },
      });
      for (const [what, bad] of refused) {
        const { status, headers } = await call(`${url}/mine`, bad);
        t.equal(status, 401, what);
        t.match(headers.get('www-authenticate'), /^Bearer/i, what);
      }
      const statusOf = async (claims: object) => (await call(`${ofOther}/mine`, other.token(claims))).status;
      const nowS = Math.floor(Date.now() / 1000);
      t.equal(await statusOf({ iat: nowS + 5 }), 200, 'a clock that is a little behind');
      t.equal(await statusOf({ aud: 'elsewhere' }), 401, 'a token for another audience');
      t.equal(await statusOf({ exp: nowS - 120, iat: nowS - 720 }), 401, 'an old token');
      t.equal(await statusOf({ sid: undefined }), 401, 'a token without a session');
      await other.close();
      t.equal(await statusOf({}), 200, 'the keys are kept while they cannot be read');
      if (waitsForKeys) await withoutKeys(t, name, token);
    });
  }

  const asService = { ...process.env, ...PLAIN, AUTH_ISSUER, CLIENT_ID: id, CLIENT_SECRET: secret };
  const target = `${AUTH_ISSUER}/auth/revocations`;
  const clients: [name: string, skip: false | string, folder: string, command: () => Command][] = [
    [
      ...(['authlib', withoutPython('authlib,requests'), 'python'] as const),
      () => ({ program: PYTHON, args: ['authlib_client.py', target] }),
    ],
    [
      ...(['x/oauth2', (EXAMPLE['go'] as Example).skip, 'go'] as const),
      () => ({ program: join(EXAMPLES, 'go/target/latchkey-example'), args: [`-client=${target}`] }),
    ],
  ];
  for (const [name, skip, folder, command] of clients) {
    t.test(`${name} requests as a service`, { skip }, async t => {
      const { program, args } = command();
      const child = spawn(program, args, { cwd: join(EXAMPLES, folder), env: asService });
      t.match(await text(child.stdout), /^200 \{"cursor":/);
    });
  }
});
