import { kindOfRefusal } from './error-kinds.js';

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

/** Says at which step a connection failed, for the start of a service and for the doctor. */
export function describeRefusal(error: NodeJS.ErrnoException, place: DatabasePlace): Refusal | undefined {
  const { code = '', message } = error;
  const cause = message || code;
  const name = nameOf(place);

  switch (kindOfRefusal(error)) {
    case 'unresolved':
      return {
        detail: `the name ${place.host} cannot be resolved (${code})`,
        advice: 'Check the host in DATABASE_URL, and DNS.',
      };
    case 'no-listener':
    case 'no-socket':
      return {
        detail: `nothing listens on ${name}`,
        advice: 'Start PostgreSQL, or check host and port in DATABASE_URL.',
      };
    case 'login-refused':
      return {
        detail: `${name} refuses the role "${place.user}" (${cause})`,
        advice: 'Check user, password and sslmode in DATABASE_URL, and pg_hba.conf of the server.',
      };
    case 'tls':
      return {
        detail: `${name} accepts connections, but TLS fails (${cause})`,
        advice: 'Check sslmode and sslrootcert in DATABASE_URL, and the certificate of the server.',
      };
    case 'no-database':
      return {
        detail: `there is no database "${place.database}" on ${name}`,
        advice: `Make it, with CREATE DATABASE and ENCODING 'UTF8', or check the name in DATABASE_URL.`,
      };
    case 'no-connection-left':
      return { detail: `${name} has no connection left (${cause})`, advice: 'Raise max_connections, or use a pooler.' };
    case 'not-accepting':
      return { detail: `${name} does not accept us now (${cause})`, advice: 'It starts or stops: try again shortly.' };
    default:
      return undefined;
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
