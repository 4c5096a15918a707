import { randomBytes } from 'node:crypto';
import type { ServiceCredentials } from '../../client.js';
import { invalidClient, ProblemError } from './problems.js';

/** The clients of services at a test issuer. */
export type Clients = {
  /** Creates a client. An existing one gets a new secret and these scopes. */
  add(id: string, scopes: string[]): ServiceCredentials;
  /**
   * Authenticates the client of a token request, by HTTP Basic or by the form (RFC 6749 §2.3.1), and returns the scope that
   * it gets.
   *
   * @throws ProblemError
   */
  grant(form: URLSearchParams, authorization: string | null): { id: string; scope: string };
};

export function createClients(): Clients {
  const clients = new Map<string, { secret: string; scopes: string[] }>();

  return {
    add(id, scopes) {
      const secret = randomBytes(32).toString('base64url');
      clients.set(id, { secret, scopes });
      return { id, secret };
    },
    grant(form, authorization) {
      const { id, secret } = readBasic(authorization) ?? {
        id: form.get('client_id'),
        secret: form.get('client_secret'),
      };
      const client = clients.get(id ?? '');
      if (!id || !client || client.secret !== secret) throw invalidClient();
      if (form.get('grant_type') !== 'client_credentials') {
        throw new ProblemError(400, 'unsupported_grant_type', 'Use grant_type=client_credentials.');
      }
      const requested = form.get('scope')?.split(' ').filter(Boolean) ?? client.scopes;
      if (!requested.every(scope => client.scopes.includes(scope))) {
        throw new ProblemError(400, 'invalid_scope', 'The client may not have all of these scopes.');
      }
      return { id, scope: requested.join(' ') };
    },
  };
}

function readBasic(authorization: string | null): ServiceCredentials | undefined {
  const [, encoded] = /^Basic ([\w+/=]+)$/i.exec(authorization ?? '') ?? [];
  if (encoded === undefined) return undefined;
  const [id = '', secret = ''] = Buffer.from(encoded, 'base64').toString().split(':', 2);
  const decode = (text: string) => new URLSearchParams(`_=${text}`).get('_') ?? '';
  return { id: decode(id), secret: decode(secret) };
}
