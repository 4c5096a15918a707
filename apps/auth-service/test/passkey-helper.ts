import { createVirtualAuthenticator, type VirtualAuthenticator } from '@latchkey/auth-client/testing';
import type { PasskeyCreationOptions } from '@latchkey/user-schema';
import type { Test } from 'tap';
import type { Config } from '#src/config/settings.js';
import { type Answer, call, createDatabase, newCredentials, post, type Service, startService } from './helper.js';

export const RP_ID = 'example.com';
export const ORIGIN = 'https://app.example.com';

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
export const send = (url: string, method: string, token: string, body?: unknown): Promise<Answer> =>
  call(url, {
    method,
    headers: { ...bearer(token), ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });

/** A service whose passkeys are of `example.com`. */
export async function startWithPasskeys(t: Test, overrides: Partial<Config> = {}): Promise<Service> {
  const passkeys = { rpId: RP_ID, rpName: 'Example', origins: [ORIGIN, 'https://auth.example.com'] };
  return startService(t, { databaseUrl: await createDatabase(), passkeys, ...overrides });
}

export const newDevice = (options: Partial<Parameters<typeof createVirtualAuthenticator>[0]> = {}) =>
  createVirtualAuthenticator({ origin: ORIGIN, ...options });

/** An account with a password alone. */
export async function signUp({ base }: Service) {
  const credentials = newCredentials();
  const { body } = await post(`${base}/auth/sign-up`, credentials);
  return {
    credentials,
    token: body.token as string,
    refreshToken: body.refreshToken as string,
    id: body.user.id as string,
  };
}

export const creationOptions = async ({ base }: Service, token: string) =>
  (await send(`${base}/auth/passkeys/options`, 'POST', token)).body;
/** Options as the service makes them, with any challenge. */
export const optionsOf = (challenge: string): PasskeyCreationOptions => ({
  ...{ rp: { id: RP_ID, name: 'Example' }, user: { id: 'x', name: 'x', displayName: 'x' }, challenge },
  ...{ pubKeyCredParams: [], timeout: 300_000, excludeCredentials: [], attestation: 'none' },
  authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
});
export const signInOptions = async ({ base }: Service, challenge?: string) =>
  (await post(`${base}/auth/sign-in/passkey/options`, challenge === undefined ? {} : { challenge })).body;

/** Adds a passkey of a device to the account of a token. */
export async function addPasskey(service: Service, token: string, device: VirtualAuthenticator, name?: string) {
  const response = device.create(await creationOptions(service, token));
  return send(`${service.base}/auth/passkeys`, 'POST', token, { response, ...(name !== undefined && { name }) });
}

/** An account with a password and a passkey, and a fresh session of the passkey. */
export async function signUpWithDevice(service: Service, device = newDevice()) {
  const account = await signUp(service);
  const added = (await addPasskey(service, account.token, device)).body;
  const { body } = await signIn(service, device);
  return {
    ...account,
    device,
    passkey: added,
    recoveryCodes: added.recoveryCodes as string[],
    token: body.token as string,
  };
}

/** Signs in with a passkey alone. */
export async function signIn(service: Service, device: VirtualAuthenticator, headers = {}): Promise<Answer> {
  const response = device.get(await signInOptions(service));
  return post(`${service.base}/auth/sign-in/passkey`, { response }, headers);
}
