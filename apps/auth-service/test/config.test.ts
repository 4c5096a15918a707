import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import t from 'tap';
import { prepare } from '#src/config/development.js';
import { loadSettings } from '#src/config/settings.js';

const secret = (id: string, bytes = 32) => `${id}:${randomBytes(bytes).toString('base64')}`;
const production = {
  NODE_ENV: 'production',
  DATABASE_URL: 'postgresql://db/auth',
  AUTH_SECRETS: `${secret('b')},${secret('a')}`,
  PUBLIC_URL: 'https://auth.example.com/',
};

const mail = { SMTP_URL: 'smtp://mailer:p%2F@mail.example.com', MAIL_FROM: 'Example <no-reply@example.com>' };

t.test('development needs no settings', async t => {
  t.match(loadSettings({}), {
    production: false,
    host: '127.0.0.1',
    port: 3000,
    publicUrl: 'http://localhost:3000',
    bcryptCost: 12,
    accessTokenTtlS: 600,
    trustProxy: [],
  });
  t.equal(loadSettings({ PORT: '' }).port, 3000, 'an empty variable is one that is not set');
  t.equal(loadSettings({ PORT: '4000' }).publicUrl, 'http://localhost:4000');
});

t.test('production takes its own', async t => {
  const settings = loadSettings(production);
  t.match(settings, { host: '0.0.0.0', publicUrl: 'https://auth.example.com', databaseUrl: production.DATABASE_URL });
  t.same(
    settings.authSecrets?.map(({ id }) => id),
    ['b', 'a'],
  );
  const { trustProxy } = loadSettings({ ...production, TRUST_PROXY: '10.0.0.0/8, fd00::/8,192.0.2.7' });
  t.same(trustProxy, ['10.0.0.0/8', 'fd00::/8', '192.0.2.7']);
});

t.test('takes the origins of front ends as browsers write them', async t => {
  const origins = [
    'https://app.example.com',
    'https://app.example.com:8443',
    'http://localhost:5173',
    'http://[::1]:5173',
  ];
  t.same(loadSettings({ CORS_ORIGINS: origins.join(', ') }).corsOrigins, origins);
  t.same(loadSettings({}).corsOrigins, ['http://localhost:*'], 'any port of the machine of a developer');
  t.same(loadSettings(production).corsOrigins, []);
  t.throws(
    () => loadSettings({ ...production, CORS_ORIGINS: 'http://localhost:*' }),
    /has a wildcard|is not an origin/,
  );
});

t.test('takes the domain and the origins of passkeys', async t => {
  const passkeysOf = (env: Record<string, string>) => loadSettings(env).passkeys;
  t.match(passkeysOf({}), { rpId: 'localhost', origins: ['http://localhost:3000', 'http://localhost:*'] });
  t.same(passkeysOf({ ...production, APP_URL: 'https://app.example.com/account' }), {
    ...{ rpId: 'auth.example.com', rpName: 'Latchkey' },
    origins: ['https://auth.example.com', 'https://app.example.com'],
  });
  const origins = ['https://example.com:8443', `android:apk-key-hash:${'a'.repeat(43)}`];
  const given = { PASSKEY_RP_ID: 'example.com', PASSKEY_ORIGINS: origins.join(', '), PASSKEY_RP_NAME: 'Example' };
  t.same(passkeysOf({ ...production, ...given }), { rpId: 'example.com', rpName: 'Example', origins });
  for (const url of ['https://192.0.2.7', 'https://[2001:db8::1]:8443']) {
    t.equal(passkeysOf({ ...production, PUBLIC_URL: url }).rpId, undefined, url);
  }
});

t.test('takes a mail server and a sender', async t => {
  t.same(loadSettings(mail).mail, {
    from: { name: 'Example', address: 'no-reply@example.com' },
    smtp: { host: 'mail.example.com', port: 587, secure: false, auth: { user: 'mailer', pass: 'p/' } },
  });
  const secure = loadSettings({ SMTP_URL: 'smtps://[::1]', MAIL_FROM: 'no-reply@example.com' }).mail;
  t.same(secure, {
    from: { name: '', address: 'no-reply@example.com' },
    smtp: { host: '::1', port: 465, secure: true },
  });
  t.equal(loadSettings({ PUBLIC_URL: 'https://auth.example.com/' }).appUrl, 'https://auth.example.com/account');
  t.equal(loadSettings({ APP_URL: 'https://app.example.com/' }).appUrl, 'https://app.example.com');
});

