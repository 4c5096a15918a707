// The references: Fastify routes that answer as much as ours and do nothing else.

import { executionAsyncResource } from 'node:async_hooks';
import { createSigner } from 'fast-jwt';
import { fastify } from 'fastify';
import pg from 'pg';
import { issueRefreshToken, parseRefreshToken, refreshTokenKey } from './refresh-tokens.js';
import type { Parameter, RefreshStatement } from './speed/refresh-statement.js';

// As the service keeps one: see kept-tick.ts of service-kit.
const kept: object[] = [];
process.nextTick(() => kept.push(executionAsyncResource()));

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

// A refresh is the statement that the service sends, which the bench has recorded, with the values of the newest token: so it writes
// what a refresh writes. Beside it are the two MACs of the old and the new token, and one signature.
const { text, parameters } = JSON.parse(env['REFRESH'] as string) as RefreshStatement;
const key = refreshTokenKey(env['AUTH_SECRETS'] as string);
const sign = createSigner({ key: env['SIGNING_KEY'] as string, algorithm: 'ES256' });
const pool = new pg.Pool({ connectionString: env['DATABASE_URL'] });

type Row = Record<'id' | 'userId' | 'username' | 'createdAt', string> &
  Record<'generation' | 'issuedAt' | 'tokenExpiresAt' | 'refreshExpiresIn', number> & { salt: Buffer };

async function refresh(refreshToken: string, name?: string) {
  const token = parseRefreshToken(key, refreshToken);
  const toValue = (parameter: Parameter) => {
    if ('constant' in parameter) return parameter.constant;
    return parameter.part === 'seeds' ? [token.seed] : token[parameter.part];
  };
  const { rows } = await pool.query<Row>({ ...(name && { name }), text, values: parameters.map(toValue) });
  const { id, generation, salt, userId, username, createdAt, issuedAt, tokenExpiresAt, refreshExpiresIn } =
    rows[0] as Row;
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
  return {
    token: sign(claims),
    tokenType: 'Bearer',
    expiresIn: tokenExpiresAt - issuedAt,
    refreshToken: issueRefreshToken(key, { accountId: userId, sessionId: id, generation }, salt),
    refreshExpiresIn,
    user: { id: userId, username, createdAt },
  };
}

type Body = { Body: { refreshToken: string } };
app.post<Body>('/auth/refresh', ({ body }) => refresh(body.refreshToken));
app.post<Body>('/auth/refresh/prepared', ({ body }) => refresh(body.refreshToken, 'refresh'));

await app.listen({ host: '127.0.0.1', port: Number(env['PORT']) });
process.send?.('ready');
process.once('SIGTERM', () => process.exit());
