import type { Queryable } from '@latchkey/service-kit/database';
import { InvalidClientError, InvalidRequestError } from '../http/errors.js';
import { isClientSecret } from './secret.js';
import { findClient, type StoredClient } from './stored-clients.js';

type Credentials = { id: string; secret: string };

const BASIC = /^Basic +([A-Za-z0-9+/]+={0,2})$/i;
const CLIENT_ID = /^[A-Za-z0-9._-]{1,64}$/;

/**
 * Authenticates a client by HTTP Basic or by the form (RFC 6749 §2.3.1).
 *
 * @throws InvalidClientError, or InvalidRequestError when it does both
 */
export async function authenticateClient(
  db: Queryable,
  authorization: string | undefined,
  form: { client_id?: string; client_secret?: string },
): Promise<StoredClient> {
  const { id, secret } = authorization === undefined ? fromForm(form) : fromBasic(authorization);
  if (authorization !== undefined && (form.client_secret || (form.client_id && form.client_id !== id))) {
    throw new InvalidRequestError('Authenticate the client by the header or by the form, not by both.');
  }
  const client = CLIENT_ID.test(id) ? await findClient(db, id) : undefined;
  if (!client || !isClientSecret(secret, client.secretHashes) || client.disabled) throw new InvalidClientError();
  return client;
}

function fromForm({ client_id: id = '', client_secret: secret = '' }: { client_id?: string; client_secret?: string }) {
  return { id, secret };
}

/** Id and secret are form-encoded before they are joined. */
function fromBasic(authorization: string): Credentials {
  const [, encoded = ''] = BASIC.exec(authorization) ?? [];
  const text = Buffer.from(encoded, 'base64').toString();
  const colon = text.indexOf(':');
  if (colon < 0) throw new InvalidClientError();
  try {
    const [id, secret] = [text.slice(0, colon), text.slice(colon + 1)].map(part =>
      decodeURIComponent(part.replaceAll('+', ' ')),
    ) as [string, string];
    return { id, secret };
  } catch {
    throw new InvalidClientError();
  }
}
