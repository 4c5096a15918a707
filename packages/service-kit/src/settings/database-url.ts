const CURE =
  'Percent-encode what is special in its password (/ is %2F, # is %23, ? is %3F, @ is %40, % is %25), or leave the password out and set PGPASSWORD to it.';

/**
 * Says what is wrong with a PostgreSQL URL, and what to do; `undefined` when it means what it says. Shows nothing of it.
 *
 * With a `/`, `#` or `?` in the password, `new URL` throws at best; at worst the username is the host to it, the first
 * digits of the password the port, and the rest of the password the database, which error messages show.
 */
export function describeDatabaseUrlFault(url: string): string | undefined {
  const rest = url.replace(/^[^:]+:\/\//, '');
  const authority = /^[^/?#]*/.exec(rest)?.[0] ?? '';
  const path = /^[^?#]*/.exec(rest)?.[0] ?? '';
  // Behind the path, an @ may be part of a parameter.
  const hasLateAt = path.includes('@') || (path === authority && rest.includes('@'));
  if (!authority.includes('@') && hasLateAt) return `is not a URL with a host behind its @. ${CURE}`;
  try {
    // Like pg, take a URL without a host, whose socket a parameter names.
    const { username, password } = new URL(url.replace('@/', '@localhost/'));
    for (const part of [username, password]) decodeURIComponent(part);
  } catch {
    return `is not a URL. ${CURE}`;
  }
  return undefined;
}
