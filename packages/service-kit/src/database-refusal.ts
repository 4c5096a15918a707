/** Where a database is, and as whom it is used. */
export interface DatabasePlace {
  /** A folder, beginning with `/`, for a socket. */
  host: string;
  port: number;
  user: string;
  database: string;
}

/** What happened, and what to do about it, as sentences without their full stop and with it. */
export interface Refusal {
  detail: string;
  advice: string;
}

/** What a URL of PostgreSQL says of the place; `undefined` when it is no URL. */
export function placeOf(databaseUrl: string): DatabasePlace | undefined {
  // With a socket nothing may stand behind the @, which a URL must have.
  const url = databaseUrl.replace('@/', '@localhost/');
  if (!URL.canParse(url)) return undefined;
  const { hostname, port, username, pathname, searchParams } = new URL(url);
  return {
    host: searchParams.get('host') ?? decode(hostname),
    port: Number(port) || 5432,
    user: decode(username),
    database: decode(pathname.slice(1)),
  };
}

/** How a place is called in messages. */
export function nameOf({ host, port }: DatabasePlace): string {
  return host.startsWith('/') ? `the socket in ${host}` : `${host}:${port}`;
}

/** Says at which step a connection failed; the start of a service and the doctor say it alike. */
export function describeRefusal(error: NodeJS.ErrnoException, place: DatabasePlace): Refusal | undefined {
  const { code = '', message } = error;
  const cause = message || code;
  const name = nameOf(place);

  if (/^(ENOTFOUND|EAI_)/.test(code)) {
    const detail = `the name ${place.host} cannot be resolved (${code})`;
    return { detail, advice: 'Check the host in DATABASE_URL, and DNS.' };
  }
  if (code === 'ECONNREFUSED' || code === 'ENOENT') {
    const advice = 'Start PostgreSQL, or check host and port in DATABASE_URL.';
    return { detail: `nothing listens on ${name}`, advice };
  }
  if (/^28/.test(code) || /password|authentication failed|no such user/i.test(message)) {
    const advice = 'Check user, password and sslmode in DATABASE_URL, and pg_hba.conf of the server.';
    return { detail: `${name} refuses the role "${place.user}" (${cause})`, advice };
  }
  if (/SSL|TLS|CERT|self.signed/i.test(`${code} ${message}`)) {
    const advice = 'Check sslmode and sslrootcert in DATABASE_URL, and the certificate of the server.';
    return { detail: `${name} answers, but TLS fails (${cause})`, advice };
  }
  if (code === '3D000' || /no such database/i.test(message)) {
    const advice = `Make it, with CREATE DATABASE and ENCODING 'UTF8', or check the name in DATABASE_URL.`;
    return { detail: `there is no database "${place.database}" on ${name}`, advice };
  }
  if (code === '53300') {
    const advice = 'Raise max_connections, or use a pooler.';
    return { detail: `${name} has no connection left (${cause})`, advice };
  }
  if (/^57P03|^08|^57/.test(code)) {
    return { detail: `${name} does not accept us now (${cause})`, advice: 'It starts or stops: try again shortly.' };
  }
  return undefined;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
