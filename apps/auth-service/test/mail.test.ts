import { randomBytes, randomUUID } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { transact } from '@latchkey/service-kit/database';
import fc from 'fast-check';
import getPort from 'get-port';
import t from 'tap';
import { examine } from '#src/cli/doctor/examine.js';
import { isMailAddress } from '#src/config/mail-address.js';
import type { Secrets } from '#src/config/secrets.js';
import type { Config } from '#src/config/settings.js';
import { parseSmtpUrl } from '#src/config/smtp-url.js';
import { type NewMail, queueMail } from '#src/mail/queue.js';
import { loadTemplates, TEMPLATE_FILES } from '#src/mail/templates.js';
import { smtpOptions } from '#src/mail/transport.js';
import { commandLine, environment } from './command-line.js';
import {
  call,
  createDatabase,
  get,
  newCredentials,
  post,
  type Service,
  startService,
  startWire,
  testConfig,
  until,
} from './helper.js';
import { decode, startMailServer, type Taken } from './smtp.js';

const FROM = { name: 'Example', address: 'no-reply@example.com' };
const secret = (id: string) => ({ id, key: randomBytes(32) });

/** Settings of a service that sends mails to a server. */
const sendingTo = ({ url }: { url: string }): Pick<Config, 'mail'> => ({
  mail: { from: FROM, smtp: parseSmtpUrl(url) },
});

/** A mail that nobody has queued before. */
function newMail(more: Partial<NewMail<'verify-email'>> = {}): NewMail<'verify-email'> {
  const link = `https://app.example.com/verify-email#token=${randomBytes(32).toString('base64url')}`;
  const values = { username: 'ada-lovelace', link, expiresAt: '2026-11-28T09:40:00.000Z' };
  return { template: 'verify-email', values, to: `${randomUUID()}@example.org`, ...more };
}

const queue = async <Mail extends NewMail>({ app }: Service, mail: Mail): Promise<Mail> => {
  await transact(app.pg, client => app.mail.queue(client, mail));
  return mail;
};
const rowsOf = async ({ sql }: Service) => (await sql('SELECT * FROM auth.mail_queue ORDER BY id')).rows;
const isEmpty = async (service: Service) => (await rowsOf(service)).length === 0;
const makeDue = ({ sql }: Service) => sql('UPDATE auth.mail_queue SET next_at = now()');
const hasError = (service: Service, error: RegExp) =>
  until(async () => {
    const [row] = await rowsOf(service);
    return row?.leased_until === null && error.test(row.last_error ?? '');
  }, `a mail with the error ${error}`);
const isDelivered = (service: Service, taken: Taken[], { to }: { to: string }) =>
  until(async () => taken.some(mail => mail.to === to) && (await isEmpty(service)), 'the mail is delivered');

t.test('a mail is sent once, whatever the number of replicas', async t => {
  const server = await startMailServer(t);
  const databaseUrl = await createDatabase();
  const authSecrets: Secrets = [secret('one')];
  const service = await startService(t, { ...sendingTo(server), databaseUrl, authSecrets });
  await startService(t, { ...sendingTo(server), databaseUrl, authSecrets });
  const mails = Array.from({ length: 40 }, () => newMail());
  await transact(service.app.pg, async client => {
    for (const mail of mails) await service.app.mail.queue(client, mail);
    t.same(server.taken, [], 'nothing is sent before the transaction has committed');
  });
  await until(() => isEmpty(service), 'all are sent');
  t.same(server.taken.map(({ to }) => to).sort(), mails.map(({ to }) => to).sort());

  const [first] = mails as [NewMail<'verify-email'>];
  const { source, from } = server.taken.find(({ to }) => to === first.to) as Taken;
  const [head = '', ...body] = source.split('\r\n\r\n');
  t.equal(from, FROM.address);
  t.match(head, /^From: Example <no-reply@example\.com>$/m);
  t.match(head, new RegExp(`^To: ${first.to}$`, 'm'));
  t.match(head, /^Subject: Confirm your e-mail address$/m);
  t.match(head, /^Auto-Submitted: auto-generated$/m);
  t.match(head, /^Message-ID: <[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]+@example\.com>$/m);
  t.notMatch(head, /X-Mailer/);
  const text = decode(body.join('\r\n\r\n'));
  t.equal(text.split(first.values.link).length - 1, 4, 'in the text, and in HTML as a button and a link');
  t.match(text, /until 2026-11-28 09:40 UTC/);
  t.notMatch(text, /<img|<script|src=/, 'nothing is loaded');
  t.match(text, /color-scheme: light dark/);

  await t.rejects(
    transact(service.app.pg, async client => {
      await service.app.mail.queue(client, newMail());
      throw new Error('undone');
    }),
  );
  t.ok(await isEmpty(service), 'what is undone queues nothing');
});

