/** A mail server, and who the service is there. */
export type SmtpServer = {
  host: string;
  port: number;
  /** Whether the connection begins with TLS; otherwise STARTTLS follows, except on this machine. */
  secure: boolean;
  auth?: { user: string; pass: string };
};

const SUBMISSION_PORT = 587;
const SUBMISSIONS_PORT = 465;
const HOST = /^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])$/;
const CURE =
  'Percent-encode what is special in its username and password (/ is %2F, # is %23, ? is %3F, @ is %40, : is %3A, % is %25).';

/** Says what is wrong with the URL of a mail server, and what to do; `undefined` when nothing is. Shows nothing of it. */
export function describeSmtpUrlFault(text: string): string | undefined {
  try {
    const { username, password, hostname, pathname, search, hash } = new URL(text);
    for (const part of [username, password]) decodeURIComponent(part);
    if (!HOST.test(hostname)) return `has no host, or one with characters that hosts do not have. ${CURE}`;
    if (!/^\/?$/.test(pathname) || search !== '' || hash !== '') return `has more than a host and a port. ${CURE}`;
    if (username === '' && password !== '') return 'has a password but no username.';
    return undefined;
  } catch {
    return `is not a URL. ${CURE}`;
  }
}

/** Reads a URL that {@link describeSmtpUrlFault} finds nothing wrong with. */
export function parseSmtpUrl(text: string): SmtpServer {
  const { protocol, username, password, hostname, port } = new URL(text);
  const secure = protocol === 'smtps:';
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port) || (secure ? SUBMISSIONS_PORT : SUBMISSION_PORT),
    secure,
    ...(username !== '' && { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
  };
}
