/** The mails with a link. */
export type LinkTemplate = 'verify-email' | 'reset-password';

/** The mails that only tell something. */
export type NoticeTemplate =
  | 'email-change-requested'
  | 'email-removed'
  | 'passkey-added'
  | 'passkey-removed'
  | 'password-changed'
  | 'password-reset'
  | 'recovery-code-used'
  | 'recovery-codes-made'
  | 'sign-up-repeated'
  | 'totp-added'
  | 'totp-removed';

/** A mail with a link. */
export interface TestMail {
  template: LinkTemplate;
  to: string;
  /** The token of the link. */
  token: string;
  link: string;
}

/** A mail without a link. */
export interface TestNotice {
  template: NoticeTemplate;
  to: string;
}

/** The mails that a test issuer has sent, the last 1,000 that nobody has read. */
export interface TestMailbox {
  /**
   * Takes the oldest unread mail with a link for an address. Waits for it when there is none yet.
   *
   * @param address - compared without regard to case
   * @param options - `template` selects mails of that kind; `timeoutMs` is how long to wait, 1,000 by default
   * @throws Error when no such mail has been sent by then; the message lists the address's other unread mails
   */
  next(address: string, options?: { template?: LinkTemplate; timeoutMs?: number }): Promise<TestMail>;
  /** As above, for a notice: those are taken only by their template. */
  next(address: string, options: { template: NoticeTemplate; timeoutMs?: number }): Promise<TestNotice>;
}

/** A mailbox, and the way into it. */
export type Mailbox = TestMailbox & {
  sendLink(template: LinkTemplate, to: string, token: string): void;
  /** Does nothing without an address. */
  sendNotice(template: NoticeTemplate, to: string | null): void;
};

type Mail = TestMail | TestNotice;

const MAX_UNREAD = 1000;

export function createMailbox(appUrl: string): Mailbox {
  const unread: Mail[] = [];
  const waiting = new Set<() => void>();

  const unreadOf = (address: string) => unread.filter(({ to }) => to.toLowerCase() === address.toLowerCase());
  const take = (address: string, template: string | undefined) => {
    const isWanted = (mail: Mail) => (template === undefined ? 'link' in mail : mail.template === template);
    const mail = unreadOf(address).find(isWanted);
    if (mail) unread.splice(unread.indexOf(mail), 1);
    return mail;
  };

  const next = (address: string, { template, timeoutMs = 1000 }: { template?: string; timeoutMs?: number } = {}) =>
    new Promise<Mail>((resolve, reject) => {
      const tryToTake = () => {
        const mail = take(address, template);
        if (!mail) return;
        stop();
        resolve(mail);
      };
      const stop = () => {
        clearTimeout(timer);
        waiting.delete(tryToTake);
      };
      const timer = setTimeout(() => {
        stop();
        const wanted = template ?? 'a link';
        const others = unreadOf(address).map(mail => mail.template);
        const rest = `unread mails: ${others.join(', ') || 'none'}`;
        reject(new Error(`Nobody mailed ${wanted} to ${address} within ${timeoutMs} ms; ${rest}.`));
      }, timeoutMs);
      waiting.add(tryToTake);
      tryToTake();
    });

  const send = (mail: Mail) => {
    unread.push(mail);
    if (unread.length > MAX_UNREAD) unread.shift();
    for (const tryToTake of waiting) tryToTake();
  };

  return {
    next: next as TestMailbox['next'],
    sendLink: (template, to, token) => send({ template, to, token, link: `${appUrl}/${template}#token=${token}` }),
    sendNotice: (template, to) => {
      if (to !== null) send({ template, to });
    },
  };
}
