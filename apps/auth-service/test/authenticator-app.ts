import { randomBytes } from 'node:crypto';
import { transact } from '@latchkey/service-kit/database';
import { Secret, TOTP } from 'otpauth';
import { resealTotp } from '#src/credentials/totp/stored-totp.js';
import { newCredentials, post, type Service, segment, send } from './helper.js';

/** The code that an authenticator app shows, so many steps from now. */
export const codeOf = (secret: string, steps = 0): string =>
  new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: Date.now() + steps * 30_000 });

/** Six digits that are no code of an app for a while. */
export function wrongCodeOf(secret: string): string {
  const right = [-2, -1, 0, 1, 2].map(steps => codeOf(secret, steps));
  return ['000000', '000001', '000002', '000003', '000004', '000005'].find(code => !right.includes(code)) as string;
}

/** Adds an authenticator app in a session: its secret, and the recovery codes. */
export async function addApp(service: Pick<Service, 'base'>, token: string) {
  const made = await send(`${service.base}/auth/totp`, 'POST', token);
  if (made.status !== 200) throw new Error(`no secret: ${made.text}`);
  const { secret } = made.body;
  const confirmed = await send(`${service.base}/auth/totp/confirm`, 'POST', token, { totp: codeOf(secret) });
  if (confirmed.status !== 200) throw new Error(`not confirmed: ${confirmed.text}`);
  return { secret: secret as string, codes: confirmed.body.recoveryCodes as string[] };
}

/** Signs an account up that has an authenticator app. Its session has `aal2` from its next refresh on. */
export async function signUpWithApp(
  service: Service,
  headers: Record<string, string> = {},
  credentials = newCredentials(),
) {
  const { body } = await post(`${service.base}/auth/sign-up`, credentials, headers);
  const app = await addApp(service, body.token);
  const { token, refreshToken } = body as { token: string; refreshToken: string };
  return { credentials, id: body.user.id as string, sid: segment(token, 1).sid as string, token, refreshToken, ...app };
}

/** A code that was not used: one that was counts as unused again, as if half a minute had passed. */
export async function newCode({ sql }: Pick<Service, 'sql'>, secret: string): Promise<string> {
  await sql('UPDATE auth.totp SET last_step = 0');
  return codeOf(secret);
}

type Credentials = { username: string; password: string };

/** Signs in by a password up to where a second factor is due: the challenge. */
export async function challengeOf({ base }: Pick<Service, 'base'>, credentials: Credentials, headers = {}) {
  const { status, body, text } = await post(`${base}/auth/sign-in`, credentials, headers);
  if (status !== 401 || body.code !== 'second_factor_required') throw new Error(`no second factor is due: ${text}`);
  return body.challenge as string;
}

/** Completes a sign-in. */
export const complete = ({ base }: Pick<Service, 'base'>, challenge: string, proof: object, headers = {}) =>
  post(`${base}/auth/sign-in/second-factor`, { challenge, ...proof }, headers);

/** Signs in by a password and an authenticator app. */
export async function signInWithApp(
  service: Service,
  { credentials, secret }: { credentials: Credentials; secret: string },
): Promise<{ token: string; refreshToken: string; sid: string }> {
  const totp = await newCode(service, secret);
  const { status, body, text } = await complete(service, await challengeOf(service, credentials), { totp });
  if (status !== 200) throw new Error(`not signed in: ${text}`);
  return { token: body.token, refreshToken: body.refreshToken, sid: segment(body.token, 1).sid };
}

/** What an access token says of how its user was proved. */
export const assuranceOf = (token: string): { amr: string[]; acr: string; auth_time: number } => {
  const { amr, acr, auth_time } = segment(token, 1);
  return { amr, acr, auth_time };
};

/** Does everything that can be done with an authenticator app and recovery codes, and leaves none. */
export async function useApp(service: Service, credentials: Credentials): Promise<void> {
  const { app, base, config } = service;
  const { token } = (await post(`${base}/auth/sign-in`, credentials)).body;
  const { secret, codes } = await addApp(service, token);
  const challenge = await challengeOf(service, credentials);
  const { body } = await complete(service, challenge, { recoveryCode: codes[0] });
  const totp = await newCode(service, secret);
  await send(`${service.base}/auth/step-up`, 'POST', body.token, { totp });
  await send(`${service.base}/auth/totp/confirm`, 'POST', token, { totp });
  await send(`${service.base}/auth/factors`, 'GET', token);
  await transact(app.pg, db => resealTotp(db, [{ id: 'next', key: randomBytes(32) }, ...config.authSecrets], 10));
  await send(`${service.base}/auth/recovery-codes`, 'POST', body.token);
  await send(`${service.base}/auth/totp`, 'DELETE', body.token);
}
