import { createError } from '@fastify/error';
import type { FastifyInstance } from 'fastify';
import t, { type Test } from 'tap';
import { createService, type ServiceOptions } from '#src/http/index.js';
import { BusyError } from '#src/index.js';

const APP = 'https://app.example.com';

async function start(t: Test, options: Partial<ServiceOptions>, wire: (app: FastifyInstance) => Promise<void>) {
  const logs: string[] = [];
  const logStream = { write: (line: string) => void logs.push(line) };
  const app = await createService({ logLevel: 'info', logStream, ...options }, wire);
  t.teardown(() => app.close());
  await app.ready();
  return { app, logs };
}

/** Routes for each audience, of which one fails. */
async function audiences(app: FastifyInstance): Promise<void> {
  for (const audience of ['browsers', 'gateways', 'services'] as const) {
    app.get(`/${audience}`, { config: { audience } }, async request => {
      if ('fail' in (request.query as object)) throw new Error('canary');
      return {};
    });
  }
  app.get('/anybody', async () => ({}));
}

t.test('a route says whom it is for, and its responses have the headers for that', async t => {
  const { app } = await start(t, { publicUrl: 'https://example.com' }, audiences);
  const headersOf = async (url: string) => {
    const { headers } = await app.inject(url);
    t.match(headers['x-request-id'], /^[0-9a-f-]{36}$/);
    return headers;
  };
  for (const url of ['/browsers', '/services', '/anybody', '/nothing', '/gateways?fail', '/browsers?fail', '/%']) {
    const headers = await headersOf(url);
    t.match(headers, { 'cache-control': 'no-store', 'x-frame-options': 'DENY' }, url);
    t.equal(headers['strict-transport-security'], 'max-age=31536000', url);
  }
  const forGateways = await headersOf('/gateways');
  t.equal(forGateways['cache-control'], 'no-store');
  t.notOk('x-frame-options' in forGateways, 'a gateway has no use for more');
});

t.test('a front end reads what is for browsers, and nothing else', async t => {
  const { app } = await start(t, { corsOrigins: [APP] }, audiences);
  const ask = (url: string, origin = APP) => app.inject({ url, headers: { origin } });
  const isReadable = async (...request: Parameters<typeof ask>) =>
    (await ask(...request)).headers['access-control-allow-origin'] === APP;
  for (const url of ['/browsers', '/browsers?fail', '/nothing']) t.ok(await isReadable(url), url);
  for (const url of ['/services', '/gateways', '/gateways?fail', '/anybody']) t.notOk(await isReadable(url), url);
  t.notOk(await isReadable('/browsers', 'https://evil.example'));

  const preflight = (url: string, origin = APP) =>
    app.inject({ method: 'OPTIONS', url, headers: { origin, 'access-control-request-method': 'GET' } });
  t.match(await preflight('/browsers'), {
    statusCode: 204,
    headers: { 'access-control-allow-methods': /GET/, 'access-control-max-age': '7200' },
  });
  t.equal((await preflight('/browsers', 'https://evil.example')).statusCode, 405);
  t.equal((await app.inject({ method: 'OPTIONS', url: '/browsers' })).statusCode, 405);
  t.equal((await app.inject({ method: 'OPTIONS', url: '/nothing' })).statusCode, 404);
});

t.test('a quiet route logs its faults alone, and no more than the service does', async t => {
  const quiet = async (app: FastifyInstance) => {
    app.get('/quiet', { logLevel: 'warn' }, async request => {
      if ('fail' in (request.query as object)) throw new Error('a fault');
      return {};
    });
  };
  const { app, logs } = await start(t, {}, quiet);
  for (const url of ['/quiet', '/livez', '/readyz']) t.equal((await app.inject(url)).statusCode, 200);
  t.same(logs, []);
  t.equal((await app.inject('/quiet?fail')).statusCode, 500);
  t.match(logs.join(''), /"level":50.*"reqId".*a fault/);

  const silent = await start(t, { logLevel: 'silent' }, quiet);
  t.equal((await silent.app.inject('/quiet?fail')).statusCode, 500);
  t.same(silent.logs, []);
});

t.test('a refusal for want of room is not logged, other errors of that code are', async t => {
  const UnavailableError = createError('service_unavailable', 'Away.', 503);
  const { app, logs } = await start(t, {}, async app => {
    app.get('/busy', { logLevel: 'warn' }, async () => {
      throw new BusyError('Too many wait.');
    });
    app.get('/away', { logLevel: 'warn' }, async () => {
      throw new UnavailableError();
    });
  });
  for (const url of ['/busy', '/away']) {
    const { statusCode, headers } = await app.inject(url);
    t.equal(statusCode, 503);
    t.ok(headers['retry-after']);
  }
  t.equal(logs.length, 1);
  t.match(logs[0], /Away/);
});

t.test('it is ready when every condition holds, without those of the database where that is left out', async t => {
  let isAway = false;
  const { app } = await start(t, {}, async app => {
    app.requireForReadiness(
      async () => {
        if (isAway) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
      },
      { ofDatabase: true },
    );
  });
  const status = async (url: string) => (await app.inject(url)).statusCode;
  t.equal(await status('/readyz'), 200);
  isAway = true;
  t.equal(await status('/readyz'), 503);
  t.equal(await status('/readyz?exclude=database'), 200);
  t.equal(await status('/readyz?exclude=nothing'), 400);
  app.startDraining();
  t.equal(await status('/readyz?exclude=database'), 503);
  const { statusCode, headers } = await app.inject('/livez');
  t.match({ statusCode, headers }, { statusCode: 200, headers: { connection: 'close' } });
});

t.test('what is wrong with a body is said in sentences that a form can show', async t => {
  const { app } = await start(t, {}, async app => {
    const body = {
      type: 'object',
      additionalProperties: false,
      properties: {
        item: { type: 'string', minLength: 1, maxLength: 100 },
        count: { type: 'integer', minimum: 1, maximum: 99 },
        least: { type: 'integer', minimum: 1 },
        most: { type: 'number', maximum: 9 },
      },
    };
    app.post('/orders', { schema: { body } }, async () => ({}));
  });
  const payload = { item: '', count: 200, least: 0, most: 10, more: 1 };
  const { errors } = (await app.inject({ method: 'POST', url: '/orders', payload })).json();
  t.same(Object.fromEntries(errors.map(({ pointer, detail }: Record<string, string>) => [pointer, detail])), {
    '/more': 'This is not a known member.',
    '/item': '1 to 100 characters.',
    '/count': '1 to 99.',
    '/least': 'At least 1.',
    '/most': 'At most 9.',
  });
});

t.test('what cannot be wired is closed', async t => {
  let isClosed = false;
  const building = createService({ logLevel: 'silent' }, async app => {
    app.addHook('onClose', async () => {
      isClosed = true;
    });
    throw new Error('no database');
  });
  await t.rejects(building, { message: 'no database' });
  t.ok(isClosed);
});
