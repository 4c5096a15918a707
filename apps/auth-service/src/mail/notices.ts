import { inTransaction, type Queryable } from '@latchkey/service-kit/database';
import fp from 'fastify-plugin';
import { isMailAddress } from '../config/mail-address.js';
import { statement, utc } from '../database/sql.js';
import type { TemplateName } from './templates.js';

type Notice = {
  accountId: string;
  event: string;
  at: string;
  address: string | null;
  userAgent: string | null;
  username: string | null;
  email: string | null;
  /** Of `recovery_code_used`. */
  left: number | null;
};

const LOOK_EVERY_MS = 1000;
const AT_ONCE = 50;
// So few recovery codes that the owner is advised to make new ones.
const FEW_CODES = 2;

const TEMPLATES = {
  passkey_added: 'passkey-added',
  passkey_removed: 'passkey-removed',
  password_changed: 'password-changed',
  password_reset: 'password-reset',
  recovery_code_used: 'recovery-code-used',
  recovery_codes_made: 'recovery-codes-made',
  refresh_token_reuse: 'sessions-ended',
  sign_in: 'new-sign-in',
  totp_added: 'totp-added',
  totp_removed: 'totp-removed',
  factors_reset: 'factors-reset',
} as const satisfies Record<string, TemplateName>;

const TAKE = statement<Notice, { most: number }>(`
  WITH due AS (
    SELECT account_id, event_id FROM auth.notices LIMIT $most FOR UPDATE SKIP LOCKED
  ), taken AS (
    DELETE FROM auth.notices n USING due WHERE n.account_id = due.account_id AND n.event_id = due.event_id
    RETURNING n.account_id, n.event_id, n.event, n.happened_at, n.address, n.user_agent
  )
  SELECT taken.account_id AS "accountId", taken.event, ${utc('taken.happened_at')} AS at, host(taken.address) AS address,
    taken.user_agent AS "userAgent", u.username, u.email, (e.details ->> 'left')::int AS left
  FROM taken LEFT JOIN auth.users u ON u.id = taken.account_id
    LEFT JOIN auth.audit_events e ON e.place = taken.account_id AND e.id = taken.event_id`);

// One an hour: a caller who signs in from ever new places must not fill a mailbox.
const NOTICE_SIGN_IN = statement<{ id: string }, { accountId: string }>(`
  UPDATE auth.users SET sign_in_noticed_at = now()
  WHERE id = $accountId AND (sign_in_noticed_at IS NULL OR sign_in_noticed_at < now() - interval '1 hour') RETURNING id`);

/** Queues the mails of what the owners of accounts are told, at their verified addresses. */
export default fp(
  async app => {
    /** Resolves to whether there may be more. */
    const queueSome = async (db: Queryable) =>
      inTransaction(db, async () => {
        const taken = await TAKE(db, { most: AT_ONCE });
        for (const { accountId, event, at, address, userAgent, username, email, left } of taken) {
          const template = TEMPLATES[event as keyof typeof TEMPLATES];
          if (!template || username === null || email === null || !isMailAddress(email)) continue;
          if (event === 'sign_in' && (await NOTICE_SIGN_IN(db, { accountId })).length === 0) continue;
          const values = {
            ...{ username, at, address: address ?? undefined, userAgent: userAgent ?? undefined },
            ...(left !== null && { left: `${left}`, ...(left <= FEW_CODES && { few: `${left}` }) }),
          };
          await app.mail.queue(db, { template, values, to: email, accountId });
        }
        return taken.length === AT_ONCE;
      });
    const look = await app.follow('notices', LOOK_EVERY_MS, async db => {
      // Others take their turns on the connection meanwhile, such as the feed of ended sessions.
      if (await queueSome(db)) setImmediate(() => void look());
    });
  },
  { name: 'notices', dependencies: ['changes'] },
);
