import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startTracing } from '@latchkey/tracing';
import { startCollector } from '@latchkey/tracing/testing';
import getPort from 'get-port';
import pg from 'pg';
import t from 'tap';
import { newClientSecret } from '#src/config/secrets.js';
import { codeOf, wrongCodeOf } from './authenticator-app.js';
import {
  type Answer,
  call,
  createEmptyDatabase,
  get,
  newCredentials,
  serverUrl,
  startService,
  startWire,
  testConfig,
  until,
} from './helper.js';

const MARKER = 'harmless-marker';

/** Makes a database that belongs to a role of its own, with a password. */
async function createOwnedDatabase(password: string): Promise<string> {
  const url = new URL(await createEmptyDatabase());
  const name = url.pathname.slice(1);
  const client = new pg.Client(serverUrl());
  await client.connect();
  await client.query(`CREATE ROLE "${name}" LOGIN PASSWORD '${password}'`);
  await client.query(`ALTER DATABASE "${name}" OWNER TO "${name}"`);
  await client.end();
  return Object.assign(url, { username: name, password }).href;
}

t.test('no secret reaches the log, an error, the metrics or a trace', async t => {
  const collector = await startCollector();
  t.teardown(() => collector.close());
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = collector.url;
  process.env['OTEL_RESOURCE_ATTRIBUTES'] = `marker=${MARKER}`;
  // None must be dropped.
  process.env['OTEL_BSP_MAX_QUEUE_SIZE'] = '100000';
  await startTracing('auth-service');

  const breachList = createServer((_request, response) => response.writeHead(503).end()).listen(0, '127.0.0.1');
  t.teardown(() => breachList.close());
  await once(breachList, 'listening');
  const { port: listPort } = breachList.address() as AddressInfo;

  let made = 0;
  const secrets = new Set<string>();
  /** Makes a text that must not be seen again. */
  const canary = () => {
    const secret = `canary-${made++}-${randomBytes(6).toString('hex')}`;
    secrets.add(secret);
    return secret;
  };
  const keep = (...found: string[]) => {
    for (const secret of found) secrets.add(secret);
  };

  const wire = await startWire(t, await createOwnedDatabase(canary()));
  const metricsPort = await getPort({ host: '127.0.0.1' });
  const authSecret = randomBytes(32);
  keep(authSecret.toString('base64'), authSecret.toString('hex'));
  const client = { id: 'canary-client', secret: newClientSecret(), scopes: ['revocations:read'] };
  keep(client.secret);
  const { throttle } = await testConfig({ databaseUrl: wire.url });
  const plenty = { quota: 10_000, windowS: 60 };
  const { app, base, logs } = await startService(t, {
    ...{ logLevel: 'trace', databaseUrl: wire.url, metricsPort, firstClient: client, bcryptCost: 4 },
    ...{ authSecrets: [{ id: 'one', key: authSecret }], passwordBreachUrl: `http://127.0.0.1:${listPort}` },
    dataDir: t.testdir(),
    throttle: { ...throttle, enabled: true, account: plenty, pair: plenty, address: plenty, signUp: plenty },
  });
  const failures: Answer[] = [];
  const send = async (method: string, path: string, headers: Record<string, string>, body?: string | object) => {
    const text = typeof body === 'object' ? JSON.stringify(body) : body;
    const type = typeof body === 'object' ? { 'content-type': 'application/json' } : undefined;
    const init = { method, headers: { 'user-agent': MARKER, ...type, ...headers } };
    const answer = await call(base + path, text === undefined || method === 'GET' ? init : { ...init, body: text });
    if (answer.status >= 400) failures.push(answer);
    return answer;
  };
  // Six digits may be part of other numbers.
  const codes = new Set<string>();
  // Their response is an error, which tells them.
  const challenges = new Set<string>();
  const shown = (code: string) => {
    codes.add(code);
    return code;
  };
  const unhyphenated = (code: string) => code.replaceAll('-', '');
  const form = (fields: Record<string, string>) => new URLSearchParams(fields).toString();
  const asForm = { 'content-type': 'application/x-www-form-urlencoded' };
  const basic = (id: string, secret: string) => {
    const value = Buffer.from(`${id}:${secret}`).toString('base64');
    keep(value);
    return { authorization: `Basic ${value}` };
  };
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const keepTokens = ({ token, refreshToken }: { token: string; refreshToken: string }) =>
    keep(token, token.split('.')[2] as string, refreshToken, refreshToken.split('.').at(-1) as string);

  /** Adds an authenticator app, and signs in and steps up with it. */
  const proveBetter = async (
    does: (...request: Parameters<typeof send>) => Promise<any>,
    token: string,
    credentials: object,
  ) => {
    const keepCodes = ({ recoveryCodes = [] as string[] }) =>
      keep(...recoveryCodes, ...recoveryCodes.map(unhyphenated));
    const { secret = 'A'.repeat(32), uri = canary() } = await does('POST', '/auth/totp', bearer(token));
    keep(secret, uri);
    await does('POST', '/auth/totp/confirm', bearer(token), { totp: shown(wrongCodeOf(secret)) });
    const confirmed = await does('POST', '/auth/totp/confirm', bearer(token), { totp: shown(codeOf(secret)) });
    keepCodes(confirmed);
    const { challenge = canary() } = await does('POST', '/auth/sign-in', {}, credentials);
    challenges.add(challenge);
    const complete = (proof: object) => does('POST', '/auth/sign-in/second-factor', {}, { challenge, ...proof });
    await complete({ totp: canary() });
    await complete({ totp: shown(wrongCodeOf(secret)) });
    await complete({ recoveryCode: canary() });
    const [first = canary(), second = canary()] = confirmed.recoveryCodes ?? [];
    const { token: strong = canary() } = await complete({ recoveryCode: first });
    await complete({ totp: shown(codeOf(secret, 1)) });
    await does('POST', '/auth/step-up', bearer(strong), { recoveryCode: second });
    await does('POST', '/auth/step-up', bearer(strong), { totp: shown(codeOf(secret, 1)) });
    await does('POST', '/auth/step-up', bearer(strong), { password: canary() });
    keepCodes(await does('POST', '/auth/recovery-codes', bearer(strong)));
    await does('DELETE', '/auth/totp', bearer(strong));
  };

  /** What everybody does, with everything that is asked of the service. */
  const story = async () => {
    const password = canary();
    const digest = createHash('sha1').update(password).digest('hex').toUpperCase();
    keep(`range/${digest.slice(0, 5)}`, digest);
    const { username } = newCredentials();
    const statuses: number[] = [];
    const does = async (...request: Parameters<typeof send>) => {
      const answer = await send(...request);
      statuses.push(answer.status);
      if (answer.body?.refreshToken) keepTokens(answer.body);
      if (answer.body?.access_token) keep(answer.body.access_token, answer.body.access_token.split('.')[2]);
      return answer.body ?? {};
    };
    const idempotent = { 'idempotency-key': canary() };
    const { token = canary(), refreshToken = canary() } = await does('POST', '/auth/sign-up', idempotent, {
      ...{ username, password },
    });
    await does('POST', '/auth/sign-up', idempotent, { username, password: canary() });
    await does('POST', '/auth/sign-up', {}, { username, password: canary() });
    await does('POST', '/auth/sign-in', {}, { username, password });
    await does('POST', '/auth/sign-in', {}, { username, password: canary() });
    await does('POST', '/auth/sign-in', {}, { username: newCredentials().username, password: canary() });
    await does('POST', '/auth/refresh', {}, { refreshToken });
    for (const path of ['/auth/me', '/auth/sessions', '/auth/verify']) await does('GET', path, bearer(token));
    await does('PUT', '/auth/password', bearer(token), { currentPassword: canary(), newPassword: canary() });
    const newPassword = canary();
    await does('PUT', '/auth/password', bearer(token), { currentPassword: password, newPassword });
    const own = basic(client.id, client.secret);
    const grant = { grant_type: 'client_credentials' };
    const { access_token = canary() } = await does('POST', '/oauth/token', { ...asForm, ...own }, form(grant));
    await does('POST', '/oauth/token', asForm, form({ ...grant, client_id: client.id, client_secret: client.secret }));
    await does('POST', '/oauth/token', { ...asForm, ...basic(client.id, canary()) }, form(grant));
    await does('POST', '/oauth/token', asForm, form({ ...grant, client_id: client.id, client_secret: canary() }));
    for (const kind of [token, refreshToken, access_token, canary()]) {
      await does('POST', '/oauth/introspect', { ...asForm, ...own }, form({ token: kind }));
    }
    await does('GET', '/auth/revocations', bearer(access_token));
    await does('GET', `/auth/revocations?after=${canary()}`, bearer(access_token));
    await does('DELETE', `/auth/sessions/${canary()}`, bearer(token));
    await does('POST', '/oauth/revoke', { ...asForm, ...own }, form({ token: refreshToken }));
    const again = await does('POST', '/auth/sign-in', {}, { username, password: newPassword });
    await proveBetter(does, again.token ?? canary(), { username, password: newPassword });
    await does('POST', '/auth/sign-out', bearer(again.token ?? canary()), { scope: 'all' });
    for (const path of ['/livez', '/readyz', '/.well-known/jwks.json']) await does('GET', path, {});
    const values = { username, link: `https://app.example.com/#token=${canary()}`, expiresAt: '2026-11-28T09:40:00Z' };
    const mail = { template: 'reset-password', to: `${canary()}@example.org`, values } as const;
    // The database may be away.
    await app.mail.queue(app.pg, mail).catch(() => undefined);
    return statuses;
  };

  /** Secrets where they do not belong, on every route; but names of members, which an answer tells their sender. */
  const oddities = async () => {
    const { paths } = app.swagger() as { paths: Record<string, Record<string, unknown>> };
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map(method => [method.toUpperCase(), path.replace(/\{\w+\}/g, canary)] as const),
    );
    routes.push(['GET', '/docs'], ['GET', '/openapi.json']);
    for (const [method, path] of routes) {
      const odd = () => ({
        authorization: `Bearer ${canary()}.${canary()}.${canary()}`,
        cookie: `session=${canary()}`,
      });
      await send(method, `${path}?token=${canary()}`, odd(), {});
      await send(method, `${path}/${canary()}`, { 'x-api-key': canary(), 'idempotency-key': canary() }, {});
      await send(method, `/${canary()}${path}`, basic(canary(), canary()), {});
      await send(method, path, { 'x-request-id': canary(), traceparent: `00-${canary()}-01`, tracestate: canary() });
      await send(
        method,
        path,
        {},
        { username: [canary()], password: { in: canary() }, refreshToken: 7, [MARKER]: canary() },
      );
      for (const headers of [asForm, { 'content-type': 'application/json' }]) {
        await send(method, path, headers, `{"password":"${canary()}" oops`);
        await send(method, path, headers, `{"password":"${canary()}","password":"${canary()}"}`);
        await send(method, path, headers, form({ token: canary(), client_secret: canary(), grant_type: canary() }));
        await send(method, path, headers, `"${canary()}${'x'.repeat(20_000)}"`);
      }
      await send(method, path, { 'content-type': `text/${canary()}` }, canary());
      await send(method, `${path}/%zz${canary()}`, {});
      await send('PATCH', path, {}, { password: canary() });
    }
  };

  const fine = await story();
  for (const status of [200, 201, 204, 400, 401, 409, 422]) t.ok(fine.includes(status), `a ${status} was among them`);
  await oddities();
  await app.pg.query('ALTER TABLE auth.users RENAME TO gone');
  const broken = await story();
  t.ok(broken.includes(500));
  await oddities();
  await app.pg.query('ALTER TABLE auth.gone RENAME TO users');
  // What PostgreSQL itself quotes of a row that it refuses.
  await app.pg.query(`ALTER TABLE auth.users ADD CONSTRAINT canary CHECK (username = '') NOT VALID`);
  t.ok((await story()).includes(500));
  const unsent = 'SELECT FROM auth.mail_queue';
  await until(async () => (await app.pg.query(unsent)).rowCount === 0, 'the mails are sent');
  wire.cut();
  t.ok((await story()).includes(503));

  const { text: metrics } = await call(`http://127.0.0.1:${metricsPort}/metrics`);
  await app.close();
  const sinks = {
    log: logs.join(''),
    errors: failures.map(({ text, headers }) => text + JSON.stringify([...headers])).join('\n'),
    metrics,
    traces: collector.bodies.map(body => body.toString('latin1')).join(''),
  };
  t.ok(secrets.size > 1000);
  for (const [name, sink] of Object.entries(sinks)) {
    t.same(
      [...secrets].filter(secret => sink.includes(secret)),
      [],
      `nothing in the ${name}`,
    );
    t.notMatch(sink, /\$bcrypt|\$2b\$/, `no hash in the ${name}`);
  }
  t.ok(codes.size > 3 && challenges.size > 3);
  const elsewhere = sinks.log + sinks.metrics + sinks.traces;
  for (const challenge of challenges) t.notOk(elsewhere.includes(challenge), 'no challenge of a sign-in');
  for (const code of codes) {
    const alone = new RegExp(`(?<![\\w.-])${code}(?![\\w.-])`);
    t.notMatch(sinks.log + sinks.errors, alone, 'no code of an authenticator app');
  }
  t.match(sinks.log, /relation .*does not exist/, 'the causes are in the log');
  t.match(sinks.log, /cannot ask the list of breached passwords/);
  t.match(sinks.traces, `http://127.0.0.1:${listPort}`);
  t.notMatch(sinks.errors, /relation|auth\.users|constraint/, 'and nowhere else');
  for (const name of ['log', 'errors', 'traces'] as const) t.ok(sinks[name].includes(MARKER), `${name} would show it`);
  t.ok(sinks.metrics.includes('route="/auth/sessions/:id"'));
});

