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

// A refresh is the statement that the service sends, which the bench has recorded, and one signature.
const REFRESH = env['REFRESH'] as string;
const sign = createSigner({ key: env['SIGNING_KEY'] as string, algorithm: 'ES256' });
const pool = new pg.Pool({ connectionString: env['DATABASE_URL'] });
app.post<{ Body: { values: unknown[] } }>('/auth/refresh', async ({ body }) => {
  const { rows } = await pool.query<Record<string, unknown>>(REFRESH, body.values.map(fromJson));
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
  const { base64 } = (value ?? {}) as { base64?: string };
  return base64 === undefined ? value : Buffer.from(base64, 'base64');
}
