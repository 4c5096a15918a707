import type { Queryable } from '@latchkey/service-kit/database';
import { uuidv7 } from 'uuidv7';
import { isMailAddress } from '../config/mail-address.js';
import { seal, unseal } from '../config/sealing.js';
import type { Secret, Secrets } from '../config/secrets.js';
import { statement, utc } from '../database/sql.js';
import { type Origin, originValue, recorded } from '../events/recorder.js';
import type { MailValues, TemplateName } from './templates.js';

/** A mail that is to be sent. */
export type NewMail<Name extends TemplateName = TemplateName> = {
  template: Name;
  values: MailValues[Name];
  to: string;
  /** The account that it is about. */
  accountId?: string | undefined;
};

/** A mail that this replica has leased. */
export type LeasedMail = {
  id: string;
  accountId: string | null;
  template: string;
  sealedPayload: Buffer;
  secretId: string;
  attempts: number;
  createdAt: string;
};

/** What is sealed of a mail: the recipient, and the values of the template or of the request. */
export type Payload = { to: string; values: Record<string, string> };

/** What a mail says, by its template. */
export type MailContent = { [Name in TemplateName]: { template: Name; values: MailValues[Name] } }[TemplateName];

/**
 * A mail whose content is found when it is about to be sent. The request that queues it does the same work whatever will be found, such as
 * that nobody has the address, and then no mail is sent.
 */
export type MailRequest = { request: string; to: string; values: Record<string, string> };

/** The channel and the table of the queue. A notification wakes the replicas. */
export const QUEUE = 'mail_queue';

const INSERT = statement<never, Record<string, unknown>>(`
  INSERT INTO auth.mail_queue (id, account_id, template, sealed_payload, secret_id)
  VALUES ($id, $accountId, $template, $sealedPayload, $secretId)`);

/**
 * Queues a mail, in the transaction of the caller. It leaves when that has committed.
 *
 * @throws Error when the address cannot be put into a header as it is
 */
export function queueMail<Name extends TemplateName>(
  db: Queryable,
  secret: Secret,
  { template, values, to, accountId }: NewMail<Name>,
): Promise<void> {
  return queue(db, secret, { template, payload: { to, values }, accountId });
}

/** Queues a mail whose content is found when it is about to be sent. */
export function queueMailRequest(db: Queryable, secret: Secret, { request, to, values }: MailRequest): Promise<void> {
  return queue(db, secret, { template: request, payload: { to, values }, accountId: undefined });
}

async function queue(
  db: Queryable,
  secret: Secret,
  {
    template,
    payload,
    accountId,
  }: { template: string; payload: { to: string; values: object }; accountId: string | undefined },
): Promise<void> {
  if (!isMailAddress(payload.to)) throw new Error('This is not an address to which a mail can be sent.');
  const id = uuidv7();
  const sealedPayload = seal(Buffer.from(JSON.stringify(payload)), secret, sealOf(id, template));
  await INSERT(db, { id, accountId: accountId ?? null, template, sealedPayload, secretId: secret.id });
}

/**
 * Opens the payload of a mail.
 *
 * @throws Error when its secret is not in AUTH_SECRETS, or has another value there
 */
export function openPayload(mail: LeasedMail, secrets: Secrets): Payload {
  const { id, template, sealedPayload, secretId } = mail;
  const names = { name: `mail ${id}`, advice: 'Add it.' };
  return JSON.parse(unseal(sealedPayload, secretId, secrets, { ...sealOf(id, template), ...names }).toString());
}

const sealOf = (id: string, template: string) => ({ purpose: 'mail-sealing', context: `${id} ${template}` }) as const;

/**
 * Leases mails that are due. A lease that has ended is that of a replica that was killed, or that has sent the mail and could not say
 * so yet; `takesOver` says whether to take such mails as well.
 */
export const leaseMails = statement<LeasedMail, { limit: number; leaseS: number; takesOver: boolean }>(`
  WITH due AS MATERIALIZED (
    SELECT id FROM auth.mail_queue
    WHERE given_up_at IS NULL AND next_at <= now() AND (leased_until IS NULL OR ($takesOver AND leased_until <= now()))
    ORDER BY next_at LIMIT $limit FOR UPDATE SKIP LOCKED
  )
  UPDATE auth.mail_queue q SET attempts = attempts + 1, leased_until = now() + make_interval(secs => $leaseS)
  FROM due WHERE q.id = due.id
  RETURNING q.id, account_id AS "accountId", template, sealed_payload AS "sealedPayload", secret_id AS "secretId", attempts,
    ${utc('created_at')} AS "createdAt"`);

/** Deletes a mail that was sent. */
export const deleteMail = statement<Record<never, never>, { id: string }>('DELETE FROM auth.mail_queue WHERE id = $id');

