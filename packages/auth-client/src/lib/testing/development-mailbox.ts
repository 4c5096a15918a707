import type { TestMail, TestMailbox } from './mailbox.js';

type Mail = { id: string; to: string; template: string; values: { link?: string } };

const POLL_MS = 20;
const TIMEOUT_MS = 10_000;

/** Reads the development mailbox of an auth-service as that of the test issuer is read; `next` waits 10 seconds by default. */
export function readMailbox(url: string): TestMailbox {
  const read = new Set<string>();
  const next = async (
    address: string,
    { template, timeoutMs = TIMEOUT_MS }: { template?: string; timeoutMs?: number } = {},
  ) => {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const response = await fetch(`${url}/dev/mailbox`, { headers: { accept: 'application/json' } });
      const mails = ((await response.json()) as Mail[]).reverse();
      const unread = mails.filter(({ id, to }) => !read.has(id) && to.toLowerCase() === address.toLowerCase());
      const mail = unread.find(one => (template === undefined ? one.values.link : one.template === template));
      if (mail) {
        read.add(mail.id);
        const { to, values } = mail;
        const { link } = values;
        return { template: mail.template, to, ...(link && { link, token: link.split('#token=')[1] }) } as TestMail;
      }
      if (performance.now() > deadline) {
        throw new Error(`Nobody mailed ${template} to ${address}; unread: ${unread.map(one => one.template)}.`);
      }
      await new Promise(resolve => setTimeout(resolve, POLL_MS));
    }
  };
  return { next: next as TestMailbox['next'] };
}
