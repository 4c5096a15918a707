import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/**
 * Finds the files of the auth-service from the folder of a package that depends on it. This package cannot: the tests of
 * the auth-service depend on this one.
 *
 * @throws Error that says what the package needs
 */
export function findService(from: string): { server: string; cli: string } {
  const folder = resolve(from);
  const require = createRequire(resolve(folder, 'package.json'));
  const advice = `Add "@latchkey/auth-service": "workspace:*" to the devDependencies of the package there, then install and build.`;
  return {
    server: find(require, '@latchkey/auth-service/server', `${folder} has no built @latchkey/auth-service. ${advice}`),
    cli: find(require, '@latchkey/auth-service/cli', `${folder} has no built @latchkey/auth-service. ${advice}`),
  };
}

/**
 * Finds the embedded PostgreSQL of an auth-service, as the URL of its module.
 *
 * @throws Error that says what to do without it
 */
export function findEmbeddedPostgres(server: string): string {
  const name = '@latchkey/embedded-postgres';
  const advice = `${name} is not installed or not built. Do that, or set DATABASE_URL: startAuthService({ settings }).`;
  return pathToFileURL(find(createRequire(server), name, advice)).href;
}

function find(require: NodeJS.Require, name: string, advice: string): string {
  try {
    return require.resolve(name);
  } catch (cause) {
    throw new Error(advice, { cause });
  }
}
