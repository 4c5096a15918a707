import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { Factors } from '@latchkey/user-schema';
import { statement, utc } from '../database/sql.js';
import { PASSKEY } from './passkeys/stored-passkeys.js';

const FIND = statement<Factors, { accountId: string }>(`
  SELECT u.password_hash IS NOT NULL AS password,
    (SELECT json_build_object('createdAt', ${utc('f.confirmed_at')}) FROM auth.totp f
     WHERE f.account_id = u.id AND f.confirmed_at IS NOT NULL) AS totp,
    (SELECT count(*)::int FROM auth.recovery_codes c WHERE c.account_id = u.id) AS "recoveryCodesLeft",
    (SELECT coalesce(json_agg(passkey), '[]') FROM (
       SELECT ${PASSKEY} FROM auth.passkeys p WHERE p.account_id = u.id ORDER BY p.id) AS passkey) AS passkeys
  FROM auth.users u WHERE u.id = $accountId`);

/** What proves the account of a session. */
export const factorsRoute: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['auth'],
    operationId: 'listFactors',
    summary: 'What proves the account: password, authenticator app, recovery codes, passkeys',
    security: [{ bearer: [] }],
    response: { 200: Factors, ...problemResponses() },
  };
  const options = {
    config: { audience: 'browsers' as const },
    schema,
    onRequest: app.authenticateAny,
    preHandler: app.requireSession,
  };
  app.get('/auth/factors', options, async ({ account }) => {
    const [factors] = await FIND(app.pg, { accountId: account.id });
    return factors as Factors;
  });
};
