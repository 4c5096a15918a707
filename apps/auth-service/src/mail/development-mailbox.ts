import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FastifyPluginAsync, FastifyReply } from 'fastify';
import { isLoopback } from '../config/hosts.js';
import type { HttpSettings } from '../config/sections/http.js';
import { escapeHtml } from './templates.js';
import { DeliveryError, type Mail, type Transport } from './transport.js';

/** The mails of a folder. */
export type DevelopmentMailbox = Transport & {
  /** Lists the mails, the newest first. */
  list(): Promise<Mail[]>;
  find(id: string): Promise<Mail | undefined>;
};

const MAX_MAILS = 200;
const FILE = /^[0-9a-f-]{36}\.json$/;

/** Keeps mails in a folder in place of sending them: the newest 200. */
export function createDevelopmentMailbox(folder: string): DevelopmentMailbox {
  // Ids are UUIDv7, in the order of their times.
  const listFiles = async () =>
    (await readdir(folder).catch(() => [])).filter(file => FILE.test(file)).sort((a, b) => (a < b ? 1 : -1));
  const read = async (file: string): Promise<Mail | undefined> => {
    const text = await readFile(join(folder, file), 'utf8').catch(() => undefined);
    return text === undefined ? undefined : JSON.parse(text);
  };
  return {
    async send(mail) {
      const file = join(folder, `${mail.id}.json`);
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await writeFile(`${file}.draft`, JSON.stringify(mail, null, 2), { mode: 0o600 });
        await rename(`${file}.draft`, file);
        for (const old of (await listFiles()).slice(MAX_MAILS)) await rm(join(folder, old), { force: true });
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        throw new DeliveryError(`DATA_DIR/mail cannot be written (${code})`, { isPermanent: false, isOfServer: true });
      }
    },
    async list() {
      const mails = await Promise.all((await listFiles()).slice(0, MAX_MAILS).map(read));
      return mails.filter(mail => mail !== undefined);
    },
    find: async id => (FILE.test(`${id}.json`) ? read(`${id}.json`) : undefined),
  };
}

type Params = { Params: { id: string } };

const CSP =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Shows the mails: `/dev/mailbox`, as a page for people and as JSON for tests. Not for production. */
export const developmentMailboxRoutes: FastifyPluginAsync<{
  mailbox: DevelopmentMailbox;
  config: Pick<HttpSettings, 'publicUrl'>;
}> = async (app, { mailbox, config }) => {
  const ownHost = new URL(config.publicUrl).hostname;
  app.addHook('onRequest', async (request, reply) => {
    // A foreign page could resolve its own host name to this machine and read the mails (DNS rebinding). It could also send
    // X-Forwarded-Host, which counts where loopback addresses are trusted as proxies.
    const host = (request.raw.headers.host ?? '').replace(/:\d+$/, '');
    if (host === '' || !(isLoopback(host) || host === ownHost)) return reply.callNotFound();
  });
  const options = { schema: { hide: true } };
  const showPage = (reply: FastifyReply, page: string) =>
    reply.header('content-security-policy', CSP).type('text/html; charset=utf-8').send(page);

  app.get('/dev/mailbox', options, async (request, reply) => {
    const mails = await mailbox.list();
    if (request.headers.accept?.includes('application/json')) return mails;
    return showPage(reply, listPage(mails));
  });
  app.get<Params>('/dev/mailbox/:id', options, async (request, reply) => {
    const mail = await mailbox.find(request.params.id);
    if (!mail) return reply.callNotFound();
    if (request.headers.accept?.includes('application/json')) return mail;
    return showPage(reply, mailPage(mail));
  });
  app.get<Params>('/dev/mailbox/:id/html', options, async (request, reply) => {
    const mail = await mailbox.find(request.params.id);
    return mail ? showPage(reply, mail.html) : reply.callNotFound();
  });
};

function listPage(mails: Mail[]): string {
  const rows = mails.map(({ id, to, subject, createdAt }) => {
    const cells = [createdAt, to, `<a href="/dev/mailbox/${id}">${escapeHtml(subject)}</a>`];
    return `<tr><td>${escapeHtml(cells[0])}<td>${escapeHtml(cells[1])}<td>${cells[2]}`;
  });
  const table = `<table><tr><th>Time<th>To<th>Subject${rows.join('\n')}</table>`;
  return page('Mailbox', mails.length === 0 ? '<p>No mail yet.</p>' : table);
}

function mailPage({ id, to, subject, createdAt, text }: Mail): string {
  const body = escapeHtml(text).replace(/https?:\/\/[^\s<]+/g, url => `<a href="${url}">${url}</a>`);
  return page(
    subject,
    `<p>To ${escapeHtml(to)}, ${escapeHtml(createdAt)}. <a href="/dev/mailbox/${id}/html">As HTML</a>,
     <a href="/dev/mailbox">all mails</a></p><pre>${body}</pre>`,
  );
}

function page(title: string, content: string): string {
  return `<!doctype html>
<html lang="en" style="color-scheme: light dark"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title>
<style>body { font: 16px/1.5 sans-serif; margin: 2rem } td, th { text-align: left; padding-right: 2rem } pre { white-space: pre-wrap; overflow-wrap: anywhere }</style>
<h1>${escapeHtml(title)}</h1>
${content}
`;
}
