import { ConfigError } from '@latchkey/service-kit';
import { isLoopback } from '../../config/hosts.js';
import type { Settings } from '../../config/settings.js';
import type { QueueState } from '../../mail/queue.js';
import { loadTemplates } from '../../mail/templates.js';
import { greetServer } from '../../mail/transport.js';
import { duration, type Finding, fail, ok, plural, warn } from './finding.js';

const NAME = 'mail';
const TEMPLATES = 'mail-templates';
const QUEUE = 'mail-queue';
const LIMIT_MS = 10_000;
const LONG_WAIT_S = 600;

/** Checks whether mails can be sent: connects to the mail server and signs in there, and sends nothing. */
export async function checkMail(settings: Settings): Promise<Finding[]> {
  return [...(await checkServer(settings)), ...checkTemplates(settings)];
}

async function checkServer({ mail: { smtp }, production, publicUrl, dataDir }: Settings): Promise<Finding[]> {
  if (!smtp && production) {
    const detail = 'SMTP_URL is not set: what needs mail, such as a password reset by its owner, is not available';
    return [warn(NAME, detail, 'Set SMTP_URL and MAIL_FROM. Expected where no mail is to be sent.')];
  }
  if (!smtp) return [ok(NAME, `mails are kept in ${dataDir}/mail, and shown at ${publicUrl}/dev/mailbox`)];
  const { host, port, secure, auth } = smtp;
  const before = performance.now();
  try {
    await greetServer(smtp, AbortSignal.timeout(LIMIT_MS));
  } catch (error) {
    const advice =
      'Check SMTP_URL, and whether this machine can reach the server. Until then mails wait in the queue, for a day.';
    return [fail(NAME, `${host}:${port} takes no mails (${(error as Error).message})`, advice)];
  }
  const how = [auth ? 'signed in' : 'without a username', secure || !isLoopback(host) ? 'by TLS' : 'without TLS'];
  return [ok(NAME, `${host}:${port} takes mails (${how.join(', ')}), ${duration(performance.now() - before)} away`)];
}

function checkTemplates({ mail: { templatesDir } }: Settings): Finding[] {
  if (templatesDir === undefined) return [];
  try {
    loadTemplates(templatesDir);
    return [ok(TEMPLATES, `those in ${templatesDir} are valid`)];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.complaints.map(detail => fail(TEMPLATES, detail, 'The service does not start: correct the template.'));
  }
}

/** Judges the queue of mails. */
export function checkMailQueue({ waiting, givenUp, oldestS }: QueueState): Finding[] {
  const findings: (Finding | false)[] = [
    ok(QUEUE, `${plural(waiting, 'mail')} waiting, ${givenUp} given up`),
    oldestS > LONG_WAIT_S &&
      warn(
        QUEUE,
        `the oldest mail has waited for ${duration(oldestS * 1000)}`,
        'Run "latchkey mail list", which shows the errors.',
      ),
    givenUp > 0 &&
      warn(
        QUEUE,
        `${plural(givenUp, 'mail')} could not be sent`,
        'Run "latchkey mail list --given-up", which shows the errors; "latchkey mail retry --all" sends them again. They are deleted after 30 days.',
      ),
  ];
  return findings.filter(finding => finding !== false);
}