t.test('the mail of a sign-up that is tried again does not take itself for another one', async t => {
  const server = await startMailServer(t);
  const service = await startService(t, { ...sendingTo(server), signUp: 'email' });
  const to = `${randomUUID()}@example.org`;
  const signUp = () => post(`${service.base}/auth/sign-up`, { ...newCredentials(), email: to });
  const warnings = () =>
    server.taken.map(({ source }) => decode(source).replaceAll(/\s+/g, ' ').includes('This is not the first sign-up'));
  server.set({ data: 451 });
  await signUp();
  await hasError(service, /DATA with 451/);
  server.set();
  await makeDue(service);
  await isDelivered(service, server.taken, { to });
  t.same(warnings(), [false]);
  server.set({ data: 451 });
  await signUp();
  await hasError(service, /DATA with 451/);
  server.set();
  await makeDue(service);
  await until(async () => isEmpty(service), 'the second mail is delivered');
  t.same(warnings(), [false, true], 'which still knows of the first sign-up');
});

t.test('what the server refuses for now is tried again, and what it refuses for good is given up', async t => {
  const server = await startMailServer(t);
  const metricsPort = await getPort({ host: '127.0.0.1' });
  const service = await startService(t, { ...sendingTo(server), metricsPort });
  const latchkey = commandLine(service);
  const metric = async (sample: string) => {
    const { text } = await call(`http://127.0.0.1:${metricsPort}/metrics`);
    return Number(new RegExp(`^${sample.replace(/[{}"]/g, '\\$&')} (.*)$`, 'm').exec(text)?.[1]);
  };
  const outcome = (name: string) => metric(`latchkey_mail_attempts_total{outcome="${name}"}`);
  t.equal(await outcome('sent'), 0);

  for (const fault of [{ rcpt: 450 }, { data: 451 }]) {
    server.set(fault);
    const mail = await queue(service, newMail());
    await hasError(service, /^The server responds to (RCPT TO|DATA) with 45[01] 5\.1\.1$/);
    const [row] = await rowsOf(service);
    t.match(row, { attempts: 1, given_up_at: null });
    t.ok(row.next_at > new Date(), 'later');
    server.set();
    await makeDue(service);
    await isDelivered(service, server.taken, mail);
  }

  server.set({ rcpt: 550 });
  const accountId = randomUUID();
  const mail = await queue(service, newMail({ accountId }));
  await hasError(service, /^The server responds to RCPT TO with 550 5\.1\.1$/);
  const [row] = await rowsOf(service);
  t.ok(row.given_up_at);
  t.match((await service.sql(`SELECT * FROM auth.audit_events WHERE event = 'mail_given_up'`)).rows, [
    { user_id: accountId, actor: 'service', details: { mailId: row.id, template: 'verify-email', attempts: 1 } },
  ]);
  await until(async () => (await outcome('given_up')) === 1, 'it is counted');
  t.equal(await outcome('sent'), 2);
  t.equal(await outcome('failed'), 2);
  t.equal(await metric('latchkey_auth_events_total{event="mail_given_up"}'), 1);

  const listed = await latchkey('mail list --given-up --json');
  t.match(JSON.parse(listed.stdout), [{ id: row.id, accountId, template: 'verify-email', nextAt: null, attempts: 1 }]);
  t.match((await latchkey('mail list')).stdout, /lastError.*RCPT TO with 550/s);
  server.set();
  t.match(await latchkey(`mail retry ${row.id}`), { code: 0, stderr: '1 mail is due now.\n' });
  await isDelivered(service, server.taken, mail);
  t.match(await latchkey(`mail retry ${row.id}`), { code: 1, stderr: /There is no mail .*: it was sent, or deleted/ });

  server.set({ data: 451 });
  const late = await queue(service, newMail());
  await hasError(service, /DATA with 451/);
  await service.sql(`UPDATE auth.mail_queue SET retry_until = now() - interval '1 second', next_at = now()`);
  await until(async () => (await rowsOf(service))[0]?.given_up_at !== null, 'a day later it is given up');
  server.set();
  t.same(JSON.parse((await latchkey('mail retry --all --json')).stdout), { retried: 1 });
  await isDelivered(service, server.taken, late);
  t.match((await latchkey('mail list')).stdout, 'There are no mails.');
  const { rows } = await service.sql(`SELECT details FROM auth.audit_events WHERE event = 'mail_retried'`);
  t.same(
    rows.map(({ details }) => details),
    [{ mails: 1 }, { mails: 1 }],
  );
  t.match(await latchkey('mail retry'), { code: 1, stderr: /Name a mail, or give --all/ });
  t.match(await latchkey('mail retry x'), { code: 1, stderr: /must be an id of "latchkey mail list"/ });
});

