import { setTimeout as sleep } from 'node:timers/promises';
import type { Queryable } from '@latchkey/service-kit/database';
import type { FastifyInstance } from 'fastify';
import type { Secrets } from '../config/secrets.js';
import { SERVICE_ORIGIN } from '../events/recorder.js';
import {
  deleteMail,
  failMail,
  type LeasedMail,
  leaseMails,
  type MailContent,
  openPayload,
  type Payload,
  QUEUE,
} from './queue.js';
import type { Render } from './templates.js';
import { DeliveryError, type Mail, type Transport } from './transport.js';

/** Finds what a requested mail says, or that none is to be sent. It may be called more than once. */
export type Prepare = (
  db: Queryable,
  request: Payload & { id: string },
) => Promise<(MailContent & { to: string }) | undefined>;

/** Sends the mails of the queue. */
export type Worker = {
  /** Leases no more mails, waits a moment for those that are being sent, and gives the others back. */
  close(): Promise<void>;
};

type Parts = {
  transport: Transport;
  render: Render;
  /** Those who find the content of mails that were queued as requests. */
  preparers: ReadonlyMap<string, Prepare>;
  secrets: Secrets;
  /** Called with the connection each time that the queue is looked at. */
  onLook: (db: Queryable) => Promise<void>;
};

const LOOK_EVERY_MS = 2000;
const AT_ONCE = 5;
const SEND_WITHIN_MS = 60_000;
// Longer than an attempt takes with everything around it.
const LEASE_S = 90;
// After a start, or an outage that is this long, a replica leaves the leases that have ended alone for a moment: others may have sent
// those mails, and delete them now.
const AWAY_AFTER_MS = 10_000;
const SETTLES_WITHIN_MS = 5000;
const DELETE_AGAIN_MS = 250;
const CLOSE_WITHIN_MS = 2500;

const FIRST_DELAY_S = 5;
const LONGEST_DELAY_S = 1800;
const FIRST_PAUSE_S = 1;
const LONGEST_PAUSE_S = 60;

/**
 * Sends what is queued: when the database notifies of a mail, and every 2 seconds. It holds no connection to the database meanwhile.
 * While the mail server accepts no mail at all, it tries one mail at a time, with growing pauses, and leaves the others as they are.
 */
export async function startWorker(
  app: FastifyInstance,
  { transport, render, preparers, secrets, onLook }: Parts,
): Promise<Worker> {
  const inFlight = new Set<Promise<void>>();
  const attempts = new Set<AbortController>();
  let isClosing = false;
  let isOver = false;
  let faults = 0;
  let pausedUntil = 0;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let takesOverFrom = 0;
  let look: () => Promise<void> = async () => undefined;

  /** Records whether the mail server accepts mails at all. */
  const judgeServer = (isAvailable: boolean) => {
    faults = isAvailable ? 0 : faults + 1;
    pausedUntil = isAvailable ? 0 : performance.now() + backoff(faults, FIRST_PAUSE_S, LONGEST_PAUSE_S) * 1000;
  };

  const forget = async ({ id }: LeasedMail) => {
    for (let first = true; ; first = false) {
      try {
        await app.askDatabase(db => deleteMail(db, { id }));
        return;
      } catch (error) {
        if (isOver) return;
        if (first)
          app.log.warn({ err: error, mailId: id }, 'a mail was sent, but cannot be deleted from the queue yet');
        await sleep(DELETE_AGAIN_MS);
      }
    }
  };

  const fail = async (mail: LeasedMail, error: unknown) => {
    if (error instanceof DeliveryError) judgeServer(!error.isOfServer);
    const isPermanent = error instanceof DeliveryError && error.isPermanent;
    const { message } = error as Error;
    const about = { mailId: mail.id, template: mail.template, ...(mail.accountId && { userId: mail.accountId }) };
    const failure = { error: message, isPermanent, delayS: backoff(mail.attempts, FIRST_DELAY_S, LONGEST_DELAY_S) };
    try {
      const failed = await app.askDatabase(db => failMail(db, mail, failure, SERVICE_ORIGIN));
      if (failed?.isGivenUp) {
        app.count('latchkey_mail_attempts_total', { outcome: 'given_up' });
        app.count('latchkey_auth_events_total', { event: 'mail_given_up' });
        app.log.warn({ event: 'mail_given_up', ...about, error: message }, 'mail_given_up');
      } else {
        app.count('latchkey_mail_attempts_total', { outcome: 'failed' });
        app.log.warn({ ...about, attempts: mail.attempts, error: message }, 'cannot send a mail yet');
      }
    } catch (err) {
      // Its lease ends.
      app.log.warn({ err, ...about }, 'cannot give a mail back to the queue');
    }
  };

  /** Resolves to `undefined` when no mail is to be sent. */
  const compose = async (leased: LeasedMail): Promise<Mail | undefined> => {
    const { id, createdAt } = leased;
    const payload = openPayload(leased, secrets);
    const prepare = preparers.get(leased.template);
    const content = prepare
      ? await app.askDatabase(db => prepare(db, { ...payload, id }))
      : { ...payload, template: leased.template };
    if (!content) return undefined;
    const { to, template, values } = content;
    return { id, template, createdAt, to, values, ...render(template, values) };
  };

  const send = async (mail: LeasedMail) => {
    const attempt = new AbortController();
    const timer = setTimeout(() => attempt.abort(), SEND_WITHIN_MS);
    attempts.add(attempt);
    try {
      const composed = await compose(mail);
      if (!composed) return await forget(mail);
      await transport.send(composed, attempt.signal);
    } catch (error) {
      return fail(mail, error);
    } finally {
      clearTimeout(timer);
      attempts.delete(attempt);
    }
    judgeServer(true);
    app.count('latchkey_mail_attempts_total', { outcome: 'sent' });
    app.log.debug({ mailId: mail.id, template: mail.template }, 'sent a mail');
    await forget(mail);
  };

  const load = async (db: Queryable) => {
    await onLook(db);
    const now = performance.now();
    if (now - lookedAt > AWAY_AFTER_MS) takesOverFrom = now + SETTLES_WITHIN_MS;
    const free = (faults > 0 ? 1 : AT_ONCE) - inFlight.size;
    if (!isClosing && free > 0 && now >= pausedUntil) {
      const leased = await leaseMails(db, { limit: free, leaseS: LEASE_S, takesOver: now >= takesOverFrom });
      for (const mail of leased) {
        const sending = send(mail).finally(() => {
          inFlight.delete(sending);
          if (!isClosing) void look();
        });
        inFlight.add(sending);
      }
    }
    lookedAt = now;
  };
  look = await app.follow(QUEUE, LOOK_EVERY_MS, load);

  return {
    async close() {
      isClosing = true;
      // Behind a look that is under way, and may lease mails.
      const ended = look().then(() => Promise.all(inFlight));
      await Promise.race([ended, sleep(CLOSE_WITHIN_MS)]);
      isOver = true;
      for (const attempt of attempts) attempt.abort();
      await ended;
    },
  };
}

/** Doubles with each time, between the half and the whole of it. */
function backoff(times: number, first: number, longest: number): number {
  return Math.min(longest, first * 2 ** Math.min(times - 1, 30)) * (0.5 + Math.random() / 2);
}
