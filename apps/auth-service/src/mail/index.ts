import { join } from 'node:path';
import type { Queryable } from '@latchkey/service-kit/database';
import fp from 'fastify-plugin';
import type { HttpSettings } from '../config/sections/http.js';
import type { MailSettings } from '../config/sections/mail.js';
import type { SecretsSettings } from '../config/sections/secrets.js';
import type { ServiceSettings } from '../config/sections/service.js';
import { createDevelopmentMailbox, developmentMailboxRoutes } from './development-mailbox.js';
import notices from './notices.js';
import {
  deleteOldMails,
  type MailRequest,
  type NewMail,
  type QueueState,
  queueMail,
  queueMailRequest,
  readQueueState,
} from './queue.js';
import { loadTemplates, type TemplateName } from './templates.js';
import { createSmtpTransport } from './transport.js';
import { type Prepare, startWorker } from './worker.js';

declare module 'fastify' {
  interface FastifyInstance {
    mail: {
      /** Whether mails can be sent. Where they cannot, as in production without SMTP_URL, routes that need them are not registered. */
      isAvailable: boolean;
      /** Queues a mail, in the transaction of the caller; does nothing where mails cannot be sent. See {@link queueMail}. */
      queue<Name extends TemplateName>(db: Queryable, mail: NewMail<Name>): Promise<void>;
      /** Queues a mail whose content is found when it is about to be sent, by what `prepare` has added. */
      request(db: Queryable, mail: MailRequest): Promise<void>;
      prepare(request: string, prepare: Prepare): void;
    };
  }
}

const BATCH = 1000;
const COUNT_EVERY_MS = 10_000;
const COUNT_MOST = 10_000;

/** Sends mails that other capabilities queue: by SMTP, or in development into a mailbox of its own. */
export default fp<{
  config: MailSettings &
    SecretsSettings &
    Pick<HttpSettings, 'publicUrl' | 'metricsPort'> &
    Pick<ServiceSettings, 'production' | 'dataDir'>;
}>(
  async (app, { config }) => {
    const { mail: settings, authSecrets: secrets, production, dataDir, metricsPort } = config;
    const render = loadTemplates(settings.templatesDir);
    app.cleanHourly(async client => (await deleteOldMails(client, BATCH)) === BATCH);
    const preparers = new Map<string, Prepare>();
    const { smtp, from } = settings;
    const mailbox = smtp || production ? undefined : createDevelopmentMailbox(join(dataDir, 'mail'));
    const transport = smtp ? createSmtpTransport({ smtp, from }) : mailbox;
    app.decorate('mail', {
      isAvailable: transport !== undefined,
      queue: async (db, mail) => (transport ? queueMail(db, secrets[0], mail) : undefined),
      request: async (db, mail) => (transport ? queueMailRequest(db, secrets[0], mail) : undefined),
      prepare: (request, prepare) => void preparers.set(request, prepare),
    });
    if (mailbox) await app.register(developmentMailboxRoutes, { mailbox, config });

    let state: QueueState | undefined;
    let countedAt = Number.NEGATIVE_INFINITY;
    const onLook = async (db: Queryable) => {
      if (metricsPort === undefined || performance.now() - countedAt < COUNT_EVERY_MS) return;
      countedAt = performance.now();
      state = await readQueueState(db, COUNT_MOST);
    };
    app.gauge('latchkey_mail_waiting', () => state?.waiting);
    app.gauge('latchkey_mail_given_up', () => state?.givenUp);
    app.gauge('latchkey_mail_oldest_seconds', () => state?.oldestS);

    await app.register(notices);
    if (!transport) return;
    const worker = await startWorker(app, { transport, render, preparers, secrets, onLook });
    app.addHook('onClose', () => worker.close());
  },
  { name: 'mail', dependencies: ['database', 'metrics'] },
);
