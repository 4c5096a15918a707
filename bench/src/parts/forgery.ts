import { createVerifier } from '@latchkey/auth-client';
import { formatRequest, openConnections } from '../connections.js';
import { never, type Part, percentile, progress, type Row, round } from '../report.js';
import { AUDIENCE, clientOf, ISSUER, setStage, signUp } from '../stage.js';

const DEFAULT_COUNT = 10_000;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/';
const HUGE = 64 * 1024;
// Beyond 16 KiB of headers Node answers by itself, and hangs up.
const HUGE_HEADER = 12 * 1024;

/** Mutations of valid tokens, at `/auth/verify` and at an offline verifier; none may be accepted. */
export const forgery: Part = async ({ count = DEFAULT_COUNT }) => {
  const stage = await setStage();
  const server = await stage.start();
  const verifier = createVerifier({ issuer: ISSUER, audience: AUDIENCE, baseUrl: server.url });
  try {
    const client = clientOf(server);
    const valid = [(await signUp(client)).token, (await signUp(client)).token] as [string, string];
    for (const token of valid) await verifier.verify(token);

    const atVerifier = createMutator(valid, 1, HUGE);
    const times: number[] = [];
    let accepted = 0;
    for (let i = 0; i < count; i++) {
      const token = atVerifier();
      const before = performance.now();
      await verifier.verify(token).then(
        () => accepted++,
        () => undefined,
      );
      times.push(performance.now() - before);
      if (i % 1000 === 0) progress(`mutations at the verifier: ${i} of ${count}`);
    }
    progress('');

    const service = await forgeAt(`${server.url}/auth/verify`, createMutator(valid, 2, HUGE_HEADER), count);
    for (const token of valid) await client.me(token);
    return {
      title: 'Forged tokens',
      rows: [
        ...rowsOf('verifier', count, accepted, percentile(times, 99.9), percentile(times, 100)),
        ...rowsOf('service', count, service.accepted, percentile(service.times, 99.9), percentile(service.times, 100)),
        never('service: neither 200 nor refused', service.stray),
      ],
    };
  } finally {
    verifier.close();
    await stage.stop();
  }
};

/** Sends mutations one after the other, so that each time is that of a response and of no queue. */
async function forgeAt(url: string, mutate: () => string, count: number) {
  const connections = openConnections(url);
  const times: number[] = [];
  let accepted = 0;
  let stray = 0;
  for (let i = 0; i < count; i++) {
    const request = formatRequest(url, { authorization: `Bearer ${mutate()}` });
    const before = performance.now();
    const status = await connections.send(request).then(
      response => response.status,
      () => 0,
    );
    times.push(performance.now() - before);
    if (status >= 200 && status < 300) accepted++;
    else if (status < 400 || status >= 500) stray++;
    if (i % 1000 === 0) progress(`mutations at the service: ${i} of ${count}`);
  }
  connections.close();
  progress('');
  return { times, accepted, stray };
}

function rowsOf(where: string, count: number, accepted: number, p999: number, max: number): Row[] {
  const reference = `${count} mutations`;
  return [
    { what: `${where}: accepted`, measured: accepted, reference, promise: '0', broken: accepted > 0 },
    { what: `${where}: p99.9, ms`, measured: round(p999, 2), reference, promise: '< 5' },
    { what: `${where}: max, ms`, measured: round(max, 2), reference, promise: '' },
  ];
}

/** Makes tokens that are not, but nearly, one of the valid ones; the same ones for the same seed. */
function createMutator(valid: [string, string], seed: number, huge: number): () => string {
  const random = createRandom(seed);
  const below = (n: number) => Math.floor(random() * n);
  const character = () => ALPHABET[below(ALPHABET.length)] as string;
  const pick = () => valid[below(valid.length)] as string;
  const mutations: (() => string)[] = [
    // A character another, gone, or one more.
    () => splice(pick(), 1, character()),
    () => splice(pick(), 1, ''),
    () => splice(pick(), 0, character()),
    // Several at once.
    () => splice(splice(splice(pick(), 1, character()), 1, character()), 1, character()),
    // Segments of two tokens.
    () => Array.from({ length: 3 }, (_, i) => pick().split('.')[i]).join('.'),
    // Cut off, or repeated.
    () => pick().slice(0, below(valid[0].length)),
    () => `${pick()}.${pick()}`,
    // A bit of the signature.
    () => flipBit(pick()),
    // A payload or a header that says something else.
    () => rewrite(pick(), 1, { exp: below(2 ** 31), sid: character() }),
    () => rewrite(pick(), 0, { kid: character() }),
    () => rewrite(pick(), 0, { alg: ['none', 'HS256', 'RS256', 'ES384'][below(4)] }),
  ];
  const splice = (token: string, remove: number, insert: string) => {
    const at = below(token.length);
    return token.slice(0, at) + insert + token.slice(at + remove);
  };
  const flipBit = (token: string) => {
    const [header, payload, signature = ''] = token.split('.');
    const bytes = Buffer.from(signature, 'base64url');
    const at = below(bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << below(8));
    return `${header}.${payload}.${bytes.toString('base64url')}`;
  };
  const rewrite = (token: string, segment: number, change: object) => {
    const segments = token.split('.');
    const said = JSON.parse(Buffer.from(segments[segment] as string, 'base64url').toString());
    segments[segment] = Buffer.from(JSON.stringify({ ...said, ...change })).toString('base64url');
    return segments.join('.');
  };
  return () => {
    if (below(1000) === 0) return pick() + 'A'.repeat(huge);
    for (;;) {
      const token = (mutations[below(mutations.length)] as () => string)();
      // Some are valid ones again.
      if (!valid.includes(token)) return token;
    }
  };
}

/** A small generator of random numbers in [0, 1): mulberry32. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
