/**
 * Stands for an export that browsers do not have, with its type.
 *
 * @returns a function that throws a TypeError whenever it is called
 */
export function forServices<Export>(name: string, advice: string): Export {
  const fail = () => {
    throw new TypeError(`${name} of @latchkey/auth-client is for services, and this is a browser. ${advice}`);
  };
  return fail as Export;
}
