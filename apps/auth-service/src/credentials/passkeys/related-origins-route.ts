import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { RelatedOrigins } from '@latchkey/user-schema';
import { publicHeaders } from '../../http/public-headers.js';
import type { RelyingParty } from './relying-party.js';

const MAX_AGE_S = 3600;

/** Tells browsers which origins of other domains may use the passkeys (WebAuthn Level 3 §5.11). */
export const relatedOriginsRoute: FastifyPluginAsyncTypebox<{ relyingParty: RelyingParty }> = async (
  app,
  { relyingParty },
) => {
  const origins = relyingParty.origins.filter(origin => origin.startsWith('https:'));
  const schema = {
    tags: ['gateway'],
    operationId: 'getRelatedOrigins',
    summary: 'Origins that may use the passkeys of this domain (WebAuthn Level 3)',
    response: { 200: RelatedOrigins },
  };
  app.get('/.well-known/webauthn', { logLevel: 'warn', schema }, (_request, reply) => {
    reply.headers(publicHeaders(MAX_AGE_S)).send({ origins });
  });
};