t.test('a server that stalls, hangs up or is away loses no mail', async t => {
  const server = await startMailServer(t);
  const service = await startService(t, sendingTo(server));
  const deliveries = (mail: NewMail) => server.taken.filter(({ to }) => to === mail.to).length;

  server.set({ hangsUpInData: true });
  const cut = await queue(service, newMail());
  await hasError(service, /./);
  server.set();
  await makeDue(service);
  await isDelivered(service, server.taken, cut);
  t.equal(deliveries(cut), 1);

  server.set({ stalls: true });
  const before = server.connections();
  const stalled = await queue(service, newMail());
  await until(async () => server.connections() > before, 'a connection');
  t.match(await rowsOf(service), [{ leased_until: Date }], 'nobody else takes it meanwhile');
  server.set();
  server.hangUp();
  await hasError(service, /./);
  await makeDue(service);
  await isDelivered(service, server.taken, stalled);

  await server.close();
  const mails = [await queue(service, newMail()), await queue(service, newMail())];
  await hasError(service, /ECONNREFUSED/);
  await server.reopen();
  await makeDue(service);
  for (const mail of mails) await isDelivered(service, server.taken, mail);

  server.set({ afterTaking: true });
  const unsaid = await queue(service, newMail());
  await hasError(service, /./);
  server.set();
  await makeDue(service);
  await isDelivered(service, server.taken, unsaid);
  t.equal(deliveries(unsaid), 2, 'a response that was lost is the one reason for a second delivery');
  for (const mail of [stalled, ...mails]) t.equal(deliveries(mail), 1);
});

t.test('a mail that was sent while the database went away is not sent again', async t => {
  const server = await startMailServer(t);
  const { url, cut, repair } = await startWire(t, await createDatabase());
  const service = await startService(t, { ...sendingTo(server), databaseUrl: url });
  server.set({ onTaken: cut });
  const mail = await queue(service, newMail());
  await until(
    async () => service.logs.join('').includes('cannot be deleted from the queue yet'),
    'the outage is noticed',
  );
  server.set();
  await repair();
  await until(() => isEmpty(service).catch(() => false), 'it is deleted');
  t.same(
    server.taken.map(({ to }) => to),
    [mail.to],
  );
});