t.test('refuses by name', async t => {
  const cases: [env: Record<string, string>, message: RegExp][] = [
    [{ NODE_ENV: 'production' }, /DATABASE_URL is required.*AUTH_SECRETS is required.*PUBLIC_URL is required/s],
    [{ ...production, AUTH_SECRETS: '' }, /AUTH_SECRETS is required in production.*openssl rand/],
    [{ ...production, AUTH_SECRETS: 'no-colon' }, /AUTH_SECRETS: entry 1 is not of the form id:base64/],
    [{ ...production, AUTH_SECRETS: secret('a', 16) }, /AUTH_SECRETS: the secret of "a" is shorter than 32 bytes/],
    [{ ...production, AUTH_SECRETS: `${secret('a')},${secret('a')}` }, /AUTH_SECRETS: an id is there twice/],
    [{ PORT: 'http' }, /PORT: must be integer \(Port to listen on\)/],
    [{ PORT: '70000' }, /PORT: must be <= 65535/],
    [{ BCRYPT_COST: '3', LOG_LEVEL: 'loud' }, /LOG_LEVEL: must be one of fatal, error.*BCRYPT_COST: must be >= 4/s],
    [{ DATABASE_URL: 'mysql://db' }, /DATABASE_URL: must match/],
    [
      { ...production, DATABASE_URL: 'postgresql://auth:can/ary@db/auth' },
      /DATABASE_URL is not a URL.*\/ is %2F.*PGPASSWORD/,
    ],
    [{ DATABASE_URL: production.DATABASE_URL }, /AUTH_SECRETS is required with a DATABASE_URL.*openssl rand/],
    [
      { NODE_ENV: 'test', DATABASE_URL: production.DATABASE_URL },
      /AUTH_SECRETS is required with a DATABASE_URL.*openssl rand/,
    ],
    [{ PUBLIC_URL: 'auth.example.com' }, /PUBLIC_URL: must match/],
    [{ TOKEN_AUDIENCE: 'orders,billing' }, /TOKEN_AUDIENCE: must match/],
    [{ TOKEN_AUDIENCE: 'a b' }, /TOKEN_AUDIENCE: must match/],
    [{ TOKEN_AUDIENCE: 'a'.repeat(257) }, /TOKEN_AUDIENCE: must/],
    [{ TRUST_PROXY: '1' }, /TRUST_PROXY: "1" is not an address or a CIDR block/],
    [{ TRUST_PROXY: '10.0.0.0/33' }, /TRUST_PROXY: "10.0.0.0\/33"/],
    [{ CORS_ORIGINS: '*' }, /CORS_ORIGINS: "\*" is not an origin, such as https:\/\/app.example.com/],
    [{ CORS_ORIGINS: 'null' }, /CORS_ORIGINS: "null" is not an origin/],
    [{ CORS_ORIGINS: 'app.example.com' }, /"app.example.com" is not an origin/],
    [{ CORS_ORIGINS: 'chrome-extension://abcdefgh' }, /is not an origin/],
    [{ CORS_ORIGINS: 'https://app.example.com/' }, /is not how browsers write it: https:\/\/app.example.com\./],
    [{ CORS_ORIGINS: 'https://a.example,https://b.example/app' }, /"https:\/\/b.example\/app" is not how/],
    [{ CORS_ORIGINS: 'https://App.example.com:443' }, /browsers write it: https:\/\/app.example.com\./],
    [{ CORS_ORIGINS: 'https://user:canary@app.example.com' }, /is not how browsers write it/],
    [{ CORS_ORIGINS: 'https://*.example.com' }, /has a wildcard; name each origin/],
    [{ CORS_ORIGINS: 'http://app.example.com' }, /"http:\/\/app.example.com" is not safe without TLS: use https/],
    [{ CORS_ORIGINS: 'http://localhost.example.com' }, /is not safe without TLS/],
    [{ PASSKEY_RP_ID: '192.0.2.7' }, /PASSKEY_RP_ID is an IP address/],
    [{ PASSKEY_RP_ID: 'https://example.com' }, /PASSKEY_RP_ID: must match/],
    [
      { PASSKEY_ORIGINS: 'https://Example.com' },
      /PASSKEY_ORIGINS: "https:\/\/Example.com" is not how browsers write it/,
    ],
    [{ PASSKEY_ORIGINS: 'http://example.com' }, /PASSKEY_ORIGINS: .*is not safe without TLS/],
    [{ PASSKEY_ORIGINS: 'android:apk-key-hash:x' }, /PASSKEY_ORIGINS: .*is not an origin/],
    [{ ...production, PASSKEY_ORIGINS: 'http://localhost:*' }, /PASSKEY_ORIGINS: "http:\/\/localhost:\*"/],
    [{ BCRYPT_COTS: '10' }, /BCRYPT_COTS is not a setting; did you mean BCRYPT_COST\?/],
    [{ AUTH_SECRET: secret('a') }, /AUTH_SECRET is not a setting; did you mean AUTH_SECRETS\?/],
    [{ SMTP_URL: 'mail.example.com' }, /SMTP_URL: must match/],
    [{ ...mail, SMTP_URL: 'smtp://mailer:can/ary@mail.example.com' }, /SMTP_URL is not a URL.*\/ is %2F/],
    [{ ...mail, SMTP_URL: 'smtp://mailer:25/canary@mail.example.com' }, /SMTP_URL has more than a host and a port/],
    [{ ...mail, SMTP_URL: 'smtp://mailer:%zz@mail.example.com' }, /SMTP_URL is not a URL/],
    [{ ...mail, SMTP_URL: 'smtp://:canary@mail.example.com' }, /SMTP_URL has a password but no username/],
    [{ ...mail, SMTP_URL: 'smtp://' }, /SMTP_URL (has no host|is not a URL)/],
    [{ SMTP_URL: mail.SMTP_URL }, /MAIL_FROM is required with SMTP_URL/],
    [{ ...mail, MAIL_FROM: 'Example <no-reply@example.com>, <eve@evil.example>' }, /MAIL_FROM is not a mail address/],
    [{ ...mail, MAIL_FROM: 'a\r\nBcc: eve@evil.example <a@b>' }, /MAIL_FROM is not a mail address/],
    [{ APP_URL: 'https://app.example.com/#x' }, /APP_URL: must match/],
    [{ database_url: 'x' }, /database_url is not a setting; did you mean DATABASE_URL\?/],
  ];
  for (const [env, message] of cases) t.throws(() => loadSettings(env), { name: 'ConfigError', message });
  const shown = t.throws(() => loadSettings({ AUTH_SECRETS: 'canary', DATABASE_URL: 'canary' })) as unknown as Error;
  t.notMatch(shown.message, /canary/, 'no value is shown');
});

t.test('makes nothing for a database that is not the embedded one', async t => {
  const { AUTH_SECRETS, DATABASE_URL } = production;
  for (const NODE_ENV of ['', 'development', 'test', 'production']) {
    const dataDir = t.testdir();
    const settings = loadSettings({ ...production, NODE_ENV, DATA_DIR: dataDir });
    const { config } = await prepare(settings);
    t.match(config, { databaseUrl: DATABASE_URL, authSecrets: settings.authSecrets, firstClient: undefined }, NODE_ENV);
    t.same(readdirSync(dataDir), [], 'no secret is kept');
  }
  t.doesNotThrow(() => loadSettings({ DATABASE_URL }, ['DATABASE_URL']), 'to migrate takes no secret');
  t.equal(loadSettings({ AUTH_SECRETS, DATABASE_URL, NODE_ENV: 'test' }).production, false);
});

t.test('leaves other programs’ variables alone', async t => {
  t.doesNotThrow(() =>
    loadSettings({ HOSTNAME: 'x', HOME: '/', SESSION_MANAGER: 'x', DATABASE_HOST: 'x', PORTS: '1', API_URL: 'x' }),
  );
});
