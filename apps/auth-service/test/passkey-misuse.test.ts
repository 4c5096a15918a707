import { randomBytes, randomUUID } from 'node:crypto';
import type { Misconduct } from '@latchkey/auth-client/testing';
import fc from 'fast-check';
import t from 'tap';
import type { ChallengeKinds } from '#src/sessions/challenges.js';
import { type Answer, get, newCredentials, post, type Service, send } from './helper.js';
import {
  newDevice,
  ORIGIN,
  RP_ID,
  signInOptions,
  signUp,
  signUpWithDevice,
  startWithPasskeys,
} from './passkey-helper.js';

type Account = Awaited<ReturnType<typeof signUpWithDevice>>;
type Response = ReturnType<Account['device']['get']> | ReturnType<Account['device']['create']>;
type Device = Account['device'];

/** A way in which the service takes what an authenticator has made. */
type Way = {
  name: string;
  kind: keyof ChallengeKinds;
  /** What it refuses with. */
  refusal: [status: number, code: string];
  /** Options of the service, and what takes the response. */
  begin(): Promise<{ options: any; take(response: unknown): Promise<Answer> }>;
  /** What the challenge of the options is about. */
  about: object;
};

let service: Service;
let victim: Account;
let mallory: Account;
t.before(async () => {
  service = await startWithPasskeys(t);
  victim = await signUpWithDevice(service, newDevice({ counts: true }));
  mallory = await signUpWithDevice(service);
});

const url = (path: string) => service.base + path;
const sidOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()).sid;

/** The ways of the passkeys of an account that exists. */
function uses(account: Account): Way[] {
  const { token, id, credentials } = account;
  return [
    {
      ...{ name: 'sign-in', kind: 'passkey-sign-in', about: {}, refusal: [401, 'invalid_passkey'] },
      begin: async () => ({
        options: await signInOptions(service),
        take: response => post(url('/auth/sign-in/passkey'), { response }),
      }),
    },
    {
      ...{ name: 'second factor', kind: 'passkey-second-factor', refusal: [401, 'invalid_second_factor'] },
      about: { accountId: id, of: randomUUID() },
      begin: async () => {
        const { challenge } = (await post(url('/auth/sign-in'), credentials)).body;
        const options = await signInOptions(service, challenge);
        return { options, take: passkey => post(url('/auth/sign-in/second-factor'), { challenge, passkey }) };
      },
    },
    {
      ...{ name: 'step-up', kind: 'passkey-step-up', refusal: [401, 'invalid_second_factor'] },
      about: { accountId: id, sessionId: sidOf(token) },
      begin: async () => ({
        options: (await send(url('/auth/step-up/passkey/options'), 'POST', token)).body,
        take: passkey => send(url('/auth/step-up'), 'POST', token, { passkey }),
      }),
    },
  ];
}

/** The ways in which passkeys are made. */
function creations({ token, id }: Account): Way[] {
  const about = { accountId: id, sessionId: sidOf(token), handle: randomBytes(32).toString('base64url') };
  return [
    {
      ...{ name: 'registration', kind: 'passkey-registration', about, refusal: [400, 'invalid_passkey'] },
      begin: async () => ({
        options: (await send(url('/auth/passkeys/options'), 'POST', token)).body,
        take: response => send(url('/auth/passkeys'), 'POST', token, { response }),
      }),
    },
    {
      ...{ name: 'sign-up', kind: 'passkey-sign-up', refusal: [400, 'invalid_passkey'] },
      about: { accountId: randomUUID(), username: newCredentials().username, email: null, handle: about.handle },
      begin: async () => {
        const { username } = newCredentials();
        return {
          options: (await post(url('/auth/sign-up/passkey/options'), { username })).body,
          take: response => post(url('/auth/sign-up/passkey'), { response }),
        };
      },
    },
  ];
}

const isUse = ({ kind }: Way) => !['passkey-registration', 'passkey-sign-up'].includes(kind);
const make = (way: Way, device: Device, options: any, misconduct?: Misconduct): Response =>
  isUse(way) ? device.get(options, misconduct) : device.create(options, misconduct);
const deviceOf = (way: Way) => (isUse(way) ? victim.device : newDevice());

