// RFC 6749 §3.3
const SCOPE = /^[\x21\x23-\x5B\x5D-\x7E]{1,128}$/;

/** Collects the values of an option that may be repeated. */
export function collect(scope: string, before: string[]): string[] {
  return [...before, scope];
}

/** @throws Error when a scope has another form than RFC 6749 allows */
export function assertScopes(scopes: string[]): void {
  const bad = scopes.find(scope => !SCOPE.test(scope));
  if (bad === undefined) return;
  throw new Error(
    `"${bad}" is not a scope (RFC 6749 §3.3): use ASCII characters without spaces, quotes and backslashes.`,
  );
}