t.test('what machines ask all the time is not logged', async t => {
  const { base, logs } = await startService(t);
  for (const path of ['/livez', '/readyz', '/.well-known/jwks.json', '/auth/verify']) await get(base + path);
  t.notMatch(logs.join(''), /"path"/);
  await get(`${base}/auth/me`);
  t.match(logs.join(''), /"path":"\/auth\/me"/);
});

t.test('a request id comes from the gateway when it is trusted, and from nobody else', async t => {
  const trusting = await startService(t, { trustProxy: ['127.0.0.0/8'] });
  const wary = await startService(t, { trustProxy: ['10.0.0.0/8'] });
  const headers = { 'x-request-id': 'from-the-gateway', 'x-forwarded-for': '203.0.113.9' };

  const trusted = await call(`${trusting.base}/auth/me`, { headers });
  t.equal(trusted.headers.get('x-request-id'), 'from-the-gateway');
  t.equal(trusted.body.requestId, 'from-the-gateway');
  t.match(trusting.logs.join(''), /"reqId":"from-the-gateway".*"remoteAddress":"203.0.113.9"/);

  const untrusted = await call(`${wary.base}/auth/me`, { headers });
  t.match(untrusted.headers.get('x-request-id'), /^[0-9a-f-]{36}$/);
  t.notMatch(wary.logs.join(''), /from-the-gateway|203\.0\.113\.9/);

  const odd = await call(`${trusting.base}/auth/me`, { headers: { 'x-request-id': '"},{"forged":"' } });
  t.match(odd.headers.get('x-request-id'), /^[0-9a-f-]{36}$/);
});