t.test('a replica that closes gives its mails back, and the mails of one that was killed are taken over', async t => {
  const server = await startMailServer(t);
  const databaseUrl = await createDatabase();
  const authSecrets: Secrets = [secret('one')];
  const closing = await startService(t, { ...sendingTo(server), databaseUrl, authSecrets });
  server.set({ stalls: true });
  const mail = await queue(closing, newMail());
  await until(async () => server.connections() === 1, 'a connection');
  await closing.app.close();
  server.set();

  const service = await startService(t, { ...sendingTo(server), databaseUrl, authSecrets });
  t.match(await rowsOf(service), [{ attempts: 1, leased_until: null }]);
  await makeDue(service);
  await isDelivered(service, server.taken, mail);

  const left = newMail();
  await transact(service.app.pg, async client => {
    await service.app.mail.queue(client, left);
    await client.query(`UPDATE auth.mail_queue SET leased_until = now() - interval '1 second', attempts = 1`);
  });
  await isDelivered(service, server.taken, left);
});

t.test('the recipient and the values are sealed, and secrets can be rotated', async t => {
  const server = await startMailServer(t);
  const databaseUrl = await createDatabase();
  const [one, two] = [secret('one'), secret('two')];
  const mail = newMail();
  // In production without SMTP_URL, nothing is sent.
  const silent = await startService(t, { databaseUrl, authSecrets: [one], production: true });
  await queueMail(silent.app.pg, one, mail);
  const [row] = await rowsOf(silent);
  t.equal(row.secret_id, 'one');
  const { rows } = await silent.sql('SELECT q::text AS text, sealed_payload FROM auth.mail_queue q');
  for (const canary of [mail.to, mail.values.link, mail.values.username]) {
    t.notMatch(rows[0].text + rows[0].sealed_payload.toString('latin1'), canary);
  }

  await silent.sql('DELETE FROM auth.mail_queue');
  await queueMail(silent.app.pg, two, mail);
  const lacking = await startService(t, { ...sendingTo(server), databaseUrl, authSecrets: [one] });
  await hasError(silent, /sealed by the secret "two", which is not in AUTH_SECRETS\. Add it\.$/);
  await lacking.app.close();
  const rotated = await startService(t, { ...sendingTo(server), databaseUrl, authSecrets: [one, two] });
  await makeDue(rotated);
  await isDelivered(rotated, server.taken, mail);

  // A row cannot be given the payload of another.
  await transact(rotated.app.pg, async client => {
    await queueMail(client, one, newMail());
    await client.query('UPDATE auth.mail_queue SET id = gen_random_uuid()');
  });
  await hasError(rotated, /does not open the mail/);
});

t.test('in production without SMTP_URL there is no mail', async t => {
  const { app, base, sql } = await startService(t, { production: true });
  t.equal(app.mail.isAvailable, false);
  await app.mail.queue(app.pg, newMail());
  t.equal((await sql('SELECT FROM auth.mail_queue')).rowCount, 0);
  t.equal((await get(`${base}/dev/mailbox`)).status, 404);
});

