import { randomUUID } from 'node:crypto';
import type { Config } from '../../config/settings.js';
import { JWKS_MAX_AGE_S } from '../../keys/life.js';
import type { StoredKey } from '../../keys/stored-keys.js';
import { judgeClock } from './clocks.js';
import { type Finding, fail, ok, skip, warn } from './finding.js';

const NAME = 'PUBLIC_URL';
// For all questions together.
const LIMIT_MS = 3000;
// A Date header tells whole seconds.
const DATE_BLUR_MS = 1000;

type Asked = { status: number; headers: Headers; body: unknown };

/** Asks PUBLIC_URL what clients and verifiers ask it, to see whether it leads to this installation. */
export async function checkPublicUrl(
  { publicUrl }: Pick<Config, 'publicUrl'>,
  keys: StoredKey[] | undefined,
): Promise<Finding[]> {
  const { username, password } = new URL(publicUrl);
  if (username !== '' || password !== '') return [skip(NAME, 'it holds a username or a password')];
  const signal = AbortSignal.timeout(LIMIT_MS);
  const ask = (path: string, headers = {}) => askJson(`${publicUrl}${path}`, headers, signal);
  let metadata: Asked;
  const before = Date.now();
  try {
    metadata = await ask('/.well-known/oauth-authorization-server', { 'cache-control': 'no-cache' });
  } catch (error) {
    const detail = `${publicUrl} cannot be reached from here (${causeOf(error)})`;
    return [warn(NAME, detail, 'Start the service and its gateway; if they run, ask from where clients are.')];
  }
  const clock = judgeDate(metadata.headers, before, Date.now());
  return [...(await compare(publicUrl, metadata, keys, ask)), ...clock];
}

async function compare(
  publicUrl: string,
  metadata: Asked,
  keys: StoredKey[] | undefined,
  ask: (path: string, headers?: Record<string, string>) => Promise<Asked>,
): Promise<Finding[]> {
  const { status, body } = metadata;
  const advice = 'Let the gateway pass /auth, /oauth and /.well-known on to the service.';
  if (status >= 500) {
    return [warn(NAME, `${publicUrl} answers ${status}`, 'Start the service; if it runs, look at the gateway.')];
  }
  const issuer = (body as { issuer?: unknown } | undefined)?.issuer;
  if (status !== 200 || typeof issuer !== 'string') {
    return [fail(NAME, `${publicUrl} answers ${status} where the metadata of the service should be`, advice)];
  }
  if (issuer !== publicUrl) {
    const detail = `${publicUrl} leads to a service that calls itself ${issuer}`;
    return [fail(NAME, detail, 'Set PUBLIC_URL of all replicas to the URL that clients use.')];
  }
  try {
    const published = kidsOf((await ask('/.well-known/jwks.json')).body);
    const active = keys?.find(({ state }) => state === 'active');
    if (active && !published.includes(active.kid)) {
      const detail = `${publicUrl} does not publish the key ${active.kid} that signs here`;
      const where = `It leads to another installation, or through a cache that keeps keys for longer than ${JWKS_MAX_AGE_S} s.`;
      return [fail(NAME, detail, where)];
    }
    const detail = `${publicUrl} leads ${active ? 'to this installation' : 'to a service of this name'}`;
    return [ok(NAME, detail), ...(await checkRequestId(ask))];
  } catch (error) {
    return [warn(NAME, `${publicUrl} answered once, and then no more (${causeOf(error)})`, 'Try again.')];
  }
}

/** Whether a caller can choose the request id that the logs show. An answer 401 tells it. */
async function checkRequestId(
  ask: (path: string, headers: Record<string, string>) => Promise<Asked>,
): Promise<Finding[]> {
  const forged = `latchkey-doctor-${randomUUID()}`;
  const { body } = await ask('/auth/me', { 'x-request-id': forged });
  if ((body as { requestId?: unknown } | undefined)?.requestId !== forged) return [];
  const detail = 'who calls from here chooses the request id that the logs show';
  const advice =
    'Let the gateway replace X-Request-Id and X-Forwarded-For. No need when TRUST_PROXY names this machine and no gateway is between.';
  return [warn('request-id', detail, advice)];
}

async function askJson(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<Asked> {
  const response = await fetch(url, { headers, signal });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: parseJson(text) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function kidsOf(jwks: unknown): unknown[] {
  const { keys } = (jwks ?? {}) as { keys?: unknown };
  return Array.isArray(keys) ? keys.map(key => (key as { kid?: unknown } | null)?.kid) : [];
}

function judgeDate(headers: Headers, before: number, after: number): Finding[] {
  const date = Date.parse(headers.get('date') ?? '');
  // A cache tells when its copy was made.
  if (Number.isNaN(date) || headers.has('age')) return [];
  // It was cut to a second: on average, half a one is missing.
  const aheadMs = date + DATE_BLUR_MS / 2 - (before + after) / 2;
  const finding = judgeClock(aheadMs, (after - before + DATE_BLUR_MS) / 2, 'PUBLIC_URL');
  // The database's clock decides over tokens, not the gateway's.
  return [finding.status === 'fail' ? { ...finding, status: 'warn' } : finding];
}

/** Why a request failed, without the URL that it went to. */
export function causeOf(error: unknown): string {
  const { name, cause } = error as { name?: string; cause?: { code?: string; message?: string } };
  if (name === 'TimeoutError') return 'no answer in time';
  return cause?.code ?? cause?.message ?? name ?? 'unknown';
}
