import type { SignedIn } from '@latchkey/user-schema';
import { type TUndefined, Type } from '@sinclair/typebox';
import type { AuthClientOptions } from '../request-options.js';
import { ReceivedSignedIn, withUser } from './received-user.js';
import { createServiceRequest, type ServiceRequest } from './service-request.js';

type RequestArguments = Parameters<ServiceRequest>;

/** What the methods of a client send their requests with. */
export type ClientRequests = {
  request: ServiceRequest;
  /** Sends a request whose response has tokens, with the status 200 or the given one. */
  requestSignedIn(line: RequestArguments[0], details: RequestArguments[2], status?: number): Promise<SignedIn>;
};

/** Creates the functions that send the requests of one client. */
export function createClientRequests(options: AuthClientOptions): ClientRequests {
  const request = createServiceRequest(options);
  return {
    request,
    requestSignedIn: async (line, details, status = 200) =>
      withUser(await request(line, { status, schema: ReceivedSignedIn }, details)),
  };
}

type Bodiless = { status: number; schema: TUndefined };
export const ACCEPTED: Bodiless = { status: 202, schema: Type.Undefined() };
export const NO_CONTENT: Bodiless = { status: 204, schema: Type.Undefined() };

export function bearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}
