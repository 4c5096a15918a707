import { randomUUID } from 'node:crypto';
import type { Config } from '../../config/settings.js';
import { JWKS_MAX_AGE_S } from '../../keys/rotation.js';
import type { StoredKey } from '../../keys/stored-keys.js';
import { judgeClock } from './clocks.js';
import { type Finding, fail, ok, skip, warn } from './finding.js';

const NAME = 'PUBLIC_URL';
// For all requests together.
const LIMIT_MS = 3000;
// A Date header has whole seconds.
const DATE_BLUR_MS = 1000;

type JsonResponse = { status: number; headers: Headers; body: unknown };

/** Requests from PUBLIC_URL what clients and verifiers request, to check whether it leads to this installation. */
export async function checkPublicUrl(
  { publicUrl }: Pick<Config, 'publicUrl'>,
  keys: StoredKey[] | undefined,
): Promise<Finding[]> {
  const { username, password } = new URL(publicUrl);
  if (username !== '' || password !== '') return [skip(NAME, 'it has a username or a password')];
  const signal = AbortSignal.timeout(LIMIT_MS);
  const request = (path: string, headers = {}) => requestJson(`${publicUrl}${path}`, headers, signal);
  let metadata: JsonResponse;
  const before = Date.now();
  try {
    metadata = await request('/.well-known/oauth-authorization-server', { 'cache-control': 'no-cache' });
  } catch (error) {
    const detail = `${publicUrl} cannot be reached from here (${causeOf(error)})`;
    return [warn(NAME, detail, 'Start the service and its gateway. If they run, run the doctor where clients are.')];
  }
  const clock = judgeDate(metadata.headers, before, Date.now());
  return [...(await compare(publicUrl, metadata, keys, request)), ...clock];
}

async function compare(
  publicUrl: string,
  metadata: JsonResponse,
  keys: StoredKey[] | undefined,
  request: (path: string, headers?: Record<string, string>) => Promise<JsonResponse>,
): Promise<Finding[]> {
  const { status, body } = metadata;
  const advice = 'Configure the gateway to pass /auth, /oauth and /.well-known to the service.';
  if (status >= 500) {
    return [warn(NAME, `${publicUrl} responds with ${status}`, 'Start the service. If it runs, check the gateway.')];
  }
  const issuer = (body as { issuer?: unknown } | undefined)?.issuer;
  if (status !== 200 || typeof issuer !== 'string') {
    return [fail(NAME, `${publicUrl} responds with ${status} in place of the metadata of the service`, advice)];
  }
  if (issuer !== publicUrl) {
    const detail = `${publicUrl} leads to a service whose PUBLIC_URL is ${issuer}`;
    return [fail(NAME, detail, 'Set PUBLIC_URL of all replicas to the URL that clients use.')];
  }
  try {
    const published = kidsOf((await request('/.well-known/jwks.json')).body);
    return [compareKeys(publicUrl, published, keys), ...(await checkRequestId(request))];
  } catch (error) {
    return [warn(NAME, `${publicUrl} responded once, and then failed (${causeOf(error)})`, 'Try again.')];
  }
}

/** Whether the published keys are those of this database; a service makes one when it starts. */
function compareKeys(publicUrl: string, published: unknown[], keys: StoredKey[] | undefined): Finding {
  if (!keys) {
    const unchecked = 'whether it is this installation was not checked, because the signing keys were not read';
    return { name: NAME, status: 'skip', detail: `${publicUrl} leads to a service with this PUBLIC_URL; ${unchecked}` };
  }
  const key = keys.find(({ state }) => state === 'active') ?? keys.find(({ state }) => state === 'next');
  if (!key) {
    const detail = `${publicUrl} leads to another installation: this database has no signing key`;
    return warn(NAME, detail, 'Start the service on this database, or set PUBLIC_URL to the service that uses it.');
  }
  if (published.includes(key.kid)) return ok(NAME, `${publicUrl} leads to this installation`);
  const detail = `${publicUrl} does not publish the ${key.state} key ${key.kid} of this database`;
  const advice = `Check that it leads to this installation, and that no cache keeps the keys for longer than ${JWKS_MAX_AGE_S} s.`;
  return fail(NAME, detail, advice);
}

/** Whether a caller can choose the request id of the log. A response with 401 contains it. */
async function checkRequestId(
  request: (path: string, headers: Record<string, string>) => Promise<JsonResponse>,
): Promise<Finding[]> {
  const forged = `latchkey-doctor-${randomUUID()}`;
  const { body } = await request('/auth/me', { 'x-request-id': forged });
  if ((body as { requestId?: unknown } | undefined)?.requestId !== forged) return [];
  const detail = 'callers from here can choose the request id of the log';
  const advice =
    'Configure the gateway to replace X-Request-Id and X-Forwarded-For. Expected when TRUST_PROXY contains this machine and no gateway is between.';
  return [warn('request-id', detail, advice)];
}

async function requestJson(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<JsonResponse> {
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
  // A response from a cache has the time of its copy.
  if (Number.isNaN(date) || headers.has('age')) return [];
  // It is truncated to a second: on average, half a second is missing.
  const aheadMs = date + DATE_BLUR_MS / 2 - (before + after) / 2;
  const finding = judgeClock('gateway-clock', aheadMs, (after - before + DATE_BLUR_MS) / 2, 'PUBLIC_URL');
  // Tokens are dated by the database's clock, so a gateway's is never a failure.
  return [finding.status === 'fail' ? { ...finding, status: 'warn' } : finding];
}

/** Why a request failed, without its URL. */
export function causeOf(error: unknown): string {
  const { name, cause } = error as { name?: string; cause?: { code?: string; message?: string } };
  if (name === 'TimeoutError') return 'no response in time';
  return cause?.code ?? cause?.message ?? name ?? 'unknown';
}
