import { createHash, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import type { PublicJwk } from '@latchkey/user-schema';

/** A key of the test issuer. */
export type TestKey = { jwk: PublicJwk; privateKey: KeyObject; publicKey: KeyObject };

/** Creates a P-256 key for ES256; its id is the RFC 7638 thumbprint. */
export function createTestKey(): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { kty, crv, x, y } = publicKey.export({ format: 'jwk' }) as Record<'kty' | 'crv' | 'x' | 'y', string>;
  const kid = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
  return { jwk: { kty, crv, x, y, kid, alg: 'ES256', use: 'sig' }, privateKey, publicKey };
}

/** Signs claims of any kind. Members of header and claims that are `undefined` are left out. */
export function signToken({ jwk, privateKey }: TestKey, claims: object, header: object = {}): string {
  const input = `${encode({ alg: 'ES256', typ: 'at+jwt', kid: jwk.kid, ...header })}.${encode(claims)}`;
  const signature = sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

/** Returns the claims of a token; `undefined` when none of the keys signed it or it has expired. */
export function readToken(keys: TestKey[], token: string): Record<string, unknown> | undefined {
  const [header = '', payload = '', signature = ''] = token.split('.');
  try {
    const { kid } = decode(header);
    const key = keys.find(({ jwk }) => jwk.kid === kid);
    const how = key && { key: key.publicKey, dsaEncoding: 'ieee-p1363' as const };
    const input = Buffer.from(`${header}.${payload}`);
    if (!how || !verify('sha256', input, how, Buffer.from(signature, 'base64url'))) return undefined;
    const claims = decode(payload);
    return Number(claims['exp']) * 1000 > Date.now() ? claims : undefined;
  } catch {
    return undefined;
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(segment: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(segment, 'base64url').toString());
}