t.test('in development mails are shown', async t => {
  const dataDir = t.testdir();
  const service = await startService(t, { dataDir, publicUrl: 'http://devbox:3000' });
  const { base } = service;
  t.equal(service.app.mail.isAvailable, true);
  const list = (headers: Record<string, string> = {}) =>
    call(`${base}/dev/mailbox`, { headers: { accept: 'application/json', ...headers } });
  t.same((await list()).body, []);
  t.match((await get(`${base}/dev/mailbox`)).text, 'No mail yet.');

  const mail = await queue(service, newMail());
  await queue(service, {
    template: 'new-sign-in',
    to: 'bob@example.org',
    values: { username: '<b>bob</b>', at: '2026-11-27T08:00:00Z', userAgent: '<script>alert(1)</script>' },
  });
  await until(async () => (await list()).body.length === 2 && (await isEmpty(service)), 'both are kept');
  const mails = (await list()).body;
  const { id } = mails.find(({ to }: Taken) => to === mail.to);
  t.match(mails, [{ to: 'bob@example.org' }, { id, to: mail.to, template: 'verify-email', values: mail.values }]);
  t.match(mails[1], { subject: 'Confirm your e-mail address', text: mail.values.link, createdAt: /Z$/ });
  t.same((await call(`${base}/dev/mailbox/${id}`, { headers: { accept: 'application/json' } })).body, mails[1]);

  const page = await get(`${base}/dev/mailbox`);
  t.match(page.headers.get('content-type'), 'text/html');
  t.match(page.headers.get('content-security-policy'), /^default-src 'none'; style-src 'unsafe-inline'; base-uri/);
  t.match(page.text, `<a href="/dev/mailbox/${id}">Confirm your e-mail address</a>`);
  t.match((await get(`${base}/dev/mailbox/${id}`)).text, `<a href="${mail.values.link}">`);
  const hostile = `${base}/dev/mailbox/${mails[0].id}`;
  for (const { text } of [await get(hostile), await get(`${hostile}/html`)]) {
    t.match(text, '&lt;b&gt;bob&lt;/b&gt;');
    t.notMatch(text, /<script>|<b>bob/);
  }

  for (const path of ['x', randomUUID(), '..%2F..%2Fauth-secrets', `${randomUUID()}/html`])
    t.equal((await get(`${base}/dev/mailbox/${path}`)).status, 404, path);
  const asked = async (host: string) =>
    (await service.app.inject({ url: '/dev/mailbox', headers: { host } })).statusCode;
  for (const host of ['localhost:3000', '127.0.0.1:3000', '[::1]:3000', 'devbox:3000']) t.equal(await asked(host), 200);
  for (const host of ['evil.example', 'localhost.evil.example:3000', '192.0.2.1'])
    t.equal(await asked(host), 404, host);

  for (let n = 0; n < 200; n++) writeFileSync(join(dataDir, 'mail', `${randomUUID().replace(/^../, 'ff')}.json`), '{}');
  await queue(service, newMail());
  await until(() => isEmpty(service), 'it is kept');
  t.equal(readdirSync(join(dataDir, 'mail')).length, 200, 'the newest');
});

t.test('no value reaches a header, and an address only as it is', async t => {
  const good = [
    'a@b',
    'ada@example.org',
    "o'neil+x_y@sub.example.co.uk",
    `${'a'.repeat(64)}@example.org`,
    'latchkey@localhost',
  ];
  for (const address of good) t.ok(isMailAddress(address), address);
  const bad = [
    ...['', 'ada', '@example.org', 'ada@', 'a@b@c', 'ada@example.org,eve@evil.example', 'Eve <ada@example.org>'],
    ...['ada@example.org\r\nBcc: eve@evil.example', 'ada\n@example.org', '<ada@example.org>', '"a b"@example.org'],
    ...[
      'ada @example.org',
      'ada@exam ple.org',
      'ada@-example.org',
      'a..b@example.org',
      '.a@example.org',
      'a(b)@example.org',
    ],
    ...['ada@example.org;eve@evil.example', 'ada@[127.0.0.1]', 'ada@example.org\0', `${'a'.repeat(65)}@example.org`],
    ...[`ada@${'a.'.repeat(130)}org`, 'adä@example.org', 'group:a@example.org'],
  ];
  for (const address of bad) t.notOk(isMailAddress(address), address);
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('\r', '\n', ',', '<', '>', ';', '"', ' ', '\0'),
      (text, odd) => {
        const at = Math.floor(text.length / 2);
        return !isMailAddress(`${text.slice(0, at)}${odd}${text.slice(at)}@example.org`);
      },
    ),
  );

  const server = await startMailServer(t);
  const service = await startService(t, sendingTo(server));
  for (const to of bad) await t.rejects(queue(service, newMail({ to })), /not an address to which a mail can be sent/);
  t.ok(await isEmpty(service));
  const odd = 'x\r\nBcc: eve@evil.example\r\n\r\n{{link}}<b>&"';
  const values = {
    username: odd,
    at: '2026-11-27T08:00:00Z',
    address: odd,
    userAgent: `${odd} see https://evil.example/ ${'x'.repeat(5000)}`,
  };
  const mail = await queue(service, { template: 'sessions-ended', to: 'ada@example.org', values });
  await isDelivered(service, server.taken, mail);
  const [{ source }] = server.taken as [Taken];
  const [head = ''] = source.split('\r\n\r\n');
  t.notMatch(head, /bcc|evil/i);
  t.match(head, /^To: ada@example\.org$/m);
  const body = decode(source.slice(head.length));
  t.ok(body.length < 4000, 'bounded');
  t.match(body, '&lt;b&gt;&amp;&quot;');
  t.notMatch(body, /evil\.example\//, 'a user agent is no link');
  t.match(body, '{{link}}', 'and no template');
});

