import { Type } from '@sinclair/typebox';
import { parseNamedAddress } from '../mail-address.js';
import { type SettingsOf, section } from '../section.js';
import { describeSmtpUrlFault, parseSmtpUrl } from '../smtp-url.js';

const DEFAULT_FROM = { name: 'Latchkey', address: 'latchkey@localhost' };

export const mail = section(
  'Mail',
  {
    SMTP_URL: Type.Optional(
      Type.String({
        pattern: '^smtps?://',
        description:
          'Mail server as `smtp://user:password@host:587`, with STARTTLS, or `smtps://…`; percent-encode the password',
        $comment: 'none; in development, mails are kept in `DATA_DIR/mail` and shown at `/dev/mailbox`',
      }),
    ),
    MAIL_FROM: Type.Optional(
      Type.String({
        description: 'Sender of the mails, as `Name <address>` or `address`',
        $comment: '`Latchkey <latchkey@localhost>`; required with `SMTP_URL`',
      }),
    ),
    MAIL_TEMPLATES_DIR: Type.Optional(
      Type.String({ description: 'Folder with files that replace the templates of mails with the same names' }),
    ),
    APP_URL: Type.Optional(
      Type.String({
        pattern: '^https?://[^?#]+$',
        description: 'URL of the pages to which the links in mails lead',
        $comment: '`PUBLIC_URL/account`',
      }),
    ),
  },
  ({ smtpUrl, mailFrom, mailTemplatesDir }, { appUrl, complain }) => {
    const fault = smtpUrl && describeSmtpUrlFault(smtpUrl);
    if (fault) complain(`SMTP_URL ${fault}`);
    const from = mailFrom === undefined ? DEFAULT_FROM : parseNamedAddress(mailFrom);
    if (!from) complain('MAIL_FROM is not a mail address, such as Example <no-reply@example.com>.');
    if (smtpUrl !== undefined && mailFrom === undefined)
      complain('MAIL_FROM is required with SMTP_URL. Set it to the sender, such as Example <no-reply@example.com>.');
    return {
      appUrl,
      mail: {
        from: from ?? DEFAULT_FROM,
        ...(smtpUrl !== undefined && !fault && { smtp: parseSmtpUrl(smtpUrl) }),
        ...(mailTemplatesDir !== undefined && { templatesDir: mailTemplatesDir }),
      },
    };
  },
);
export type MailSettings = SettingsOf<typeof mail>;
