// The references: Fastify routes that answer as much as ours and do nothing else.

import { createSigner } from 'fast-jwt';
import { fastify } from 'fastify';
import pg from 'pg';

const env = process.env;
const app = fastify();

app.get('/auth/verify', (_request, reply) => {
  reply
    .header('x-request-id', '01a20b2e-4a43-7235-b259-7ff0cab3d9d5')
    .header('x-auth-user-id', '01a20b2e-4a43-7235-b259-7ff0cab3d9d5')
    .header('x-auth-username', 'bench')
    .header('x-auth-session-id', '01a20b2e-4a43-7235-b259-7ff0cab3d9d5')
    .send();
});

// A refresh is the same statement and one signature.
const data = new URL('../../apps/auth-service/dist/', import.meta.url);
const { REFRESH } = await import(new URL('sessions/refresh.js', data).href);
const { originValue } = await import(new URL('events/audit-events.js', data).href);
const sign = createSigner({ key: env['SIGNING_KEY'] as string, algorithm: 'ES256' });
const pool = new pg.Pool({ connectionString: env['DATABASE_URL'] });
app.post<{ Body: { values: unknown[] } }>('/auth/refresh', async ({ body }) => {
  const origin = originValue({ requestId: 'bench', address: '127.0.0.1', userAgent: 'bench' });
  const { rows } = await pool.query<Record<string, unknown>>(REFRESH as string, [...body.values.map(fromJson), origin]);
  const { id, userId, username, issuedAt, tokenExpiresAt } = rows[0] as Record<string, unknown>;
  const claims = {
    iss: 'bench',
    aud: 'bench',
    sub: userId,
    sid: id,
    id: userId,
    username,
    iat: issuedAt,
    exp: tokenExpiresAt,
  };
  return { token: sign(claims), refreshToken: id, user: { id: userId, username } };
});

await app.listen({ host: '127.0.0.1', port: Number(env['PORT']) });
process.send?.('ready');
process.once('SIGTERM', () => process.exit());

/** Bytes travel as `{ base64 }`. */
function fromJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromJson);
  const { base64 } = (value ?? {}) as { base64?: string };
  return base64 === undefined ? value : Buffer.from(base64, 'base64');
}
