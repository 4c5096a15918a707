import { randomBytes } from 'node:crypto';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import { startServer } from '../processes.js';
import { checker, type OnEnd, type Peer, post } from './peer.js';

const SERVER = new URL('better-auth-server.js', import.meta.url);

/**
 * A session is looked up in the database, as is the default; or, with `cookieCache`, read from a signed cookie that may
 * outlive it by five minutes.
 */
export async function startBetterAuth(cost: number, cookieCache: boolean, onEnd: OnEnd): Promise<Peer> {
  const postgres = await startThrowawayPostgres();
  onEnd(postgres.stop);
  const { url, stop } = await startServer(SERVER, {
    NODE_ENV: 'production',
    DATABASE_URL: postgres.url,
    SECRET: randomBytes(32).toString('base64'),
    BCRYPT_COST: String(cost),
    COOKIE_CACHE: String(cookieCache),
  });
  onEnd(stop);
  const credentials = { email: 'peer@example.com', password: 'open sesame 42' };
  await post({ url: `${url}/api/auth/sign-up/email`, body: { ...credentials, name: 'Peer' } });
  const signIn = { url: `${url}/api/auth/sign-in/email`, body: credentials };
  const { headers } = await post(signIn);
  const cookie = headers.getSetCookie().map(cookie => cookie.split(';')[0]);
  return {
    name: cookieCache ? 'Better Auth, cookie cache' : 'Better Auth',
    signIn,
    // Its response to a caller without a session is 200 with null.
    check: checker(`${url}/api/auth/get-session`, { headers: { cookie: cookie.join('; ') } }, credentials.email),
  };
}
