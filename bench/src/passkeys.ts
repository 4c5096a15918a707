import { randomUUID } from 'node:crypto';
import { createVirtualAuthenticator } from '@latchkey/auth-client/testing';
import { type Connections, formatRequest, sendOk } from './connections.js';
import { clientOf, ISSUER } from './stage.js';

/**
 * Signs up so many accounts with a passkey each.
 *
 * @returns what signs one of them in, in turn: a request for the options, and one with the passkey
 */
export async function createPasskeySignIns(
  url: string,
  connections: Connections,
  accounts: number,
): Promise<() => Promise<void>> {
  const client = clientOf({ url });
  const devices = Array.from({ length: accounts }, () => createVirtualAuthenticator({ origin: ISSUER }));
  for (const device of devices) {
    const options = await client.passkeySignUpOptions({ username: `user-${randomUUID()}` });
    await client.signUpWithPasskey({ response: device.create(options) });
  }
  const askOptions = formatRequest(`${url}/auth/sign-in/passkey/options`, {}, {});
  let next = 0;
  return async () => {
    const device = devices[next++ % accounts] as (typeof devices)[number];
    const { body } = await sendOk(connections, askOptions);
    const response = device.get(JSON.parse(body.toString()));
    await sendOk(connections, formatRequest(`${url}/auth/sign-in/passkey`, {}, { response }));
  };
}
