import { Socket } from 'node:net';
import type { SMTPTransportOptions } from 'nodemailer';
import { isLoopback } from '../config/hosts.js';
import type { NamedAddress } from '../config/mail-address.js';
import type { MailSettings } from '../config/sections/mail.js';
import type { SmtpServer } from '../config/smtp-url.js';
import type { MailText } from './templates.js';

/** A mail that is ready to be sent. */
export type Mail = MailText & {
  id: string;
  to: string;
  template: string;
  values: Record<string, string | undefined>;
  createdAt: string;
};

/** What sends mails. */
export type Transport = {
  /**
   * Sends a mail. Rejects when the signal aborts, after which nothing is sent.
   *
   * @throws DeliveryError
   */
  send(mail: Mail, signal: AbortSignal): Promise<void>;
};

/** Why a mail was not sent. Its message has codes of the mail server, and neither an address nor what the server has said. */
export class DeliveryError extends Error {
  /** Whether the server has refused this mail for good. */
  readonly isPermanent: boolean;
  /** Whether the server took no mail at all, so that the others would fail as well. */
  readonly isOfServer: boolean;

  constructor(message: string, kind: { isPermanent: boolean; isOfServer: boolean }) {
    super(message);
    this.name = 'DeliveryError';
    this.isPermanent = kind.isPermanent;
    this.isOfServer = kind.isOfServer;
  }
}

const CONNECT_TIMEOUT_MS = 10_000;
const GREETING_TIMEOUT_MS = 10_000;
const SILENCE_TIMEOUT_MS = 30_000;
const MAX_MESSAGE_LENGTH = 160;

/** Sends mails by SMTP, each on a connection of its own: an idle connection may be lost without a sign. */
export function createSmtpTransport({
  smtp,
  from,
}: { smtp: SmtpServer } & Pick<MailSettings['mail'], 'from'>): Transport {
  const host = from.address.slice(from.address.lastIndexOf('@') + 1);
  return {
    send: (mail, signal) =>
      connect(smtp, signal, async transporter => {
        await transporter.sendMail({
          messageId: `<${mail.id}@${host}>`,
          from,
          to: { name: '', address: mail.to } satisfies NamedAddress,
          envelope: { from: from.address, to: [mail.to] },
          subject: mail.subject,
          text: mail.text,
          html: mail.html,
          // RFC 3834: so that no vacation notice answers it.
          headers: { 'Auto-Submitted': 'auto-generated' },
          textEncoding: 'quoted-printable',
          xMailer: false,
        });
      }),
  };
}

/**
 * Connects to the mail server, says who the service is, and sends nothing.
 *
 * @throws DeliveryError
 */
export function greetServer(smtp: SmtpServer, signal: AbortSignal): Promise<void> {
  return connect(smtp, signal, async transporter => {
    await transporter.verify();
  });
}

/** How the service connects to a mail server. */
export function smtpOptions({ host, port, secure, auth }: SmtpServer): SMTPTransportOptions {
  // A relay on this machine often has a self-signed certificate, and nothing is sent over a network.
  const starttls = isLoopback(host) ? { ignoreTLS: true } : { requireTLS: true };
  return {
    ...{ host, port, secure, ...(auth && { auth }), ...(!secure && starttls) },
    connectionTimeout: CONNECT_TIMEOUT_MS,
    greetingTimeout: GREETING_TIMEOUT_MS,
    socketTimeout: SILENCE_TIMEOUT_MS,
    dnsTimeout: CONNECT_TIMEOUT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}

type Transporter = { sendMail(message: object): Promise<unknown>; verify(): Promise<unknown> };

async function connect(
  smtp: SmtpServer,
  signal: AbortSignal,
  work: (transporter: Transporter) => Promise<void>,
): Promise<void> {
  // Heavy to load, and only needed with SMTP_URL.
  const { createTransport } = await import('nodemailer');
  // nodemailer has no deadline for a whole delivery: a server that sends a byte now and then would never time out. The service
  // owns the socket, so that it can close it.
  const socket = new Socket();
  // nodemailer listens only once it connects.
  socket.on('error', () => undefined);
  // A socket that was closed while the name of the server was looked up is connected nonetheless.
  socket.on('connect', () => signal.aborted && socket.destroy());
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => {
      socket.destroy();
      reject(new Error('No result in time'));
    });
  });
  try {
    signal.throwIfAborted();
    await Promise.race([aborted, work(createTransport({ ...smtpOptions(smtp), socket }))]);
  } catch (error) {
    throw describeFailure(error);
  } finally {
    socket.destroySoon();
  }
}

type SmtpError = Error & { command?: string; response?: string; responseCode?: number };

function describeFailure(error: unknown): DeliveryError {
  const { message, command, response = '', responseCode } = error as SmtpError;
  if (responseCode === undefined) {
    // Errors of the network and of TLS; they may name the server.
    const cause = message.replace(/^.*SSL routines:\w*:([^:]+):.*$/s, 'TLS failed: $1').replace(/\S*@\S*/g, '…');
    const text = cause.slice(0, MAX_MESSAGE_LENGTH);
    return new DeliveryError(text, { isPermanent: false, isOfServer: true });
  }
  // What follows the codes is free text, which often repeats the recipient.
  const [, status = ''] = /^\d{3}[ -](\d\.\d{1,3}\.\d{1,3})\b/.exec(response) ?? [];
  const isOfMail = command === 'RCPT TO' || command === 'DATA';
  const text = ['The server responds to', command ?? 'the connection', 'with', responseCode, status].join(' ').trim();
  return new DeliveryError(text, { isPermanent: isOfMail && responseCode >= 500, isOfServer: !isOfMail });
}