t.test('templates can be replaced, and are checked at the start', async t => {
  const link = 'https://app.example.com/x#token=1&a="';
  const values = { username: 'ada', link, expiresAt: '2026-11-28T09:40:30Z' };
  const folder = t.testdir({
    '.hidden': 'as of a ConfigMap',
    'verify-email.txt': 'Willkommen, schön\r\n\r\nHallo {{username}}: {{link}}\r\n',
    'layout.html': '<p class="ours">{{subject}}</p>{{content}}',
  });
  const mail = loadTemplates(folder)('verify-email', values);
  t.equal(mail.subject, 'Willkommen, schön');
  t.equal(mail.text, `Hallo ada: ${link}\n`);
  t.match(mail.html, /^<p class="ours">Willkommen, schön<\/p><p>Hello ada/);
  t.match(mail.html, 'href="https://app.example.com/x#token=1&amp;a=&quot;"');

  const render = loadTemplates(undefined);
  const names = TEMPLATE_FILES.filter(file => file.endsWith('.txt')).map(file => file.replace('.txt', ''));
  for (const name of names) {
    const { subject, text, html } = render(name, {
      ...values,
      at: '2026-11-27T08:00:00Z',
      address: '192.0.2.7',
      userAgent: 'curl/8',
    });
    for (const part of [subject, text, html]) t.notMatch(part, /\{\{|\}\}|undefined/, name);
    for (const line of text.split('\n')) t.ok(line.length <= 72, `${name}: ${line}`);
    const bare = render(name, { username: 'ada', link, at: '2026-11-27T08:00:00Z', expiresAt: '2026-11-27T08:00:00Z' });
    t.notMatch(bare.text, /From:|With:|\n\n\n/, 'what is not known leaves nothing behind');
  }
  t.throws(() => render('toString', {}), /has no template "toString"/);

  const cases: [files: Record<string, string>, message: RegExp][] = [
    [{ 'verify-email.txt': 'Subject\n\nno link' }, /verify-email\.txt lacks \{\{link\}\}/],
    [{ 'verify-email.html': '{{#username}}{{link}}{{/username}}' }, /verify-email\.html lacks \{\{link\}\}/],
    [{ 'verify-email.txt': 'Subject\n\n{{link}}{{password}}' }, /unknown placeholder \{\{password\}\}/],
    [{ 'verify-email.txt': 'Subject\n\n{{link}}{{toString}}' }, /unknown placeholder \{\{toString\}\}/],
    [{ 'verify-email.txt': 'Subject\n\n{{link}} {{ user name }}' }, /\{\{ or \}\} that belong to no placeholder/],
    [{ 'verify-email.txt': 'Dear {{username}}\n\n{{link}}' }, /has a placeholder in its subject/],
    [{ 'verify-email.txt': '{{link}}' }, /verify-email\.txt does not begin with a subject and an empty line/],
    [{ 'verify-email.txt': `${'x'.repeat(200)}\n\n{{link}}` }, /a subject of more than 150 characters/],
    [{ 'verify-email.txt': 'a\tb\n\n{{link}}' }, /a control character in its subject/],
    [{ 'new-sign-in.html': '{{#address}}' }, /does not close the section \{\{#address\}\}/],
    [{ 'new-sign-in.html': '{{/address}}' }, /closes the section \{\{\/address\}\} that is not open/],
    [{ 'new-sign-in.html': '{{#address}}{{#at}}{{/at}}{{/address}}' }, /opens the section \{\{#at\}\} within another/],
    [{ 'layout.html': '<p>' }, /layout\.html lacks \{\{content\}\}/],
    [
      { 'verify-mail.txt': 'x' },
      /verify-mail\.txt is none of the templates: layout\.html, email-change-requested\.html/,
    ],
  ];
  for (const [files, message] of cases) {
    t.throws(() => loadTemplates(t.testdir(files)), { name: 'ConfigError', message }, String(message));
  }
  t.throws(() => loadTemplates('/nowhere'), { message: /MAIL_TEMPLATES_DIR: \/nowhere cannot be read \(ENOENT\)/ });
  const templatesDir = t.testdir({ 'layout.html': '', 'x.txt': '' });
  await t.rejects(startService(t, { mail: { from: FROM, templatesDir } }), {
    message: /layout\.html lacks.*|x\.txt is/s,
  });
});

t.test('outside of this machine, the server must offer TLS', async t => {
  t.match(smtpOptions(parseSmtpUrl('smtp://u%40x:p%2F@mail.example.com')), {
    ...{ host: 'mail.example.com', port: 587, secure: false, requireTLS: true },
    auth: { user: 'u@x', pass: 'p/' },
  });
  t.match(smtpOptions(parseSmtpUrl('smtps://mail.example.com')), { port: 465, secure: true });
  for (const host of ['localhost', '127.0.0.1', '[::1]'])
    t.match(smtpOptions(parseSmtpUrl(`smtp://${host}:2525`)), { port: 2525, ignoreTLS: true }, host);

  const server = await startMailServer(t);
  // Leads to this machine, but does not say so.
  const service = await startService(t, sendingTo({ url: `smtp://0.0.0.0:${server.port}` }));
  await queue(service, newMail());
  await hasError(service, /STARTTLS/);
  const offering = await startMailServer(t, { disabledCommands: [] });
  const wary = await startService(t, sendingTo({ url: `smtp://0.0.0.0:${offering.port}` }));
  await queue(wary, newMail());
  await hasError(wary, /certificate/);
  t.same([...server.taken, ...offering.taken], []);
});

const named = (findings: Awaited<ReturnType<typeof examine>>, name: string) =>
  findings.filter(finding => finding.name === name);

t.test('the doctor connects and sends nothing', async t => {
  const signIns: (string | undefined)[] = [];
  const server = await startMailServer(t, {
    authOptional: false,
    allowInsecureAuth: true,
    onAuth({ username, password }, _session, done) {
      signIns.push(username);
      done(null, password === 'can/ary' ? { user: username } : {});
    },
  });
  const service = await startService(t, { production: true });
  const at = server.url.slice('smtp://'.length);
  const look = (SMTP_URL: string, more: Record<string, string> = {}) =>
    examine({ ...environment(service), MAIL_FROM: FROM.address, SMTP_URL, ...more });

  const well = await look(`smtp://mailer:can%2Fary@${at}`);
  t.match(named(well, 'mail'), [{ status: 'ok', detail: /takes mails \(signed in, without TLS\)/ }]);
  t.match(named(well, 'mail-queue'), [{ status: 'ok', detail: '0 mails waiting, 0 given up' }]);
  t.same(signIns, ['mailer']);
  t.same(server.taken, []);
  const refused = await look(`smtp://mailer:wrong-canary@${at}`);
  t.match(named(refused, 'mail'), [{ status: 'fail', detail: /responds to AUTH PLAIN with 535/, advice: /SMTP_URL/ }]);
  t.notMatch(JSON.stringify([well, refused]), /can\/ary|can%2Fary|wrong-canary/);
  const closed = await getPort({ host: '127.0.0.1' });
  t.match(named(await look(`smtp://127.0.0.1:${closed}`), 'mail'), [{ status: 'fail', detail: /ECONNREFUSED/ }]);
  const none = await look('');
  t.match(named(none, 'mail'), [{ status: 'warn', detail: /SMTP_URL is not set/, advice: /Set SMTP_URL/ }]);
  const MAIL_TEMPLATES_DIR = t.testdir({ 'layout.html': '' });
  t.match(named(await look(`smtp://mailer:can%2Fary@${at}`, { MAIL_TEMPLATES_DIR }), 'mail-templates')[0], {
    ...{ status: 'fail', detail: /layout\.html lacks \{\{content\}\}/ },
  });

  await queueMail(service.app.pg, service.config.authSecrets[0], newMail());
  await service.sql(`UPDATE auth.mail_queue SET created_at = now() - interval '1 hour'`);
  t.match(named(await look(''), 'mail-queue')[1], { status: 'warn', detail: /oldest mail has waited for 3600 s|h/ });
  await service.sql('UPDATE auth.mail_queue SET given_up_at = now()');
  t.match(named(await look(''), 'mail-queue')[1], { status: 'warn', detail: '1 mail could not be sent' });
});

t.test('a test mail can be sent from the command line', async t => {
  const server = await startMailServer(t);
  const service = await startService(t, sendingTo(server));
  const latchkey = commandLine(service);
  const env = { SMTP_URL: server.url, MAIL_FROM: FROM.address };
  t.match(await latchkey('mail test ada@example.org bob@example.org', '', env), {
    code: 0,
    stdout: '',
    stderr: /^Queued/,
  });
  for (const to of ['ada@example.org', 'bob@example.org']) await isDelivered(service, server.taken, { to });
  t.match(await latchkey('mail test ada', '', env), { code: 1, stderr: /"ada" is not a mail address/ });
  t.match(await latchkey('mail test a@example.org'), { code: 1, stderr: /sends no mails: set SMTP_URL and MAIL_FROM/ });
});

t.test('old mails that were given up are deleted', async t => {
  const { app, sql } = await startService(t, { production: true });
  const { authSecrets } = await testConfig();
  for (let n = 0; n < 3; n++) await queueMail(app.pg, authSecrets[0], newMail());
  await sql(
    `UPDATE auth.mail_queue SET given_up_at = now() - interval '31 days' WHERE id = (SELECT min(id::text)::uuid FROM auth.mail_queue)`,
  );
  const { deleteOldMails } = await import('#src/mail/queue.js');
  t.equal(await deleteOldMails(app.pg, 10), 1);
  t.equal((await sql('SELECT FROM auth.mail_queue')).rowCount, 2);
});

t.test('no address, link or password of the server reaches the log, the metrics or the queue', async t => {
  const server = await startMailServer(t);
  const metricsPort = await getPort({ host: '127.0.0.1' });
  const service = await startService(t, { ...sendingTo(server), metricsPort, logLevel: 'trace' });
  const mails: NewMail<'verify-email'>[] = [];
  for (const fault of [
    {},
    { rcpt: 450 },
    { rcpt: 550 },
    { data: 552 },
    { hangsUpInData: true },
    { afterTaking: true },
  ]) {
    server.set(fault);
    const mail = newMail({ to: `canary-${randomUUID()}@example.org` });
    mails.push(mail);
    await queue(service, mail);
    const settled = `SELECT FROM auth.mail_queue WHERE attempts = 0 OR leased_until IS NOT NULL`;
    await until(async () => (await service.sql(settled)).rowCount === 0, 'it was tried');
  }
  await server.close();
  await makeDue(service);
  await hasError(service, /./);
  const { text: metrics } = await call(`http://127.0.0.1:${metricsPort}/metrics`);
  const { rows } = await service.sql('SELECT q::text AS text FROM auth.mail_queue q');
  const { rows: events } = await service.sql('SELECT e::text AS text FROM auth.audit_events e');
  await service.app.close();
  const sinks = { metrics, log: service.logs.join(''), rows: JSON.stringify([rows, events]) };
  t.match(sinks.log, /cannot send a mail yet/);
  t.match(sinks.log, /mail_given_up/);
  t.match(sinks.metrics, /latchkey_mail_attempts_total\{outcome="given_up"\} 2/);
  for (const [name, sink] of Object.entries(sinks)) {
    for (const { to, values } of mails) {
      t.notOk(sink.includes(to.slice(0, to.indexOf('@'))), `no address in the ${name}`);
      t.notOk(sink.includes(values.link.slice(-43)), `no token in the ${name}`);
    }
  }
});