/** Makes a challenge as the service did ten minutes ago. */
function makeExpired(kind: keyof ChallengeKinds, about: object): string {
  const { now } = Date;
  Date.now = () => now() - 600_000;
  try {
    return service.app.challenges.make(kind, about as never);
  } finally {
    Date.now = now;
  }
}

const ABOUT: ChallengeKinds = {
  'second-factor': { accountId: '', credentialVersion: 1, amr: ['pwd'], username: 'somebody' },
  'passkey-sign-in': {},
  'passkey-second-factor': { accountId: '', of: '' },
  'passkey-step-up': { accountId: '', sessionId: '' },
  'passkey-registration': { accountId: '', sessionId: '', handle: '' },
  'passkey-sign-up': { accountId: '', username: 'somebody', email: null, handle: '' },
};

/** Challenges that a way must not take, by what is wrong with them. */
function wrongChallenges({ kind, about }: Way): [name: string, challenge: (genuine: string) => string][] {
  const others = (Object.keys(ABOUT) as (keyof ChallengeKinds)[]).filter(other => other !== kind);
  const foreign = Object.keys(about).filter(member => ['accountId', 'sessionId', 'of'].includes(member));
  return [
    ...others.map(other => [`a challenge of the kind ${other}`, () => makeOf(other, about)] as [string, () => string]),
    // Those of a sign-up are of no account yet.
    ...(kind === 'passkey-sign-up' ? [] : foreign).map(
      member =>
        [`a challenge with another ${member}`, () => makeOf(kind, { ...about, [member]: mallory.id })] as [
          string,
          () => string,
        ],
    ),
    ['a challenge that has expired', () => makeExpired(kind, about)],
    ['a challenge that was made up', () => randomBytes(100).toString('base64url')],
    ['a challenge that was cut', genuine => genuine.slice(0, -2)],
    [
      'a challenge with another byte',
      genuine => `${genuine.slice(0, -4)}${genuine.endsWith('AAAA') ? 'BBBB' : 'AAAA'}`,
    ],
    ['no challenge', () => ''],
  ];
}

const makeOf = (kind: keyof ChallengeKinds, about: object) =>
  service.app.challenges.make(kind, { ...ABOUT[kind], ...about } as never);

const PAGES: [name: string, misconduct: Misconduct][] = [
  ['a page of another origin', { origin: 'https://evil.example' }],
  ['a page whose origin begins like ours', { origin: `${ORIGIN}.evil.example` }],
  ['a page of http', { origin: ORIGIN.replace('https', 'http') }],
  ['a page of another port', { origin: `${ORIGIN}:8443` }],
  ['a page without an origin', { origin: 'null' }],
  ['a frame of another origin', { crossOrigin: true }],
];
const AUTHENTICATORS: [name: string, misconduct: Misconduct][] = [
  ['another relying party', { rpId: 'evil.example' }],
  ['a parent of the relying party', { rpId: 'com' }],
  ['a subdomain of the relying party', { rpId: `app.${RP_ID}` }],
  ['a user who was not verified', { userVerified: false }],
  ['a user who was not present', { userPresent: false }],
  ['a user who was neither present nor verified', { userPresent: false, userVerified: false }],
];

