import { createVirtualAuthenticator, type VirtualAuthenticator } from '@latchkey/auth-client/testing';
import type { PasskeyCreationOptions, SignedIn } from '@latchkey/user-schema';
import type { Test } from 'tap';
import type { Config } from '#src/config/settings.js';
import { type Answer, createDatabase, get, newCredentials, post, type Service, send, startService } from './helper.js';

export const RP_ID = 'example.com';
export const ORIGIN = 'https://app.example.com';

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

/** Does everything that can be done with passkeys, in a session of an account, and leaves none. */
export async function usePasskeys(
  t: Test,
  service: Service,
  username: string,
  { token, refreshToken }: SignedIn,
): Promise<void> {
  const { base } = service;
  const device = newDevice({ origin: service.config.passkeys.origins[0] as string });
  const added = await addPasskey(service, token, device);
  t.equal(added.status, 201);
  const { challenge } = (await post(`${base}/auth/sign-in`, { username, password: 'another sesame 43' })).body;
  const passkey = device.get(await signInOptions(service, challenge));
  t.equal((await post(`${base}/auth/sign-in/second-factor`, { challenge, passkey })).status, 200);
  t.equal((await signIn(service, device)).status, 200);
  const strong = (await post(`${base}/auth/refresh`, { refreshToken })).body.token;
  const options = (await send(`${base}/auth/step-up/passkey/options`, 'POST', strong)).body;
  t.equal((await send(`${base}/auth/step-up`, 'POST', strong, { passkey: device.get(options) })).status, 200);
  await get(`${base}/auth/factors`, strong);
  const path = `${base}/auth/passkeys/${added.body.id}`;
  t.equal((await send(path, 'PATCH', strong, { name: 'Laptop' })).status, 200);
  t.equal((await send(path, 'DELETE', strong)).status, 204);
  const creation = (await post(`${base}/auth/sign-up/passkey/options`, { username: newCredentials().username })).body;
  t.equal((await post(`${base}/auth/sign-up/passkey`, { response: device.create(creation) })).status, 201);
}
