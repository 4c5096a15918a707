import { addressOf, foldAddress } from '@latchkey/service-kit/http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { untilGone } from '../../http/caller-gone.js';
import type { HashCaller } from './hash-lane.js';
import type { Owner } from './turns.js';

/** Whom a hash is for, as the hash lane tells callers apart. */
export function hashOwner(request: FastifyRequest, username: string | undefined): Owner {
  return { address: foldAddress(addressOf(request)), account: username?.toLowerCase() };
}

/** Who waits for a hash, until the caller goes away. */
export function hashCaller(request: FastifyRequest, reply: FastifyReply, username: string): HashCaller {
  return { ...hashOwner(request, username), gone: untilGone(reply) };
}