/** What a way must refuse, as what is done to the options and by the authenticator. */
function misuses(way: Way): [name: string, make: (options: any) => unknown][] {
  const use = (misconduct: Misconduct) => (options: any) => make(way, deviceOf(way), options, misconduct);
  const changed = (change: (response: any) => unknown) => (options: any) => {
    const response = structuredClone(make(way, deviceOf(way), options)) as any;
    return change(response) ?? response;
  };
  const type = isUse(way) ? 'webauthn.create' : 'webauthn.get';
  const clientData = (change: object) =>
    changed(response => {
      const data = JSON.parse(Buffer.from(response.response.clientDataJSON, 'base64url').toString());
      const text = JSON.stringify({ ...data, ...change });
      response.response.clientDataJSON = Buffer.from(text).toString('base64url');
    });
  return [
    ...[...PAGES, ...AUTHENTICATORS].map(
      ([name, misconduct]) => [name, use(misconduct)] as [string, (options: any) => unknown],
    ),
    ['the type of the other ceremony', use({ type })],
    ['a type that is not ours', use({ type: 'payment.get' })],
    ...wrongChallenges(way).map(
      ([name, challenge]) =>
        [name, (options: any) => use({ challenge: challenge(options.challenge) })(options)] as [
          string,
          (options: any) => unknown,
        ],
    ),
    ['client data of a top origin', clientData({ topOrigin: 'https://evil.example' })],
    ['client data whose challenge is no text', clientData({ challenge: 1 })],
    ['client data that is null', changed(({ response }) => void Object.assign(response, { clientDataJSON: 'bnVsbA' }))],
    [
      'client data that is no JSON',
      changed(({ response }) => void Object.assign(response, { clientDataJSON: 'e30x' })),
    ],
    ['another rawId', changed(response => void Object.assign(response, { rawId: 'AAAA' }))],
    ['another id', changed(response => void Object.assign(response, { id: 'AAAA', rawId: 'AAAA' }))],
    ...(isUse(way) ? misusesOfUse(way, changed, use) : misusesOfCreation(changed)),
  ];
}

type Changed = (change: (response: any) => unknown) => (options: any) => unknown;

const cut = (base64Url: string, bytes: number) =>
  Buffer.from(base64Url, 'base64url').subarray(0, bytes).toString('base64url');

function misusesOfUse(way: Way, changed: Changed, use: (misconduct: Misconduct) => (options: any) => unknown) {
  const others = (options: any) => ({ ...options, allowCredentials: undefined });
  const handleOf = (account: Account) =>
    account.device.get(others({ rpId: RP_ID, challenge: 'x' })).response.userHandle;
  const all: [name: string, make: (options: any) => unknown][] = [
    ['a counter that goes back', use({ signCount: 1 })],
    ['a counter that is not there any more', use({ signCount: 0 })],
    ['a passkey that is not copied any more', use({ backedUp: false })],
    ['the user handle of another account', use({ userHandle: handleOf(mallory) as string })],
    [
      'the passkey of another account',
      options => mallory.device.get(others(options), { userHandle: handleOf(victim) as string }),
    ],
    [
      'a signature of another passkey',
      changed(response => {
        response.response.signature = mallory.device.get(others({ rpId: RP_ID, challenge: 'x' })).response.signature;
      }),
    ],
    [
      'a device that the service does not know',
      options => {
        const device = newDevice();
        device.create({
          ...options,
          rp: { id: RP_ID, name: '' },
          user: { id: handleOf(victim), name: '', displayName: '' },
        });
        return device.get(others(options));
      },
    ],
    ['a signature of nothing', changed(({ response }) => void Object.assign(response, { signature: 'AA' }))],
    [
      'authenticator data that is cut',
      changed(
        ({ response }) => void Object.assign(response, { authenticatorData: cut(response.authenticatorData, 30) }),
      ),
    ],
    [
      'authenticator data of one byte',
      changed(({ response }) => void Object.assign(response, { authenticatorData: 'AA' })),
    ],
  ];
  if (way.kind !== 'passkey-sign-in') return all;
  return [
    ...all,
    ['no user handle', changed(({ response }) => void Reflect.deleteProperty(response, 'userHandle'))],
    ['an empty user handle', use({ userHandle: '' })],
    ['a user handle with U+0000', use({ userHandle: `a\0${'b'.repeat(41)}` })],
    ['a username for a user handle', use({ userHandle: victim.credentials.username })],
  ] as typeof all;
}

function misusesOfCreation(changed: Changed) {
  const attestation = (attestationObject: (bytes: Buffer) => Buffer) =>
    changed(({ response }) => {
      const bytes = Buffer.from(response.attestationObject, 'base64url');
      response.attestationObject = attestationObject(bytes).toString('base64url');
    });
  const nested = Buffer.alloc(9000, 0x81);
  return [
    ['an algorithm that was not offered', (options: any) => newDevice({ algorithm: 'ES384' }).create(options)],
    ['an attestation that is cut', attestation(bytes => bytes.subarray(0, -40))],
    ['an attestation of half a head', attestation(bytes => bytes.subarray(0, 20))],
    ['an attestation of nested arrays', attestation(() => nested)],
    ['an attestation that is a number', attestation(() => Buffer.of(0x18, 0x2a))],
    ['an attestation that is an empty map', attestation(() => Buffer.of(0xa0))],
    ['an attestation of random bytes', attestation(() => randomBytes(300))],
    [
      'an attestation with another fmt and no authenticator data',
      attestation(() => Buffer.from('a163666d74646e6f6e65', 'hex')),
    ],
  ] as [name: string, make: (options: any) => unknown][];
}

