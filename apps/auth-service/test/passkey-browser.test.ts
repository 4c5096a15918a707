import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { newCredentials, type Service, segment, startService } from './helper.js';

const CHROMIUM = '/usr/bin/chromium';
const isInstalled = existsSync(CHROMIUM);
if (!isInstalled && process.env['CI']) t.fail('chromium is not installed, and in CI it must be');
const skip = isInstalled ? false : 'chromium is not installed';

// What a page does with the JSON of the service; no library is needed.
const PAGE = `<!doctype html><title>Passkeys</title><script>
  async function send(path, body, token) {
    const headers = { ...(body && { 'content-type': 'application/json' }), ...(token && { authorization: 'Bearer ' + token }) };
    const response = await fetch(path, { method: 'POST', headers, ...(body && { body: JSON.stringify(body) }) });
    return response.json();
  }
  async function create(json) {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(json);
    return (await navigator.credentials.create({ publicKey })).toJSON();
  }
  async function use(json) {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(json);
    return (await navigator.credentials.get({ publicKey })).toJSON();
  }
  async function signUp(about) {
    return send('/auth/sign-up/passkey', { response: await create(await send('/auth/sign-up/passkey/options', about)) });
  }
  async function add(token) {
    return send('/auth/passkeys', { response: await create(await send('/auth/passkeys/options', undefined, token)) }, token);
  }
  async function signIn() {
    return send('/auth/sign-in/passkey', { response: await use(await send('/auth/sign-in/passkey/options', {})) });
  }
  async function secondFactor(credentials) {
    const { challenge } = await send('/auth/sign-in', credentials);
    const passkey = await use(await send('/auth/sign-in/passkey/options', { challenge }));
    return send('/auth/sign-in/second-factor', { challenge, passkey });
  }
  async function stepUp(token) {
    const passkey = await use(await send('/auth/step-up/passkey/options', undefined, token));
    return send('/auth/step-up', { passkey }, token);
  }
</script>`;

let browser: Browser;
t.before(async () => {
  if (!isInstalled) return;
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-background-networking'],
  });
  t.teardown(() => browser.close());
});

/** A page of the service's own origin, in a browser whose user agrees to everything. */
async function openPage(t: Test, { base }: Service) {
  const origin = base.replace('127.0.0.1', 'localhost');
  const page = await browser.newPage();
  t.teardown(() => page.close());
  await page.route(`${origin}/`, route => route.fulfill({ contentType: 'text/html', body: PAGE }));
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  const options = {
    protocol: 'ctap2',
    transport: 'internal',
    hasResidentKey: true,
    hasUserVerification: true,
  } as const;
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: { ...options, isUserVerified: true, automaticPresenceSimulation: true },
  });
  await page.goto(`${origin}/`);
  const verifyUser = (isUserVerified: boolean) =>
    devtools.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified });
  return { page, verifyUser };
}

/** Calls a function of the page. */
const run = (page: Page, name: string, argument: unknown = null): Promise<any> =>
  page.evaluate(`${name}(${JSON.stringify(argument)})`);

const startLocal = (t: Test) =>
  startService(t, { passkeys: { rpId: 'localhost', rpName: 'Latchkey', origins: ['http://localhost:*'] } });

t.test('a browser registers a passkey, signs in without a username, and steps up', { skip }, async t => {
  const service = await startLocal(t);
  const { page } = await openPage(t, service);
  const credentials = newCredentials();
  const { token, user } = await run(page, 'send.bind(null, "/auth/sign-up")', credentials);
  const added = await run(page, 'add', token);
  t.match(added, { id: String, name: 'Passkey', recoveryCodes: { length: 10 } });

  const signedIn = await run(page, 'signIn');
  t.same(signedIn.user, user);
  t.match(segment(signedIn.token, 1), { acr: 'aal2' });
  t.match(segment((await run(page, 'secondFactor', credentials)).token, 1), { acr: 'aal2', amr: /pwd/ });

  await service.sql(`UPDATE auth.sessions SET auth_time = now() - interval '1 hour'`);
  const stepped = await run(page, 'stepUp', signedIn.token);
  t.same(stepped.user, user);
  t.equal(segment(stepped.token, 1).sid, segment(signedIn.token, 1).sid);
  t.ok(segment(stepped.token, 1).auth_time > Date.now() / 1000 - 60);

  await t.rejects(run(page, 'add', stepped.token), /InvalidStateError/, 'the browser has a passkey of the account');
  const { rows } = await service.sql('SELECT sign_count::int AS count, transports FROM auth.passkeys');
  t.match(rows, [{ count: Number, transports: ['internal'] }]);
});

t.test('a browser signs up with a passkey alone', { skip }, async t => {
  const service = await startLocal(t);
  const { page, verifyUser } = await openPage(t, service);
  const { username } = newCredentials();
  const { user, token } = await run(page, 'signUp', { username });
  t.equal(user.username, username);
  t.match(segment(token, 1), { acr: 'aal2' });
  t.same((await run(page, 'signIn')).user, user);
  await verifyUser(false);
  await t.rejects(run(page, 'signIn'), /NotAllowedError/, 'the browser verifies its user');
});
