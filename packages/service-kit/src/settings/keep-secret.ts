import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Reads a secret that is kept in a file, for development. Where there is none, one is made that only its owner may read;
 * of several processes that do so at once, the first one wins, and all get the same.
 */
export async function keepSecret(file: string, make: () => string): Promise<string> {
  const read = async () => (await readFile(file, 'utf8')).trim();
  const kept = await read().catch(ignore('ENOENT'));
  if (kept !== undefined) return kept;
  await mkdir(dirname(file), { recursive: true });
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, `${make()}\n`, { mode: 0o600 });
  // Linking is atomic and never replaces: the file is whole, and the first of several writers wins.
  await link(draft, file)
    .catch(ignore('EEXIST'))
    .finally(() => rm(draft));
  return read();
}

function ignore(code: string): (error: NodeJS.ErrnoException) => undefined {
  return error => {
    if (error.code !== code) throw error;
    return undefined;
  };
}
