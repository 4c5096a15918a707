import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { createAuthClient } from '@latchkey/auth-client';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import { build } from 'esbuild';
import { type Browser, chromium } from 'playwright-core';
import t, { type Test } from 'tap';
import { authSettings, newCredentials, startAuthService } from './services.js';

const CHROMIUM = '/usr/bin/chromium';
const isInstalled = existsSync(CHROMIUM);
if (!isInstalled && process.env['CI']) t.fail('chromium is not installed, and in CI it must be');
const skip = isInstalled ? false : 'chromium is not installed';

const PAGE = '<!doctype html><title>Page</title><div id="root"></div><script type="module" src="/main.js"></script>';
const DOCUMENT = readFileSync(new URL('../../docs/browser.md', import.meta.url), 'utf8');

/** Writes the files that the document shows, and returns the folder. */
function writeFiles(t: Test): string {
  const folder = t.testdir();
  for (const [, path = '', code = ''] of DOCUMENT.matchAll(/^```tsx?\n\/\/ (\S+)\n(.*?)^```$/gms)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), code);
  }
  return folder;
}

async function bundle(folder: string, authUrl: string, alias: Record<string, string> = {}): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(folder, 'src/main.tsx')],
    ...{ bundle: true, write: false, minify: true, format: 'esm', platform: 'browser', jsx: 'automatic' },
    define: { 'import.meta.env.VITE_AUTH_URL': JSON.stringify(authUrl), 'process.env.NODE_ENV': '"production"' },
    alias,
  });
  return (outputFiles[0] as { text: string }).text;
}

/** Bundles code for a page. */
async function bundleOf(code: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: import.meta.dirname, loader: 'ts' },
    ...{ bundle: true, write: false, minify: true, format: 'esm', platform: 'browser' },
  });
  return (outputFiles[0] as { text: string }).text;
}

/** Serves a page and its script from a port of its own. */
async function serve(t: Test, script: string): Promise<string> {
  const server = createServer((request, response) => {
    const isScript = request.url === '/main.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : PAGE);
  }).listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  t.teardown(() => server.close());
  return `http://localhost:${(server.address() as AddressInfo).port}/`;
}

t.test('the page of the document signs people in and out in two tabs, with React 19 and 18', { skip }, async t => {
  const postgres = await startThrowawayPostgres();
  t.teardown(() => postgres.stop());
  const settings = { ...authSettings(), DATABASE_URL: postgres.url, NODE_ENV: 'development' };
  const { url } = await startAuthService(t, settings);
  const authUrl = url.replace('127.0.0.1', 'localhost');
  const credentials = newCredentials();
  await createAuthClient({ baseUrl: url }).signUp(credentials);
  const browser: Browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-background-networking'],
  });
  t.teardown(() => browser.close());
  const folder = writeFiles(t);

  for (const [version, alias] of Object.entries({
    19: {},
    18: { react: 'react-18', 'react-dom': 'react-dom-18' },
  })) {
    const page = await serve(t, await bundle(folder, authUrl, alias));
    const context = await browser.newContext();
    const [here, there] = [await context.newPage(), await context.newPage()];
    await Promise.all([here.goto(page), there.goto(page)]);
    const submit = async (password: string) => {
      await here.fill('[name=username]', credentials.username);
      await here.fill('[name=password]', password);
      await here.click('text=Sign in');
    };
    await submit('wrong password');
    t.match(await here.textContent('[role=alert]'), /Invalid credentials/, `${version}: the response can be read`);
    await submit(credentials.password);
    for (const tab of [here, there])
      t.match(await tab.textContent('p:has(button)'), `Hello ${credentials.username}`, `${version}: both tabs know`);
    await there.reload();
    await there.click('text=Sign out');
    for (const tab of [here, there]) t.ok(await tab.waitForSelector('form'), `${version}: both tabs know`);
    t.equal(await here.evaluate('localStorage.length'), 0);
    await context.close();
  }
});

t.test('no markup, frame or file makes session.fetch send the token elsewhere', { skip }, async t => {
  const script = await bundleOf(`
    import { createAuthClient, createUserSession } from '@latchkey/auth-client';
    const user = { id: '018f0000-0000-7000-8000-000000000001', username: 'ada', email: null, createdAt: '2024-05-06T07:08:09.000Z' };
    const [renewAt, expiresAt] = [Date.now() + 600_000, Date.now() + 900_000];
    const store = { load: () => ({ token: 'secret', refreshToken: 'r', renewAt, expiresAt, user }), save: () => undefined };
    const auth = createAuthClient({ baseUrl: 'http://auth.test' });
    globalThis.session = createUserSession(auth, { store, origins: ['http://api.test'] });
  `);
  const browser: Browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  t.teardown(() => browser.close());
  const context = await browser.newContext();
  const sent: string[] = [];
  await context.route(/^http:\/\/\w+\.test\//, async route => {
    const request = route.request();
    if (request.headers()['authorization']) sent.push(request.url());
    await route.fulfill({
      body: 'fine',
      headers: { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*' },
    });
  });
  const file = join(t.testdir({ 'page.html': PAGE }), 'page.html');
  const open = async (url: string, html: string) => {
    const page = await context.newPage();
    await page.goto(url);
    if (html !== '') await page.setContent(html);
    await page.addScriptTag({ content: script, type: 'module' });
    await page.waitForFunction('globalThis.session');
    return (expression: string) =>
      page.evaluate(`${expression}.then(({ status }) => status, error => error.message)`) as Promise<string | number>;
  };

  const led = await open('http://app.test/', '<base href="http://evil.test/">');
  t.match(await led(`session.fetch('/notes')`), /does not send the token to http:\/\/evil\.test:/);
  const inFrame = await open('http://app.test/', '<iframe></iframe>');
  const foreign = (url: string) =>
    inFrame(`session.fetch(new frames[0].Request('${url}', { method: 'POST', body: '1' }))`);
  t.match(await foreign('http://evil.test/'), /does not send the token to http:\/\/evil\.test:/);
  t.equal(await foreign('http://api.test/'), 200);
  const onDisk = await open(`file://${file}`, '');
  t.match(await onDisk(`session.fetch('data:text/plain,1')`), /does not send the token to null:/);
  t.equal(await onDisk(`session.fetch('http://api.test/')`), 200);
  t.same(sent, ['http://api.test/', 'http://api.test/']);
});

t.test('the client is small, and says in a browser what is for services', async t => {
  const page = await bundleOf(
    `import { createAuthClient, createLocalStorageStore, createUserSession } from '@latchkey/auth-client';
     globalThis.session = createUserSession(createAuthClient({ baseUrl: '/' }), { store: createLocalStorageStore() });`,
  );
  const [, promised] = /is (\d+) kB of JavaScript, gzipped/.exec(DOCUMENT) ?? [];
  const kilobytes = gzipSync(page).length / 1000;
  t.ok(kilobytes <= Number(promised), `${kilobytes} kB`);

  for (const [name, from] of [
    ['createVerifier', '@latchkey/auth-client'],
    ['authGuard', '@latchkey/auth-client/fastify'],
    ['createTestIssuer', '@latchkey/auth-client/testing'],
  ]) {
    const code = await bundleOf(`import { ${name} } from '${from}'; export default () => ${name}({});`);
    const { default: call } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
    t.throws(call, { message: new RegExp(`^${name} .* is for services, and this is a browser`) });
  }
});