const FAIL = statement<{ isGivenUp: boolean }, Record<string, unknown>>(`
  WITH failed AS (
    UPDATE auth.mail_queue SET leased_until = NULL, last_error = $error, next_at = now() + make_interval(secs => $delayS),
      given_up_at = CASE WHEN $isPermanent OR retry_until <= now() THEN now() END
    WHERE id = $id AND attempts = $attempts AND given_up_at IS NULL
    RETURNING id, account_id, template, attempts, given_up_at
  ), ${recorded({
    event: 'mail_given_up',
    from: 'failed WHERE given_up_at IS NOT NULL',
    account: 'failed.account_id',
    details: `jsonb_build_object('mailId', failed.id, 'template', failed.template, 'attempts', failed.attempts, 'error', $error::text)`,
  })}
  SELECT given_up_at IS NOT NULL AS "isGivenUp" FROM failed`);

/** A failed attempt: why, whether the next one would fail as well, and when that is due. */
export type Failure = { error: string; isPermanent: boolean; delayS: number };

/**
 * Ends the lease after a failed attempt; gives the mail up when the failure is permanent, or its day has passed.
 *
 * @returns `undefined` when another replica has taken the mail over
 */
export async function failMail(
  db: Queryable,
  { id, attempts }: LeasedMail,
  failure: Failure,
  origin: Origin,
): Promise<{ isGivenUp: boolean } | undefined> {
  const [row] = await FAIL(db, { id, attempts, ...failure, origin: originValue(origin) });
  return row;
}

/** Deletes mails that were given up a month ago; returns how many. */
export async function deleteOldMails(db: Queryable, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM auth.mail_queue WHERE id IN (
       SELECT id FROM auth.mail_queue WHERE given_up_at < now() - interval '30 days' ORDER BY given_up_at LIMIT $1
     )`,
    [batch],
  );
  return rowCount ?? 0;
}

/** How many mails wait and how many were given up, each counted up to `most`, and how long the oldest of those that wait has. */
export type QueueState = { waiting: number; givenUp: number; oldestS: number };

const STATE = statement<QueueState, { most: number }>(`
  SELECT w.waiting, w."oldestS", g.given_up AS "givenUp" FROM
    (SELECT count(*)::int AS waiting, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS "oldestS"
     FROM (SELECT created_at FROM auth.mail_queue WHERE given_up_at IS NULL ORDER BY next_at LIMIT $most) AS first) AS w,
    (SELECT count(*)::int AS given_up FROM (SELECT FROM auth.mail_queue WHERE given_up_at IS NOT NULL LIMIT $most) AS dead) AS g`);

/** Counts the mails, up to a bound. */
export async function readQueueState(db: Queryable, most: number): Promise<QueueState> {
  const [state] = await STATE(db, { most });
  return state as QueueState;
}

/** A mail of the queue as it is listed: without its recipient. */
export type ListedMail = {
  id: string;
  template: string;
  accountId: string | null;
  createdAt: string;
  attempts: number;
  nextAt: string | null;
  givenUpAt: string | null;
  lastError: string | null;
};

const LIST = statement<ListedMail, { before: string | undefined; isGivenUp: boolean; limit: number }>(`
  SELECT id, template, account_id AS "accountId", ${utc('created_at')} AS "createdAt", attempts,
    CASE WHEN given_up_at IS NULL THEN ${utc('greatest(next_at, leased_until)')} END AS "nextAt",
    ${utc('given_up_at')} AS "givenUpAt", last_error AS "lastError"
  FROM auth.mail_queue
  WHERE ($before::uuid IS NULL OR id < $before) AND (NOT $isGivenUp::boolean OR given_up_at IS NOT NULL)
  ORDER BY id DESC LIMIT $limit`);

/** Lists mails, the newest first: those before one, and only those that were given up when that is asked for. */
export const listMails: (
  db: Queryable,
  page: { before: string | undefined; isGivenUp: boolean; limit: number },
) => Promise<ListedMail[]> = LIST;

const retry = (which: string) =>
  statement<{ retried: number }, { id?: string; origin: string }>(`
    WITH retried AS (
      UPDATE auth.mail_queue SET given_up_at = NULL, next_at = now(), retry_until = now() + interval '1 day'
      WHERE ${which} RETURNING id
    ), counted AS (SELECT count(*)::int AS mails FROM retried),
    ${recorded({
      event: 'mail_retried',
      from: 'counted WHERE mails > 0',
      details: `jsonb_build_object('mails', counted.mails)`,
    })}
    SELECT mails AS retried FROM counted`);
const RETRY_ONE = retry('id = $id');
const RETRY_GIVEN_UP = retry('given_up_at IS NOT NULL');

/** Makes a mail due now, or all that were given up, for another day; returns how many. */
export async function retryMails(db: Queryable, id: string | undefined, origin: Origin): Promise<number> {
  const value = originValue(origin);
  const [row] = await (id === undefined ? RETRY_GIVEN_UP(db, { origin: value }) : RETRY_ONE(db, { id, origin: value }));
  return row?.retried ?? 0;
}