const stateOf = async (account: Account) => {
  const { rows } = await service.sql(
    `SELECT (SELECT count(*)::int FROM auth.sessions WHERE user_id = $1) AS sessions,
       (SELECT count(*)::int FROM auth.passkeys WHERE account_id = $1) AS passkeys,
       (SELECT count(*)::int FROM auth.users) AS users, (SELECT count(*)::int FROM auth.used_challenges) AS challenges`,
    [account.id],
  );
  return rows[0];
};

t.test('no misuse of a passkey is accepted', async t => {
  const before = await stateOf(victim);
  let cases = 0;
  for (const way of [...uses(victim), ...creations(victim)]) {
    for (const [name, misuse] of misuses(way)) {
      const { options, take } = await way.begin();
      const { status, body } = await take(misuse(options));
      t.same([status, body.code], way.refusal, `${way.name}: ${name}`);
      cases++;
    }
  }
  t.comment(`${cases} cases`);
  t.same(await stateOf(victim), before, 'and nothing has changed');
  t.same(
    service.logs.filter(line => JSON.parse(line).level >= 50),
    [],
    'nor has anything failed',
  );
});

t.test('what is right is accepted once', async t => {
  for (const way of [...uses(victim), ...creations(victim)]) {
    const { options, take } = await way.begin();
    const response = make(way, deviceOf(way), options);
    const first = await take(response);
    t.ok(first.status === 200 || first.status === 201, `${way.name}: ${first.text}`);
    const again = await take(response);
    const [status, code] = way.name === 'sign-up' ? [409, 'username_taken'] : way.refusal;
    t.same([again.status, again.body.code], [status, code], `${way.name}: a replay`);
  }
});

t.test('what is not of the form is refused before it is looked at', async t => {
  for (const way of [...uses(mallory), ...creations(mallory)]) {
    const { options, take } = await way.begin();
    const genuine = structuredClone(make(way, isUse(way) ? mallory.device : newDevice(), options)) as any;
    const member = isUse(way) ? 'signature' : 'attestationObject';
    for (const [name, change] of [
      ['no base64url', { response: { ...genuine.response, [member]: 'a+b/c==' } }],
      ['an empty text', { response: { ...genuine.response, [member]: '' } }],
      ['a number', { response: { ...genuine.response, clientDataJSON: 1 } }],
      ['no response', { response: undefined }],
      ['another type', { type: 'password' }],
      ['an id that is too long', { id: 'A'.repeat(1400), rawId: 'A'.repeat(1400) }],
    ] as const) {
      const { status, body } = await take({ ...genuine, ...change });
      t.same([status, body.code], [400, 'invalid_request'], `${way.name}: ${name}`);
    }
    const { status, body } = await take({ ...genuine, id: 'A'.repeat(17_000) });
    t.same([status, body.code], [413, 'payload_too_large'], `${way.name}: more than 16 KiB`);
  }
});

const [FIRST_OF_R, SURE_OF_R] = [5, 30];

t.test('no byte of an assertion may change', async t => {
  const [way] = uses(mallory) as [Way];
  const { options, take } = await way.begin();
  const genuine = make(way, mallory.device, options) as any;
  const member = fc.constantFrom('clientDataJSON', 'authenticatorData', 'signature');
  await fc.assert(
    fc.asyncProperty(member, fc.nat(), fc.integer({ min: 1, max: 255 }), async (member, at, flip) => {
      const bytes = Buffer.from(genuine.response[member], 'base64url');
      // The library reads the frame of an ECDSA signature (tags, lengths) as BER, which has several forms of one pair of numbers.
      const index = member === 'signature' ? FIRST_OF_R + (at % SURE_OF_R) : at % bytes.length;
      bytes[index] = (bytes[index] as number) ^ flip;
      const response = { ...genuine.response, [member]: bytes.toString('base64url') };
      const { status, body } = await take({ ...genuine, response });
      return status === 401 && body.code === 'invalid_passkey';
    }),
    { numRuns: 300 },
  );
  t.equal((await take(genuine)).status, 200, 'the assertion itself is right');
});

