import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { MAX_REVOCATIONS_WAIT_S, PREFER_PACKED, REVOCATIONS_SCOPE, Revocations } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { untilGone } from '../http/caller-gone.js';
import { invalidMember } from '../http/errors.js';
import { parseCursor } from './cursor.js';

const Query = Type.Object(
  {
    after: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'The cursor of the previous response; without one, the feed begins with its first entry',
      }),
    ),
    wait: Type.Optional(
      Type.String({
        pattern: '^\\d{1,4}$',
        'x-message': 'A number of seconds.',
        description: `How long to wait for a new entry, in seconds; ${MAX_REVOCATIONS_WAIT_S} at most`,
      }),
    ),
  },
  { additionalProperties: false },
);

// RFC 7240 §2: preferences with commas between them, each with an optional value and parameters.
const PREFERS_PACKED = new RegExp(`(?:^|,)\\s*${PREFER_PACKED}\\s*(?:[,;=]|$)`, 'i');

export const revocationsRoute: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['services'],
    operationId: 'readRevocations',
    summary: 'Sessions that ended while access tokens of them live',
    description: `A page at a time: while \`more\` is true, read on from the cursor at once. Needs a service token with the scope \`${REVOCATIONS_SCOPE}\`.`,
    security: [{ service: [REVOCATIONS_SCOPE] }],
    querystring: Query,
    response: { 200: Revocations, ...problemResponses() },
  };
  const options = {
    config: { audience: 'services' as const },
    logLevel: 'warn' as const,
    schema,
    onRequest: app.authenticateService(REVOCATIONS_SCOPE),
  };
  app.get('/auth/revocations', options, async (request, reply) => {
    const { after, wait = '0' } = request.query;
    const cursor = after === undefined ? undefined : parseCursor(after);
    if (after !== undefined && !cursor)
      throw invalidMember('/after', 'pattern', 'This is not a cursor of this feed.', 'querystring');
    const waitMs = Math.min(Number(wait), MAX_REVOCATIONS_WAIT_S) * 1000;
    const isPacked = PREFERS_PACKED.test(`${request.headers['prefer'] ?? ''}`);
    const page = await app.revocations.read(cursor, isPacked, waitMs, untilGone(reply));
    if (isPacked) reply.header('preference-applied', PREFER_PACKED);
    reply.header('vary', 'Prefer');
    // As bytes, which Fastify's types do not know for a JSON response.
    return reply.type('application/json').send(page as never);
  });
};