t.test('no registration of any bytes is answered 5xx', async () => {
  const [way] = creations(mallory) as [Way];
  const { options, take } = await way.begin();
  const genuine = make(way, newDevice(), options) as any;
  const object = Buffer.from(genuine.response.attestationObject, 'base64url');
  await fc.assert(
    // Nobody signs a registration, so another end of the public key would be another passkey.
    fc.asyncProperty(fc.nat(object.length - 80), fc.uint8Array({ maxLength: 40 }), async (at, other) => {
      const bytes = Buffer.concat([object.subarray(0, at), other]);
      const response = { ...genuine.response, attestationObject: bytes.toString('base64url') || 'AA' };
      const { status, body } = await take({ ...genuine, response });
      return status === 400 && body.code === 'invalid_passkey';
    }),
    { numRuns: 200 },
  );
});

t.test('a passkey that was removed, or is of a disabled or deleted account, does not sign in', async t => {
  const way = (account: Account) => uses(account)[0] as Way;
  const refused = async (account: Account, what: string) => {
    const { options, take } = await way(account).begin();
    const { status, body } = await take(account.device.get(options));
    t.same([status, body.code], [401, 'invalid_passkey'], what);
  };
  const removed = await signUpWithDevice(service);
  const begun = await way(removed).begin();
  const response = removed.device.get(begun.options);
  t.equal((await send(url(`/auth/passkeys/${removed.passkey.id}`), 'DELETE', removed.token)).status, 204);
  t.match(
    await begun.take(response),
    { status: 401, body: { code: 'invalid_passkey' } },
    'not even when it was begun before',
  );
  await refused(removed, 'removed');

  const disabled = await signUpWithDevice(service);
  await service.sql('UPDATE auth.users SET disabled_at = now() WHERE id = $1', [disabled.id]);
  await refused(disabled, 'disabled');
  await service.sql('UPDATE auth.users SET disabled_at = NULL WHERE id = $1', [disabled.id]);
  const enabled = await way(disabled).begin();
  t.equal((await enabled.take(disabled.device.get(enabled.options))).status, 200);

  const deleted = await signUpWithDevice(service);
  await service.sql('DELETE FROM auth.users WHERE id = $1', [deleted.id]);
  await refused(deleted, 'deleted');
  const { rows } = await service.sql('SELECT FROM auth.identifiers WHERE user_id = $1', [deleted.id]);
  t.same(rows, []);
});

t.test(
  'another account can neither rename nor remove a passkey, and options of one session are no others’',
  async t => {
    const { id } = victim.passkey;
    t.equal((await send(url(`/auth/passkeys/${id}`), 'PATCH', mallory.token, { name: 'mine' })).status, 404);
    t.equal((await send(url(`/auth/passkeys/${id}`), 'DELETE', mallory.token)).status, 404);
    for (const name of ['', 'x'.repeat(65), 'a\nb', 'a\0', '\ud800']) {
      const renamed = await send(url(`/auth/passkeys/${id}`), 'PATCH', victim.token, { name });
      t.match(renamed, { status: 400, body: { code: 'invalid_request' } }, JSON.stringify(name));
    }
    const options = (await send(url('/auth/passkeys/options'), 'POST', victim.token)).body;
    const stolen = newDevice().create(options);
    t.match(await send(url('/auth/passkeys'), 'POST', mallory.token, { response: stolen }), {
      status: 400,
      body: { code: 'invalid_passkey' },
    });
    const { token } = await signUp(service);
    for (const path of ['/auth/passkeys/options', '/auth/passkeys', '/auth/step-up/passkey/options']) {
      const answer = await post(url(path), {});
      t.match(answer, { status: 401, body: { code: 'missing_token' } }, path);
    }
    t.equal((await get(url('/auth/factors'), token)).body.passkeys.length, 0);
  },
);
