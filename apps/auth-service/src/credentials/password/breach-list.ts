import { createHash } from 'node:crypto';

const PREFIX_LENGTH = 5;
// A real response has some 40 KB.
const MAX_BYTES = 1_048_576;

/** The list could not be read. */
export class BreachListError extends Error {
  override readonly name = 'BreachListError';
}

/**
 * Asks a list of breached passwords by the range protocol of Have I Been Pwned
 * (https://haveibeenpwned.com/API/v3#PwnedPasswords): sends five characters of the password's SHA-1, and looks for the rest in
 * the response.
 *
 * @throws BreachListError when the list does not respond in time, or not as the protocol says
 */
export async function isBreached(password: string, baseUrl: string, timeoutMs: number): Promise<boolean> {
  const sha1 = createHash('sha1').update(password, 'utf8').digest('hex').toUpperCase();
  const range = await readRange(baseUrl, sha1.slice(0, PREFIX_LENGTH), timeoutMs);
  return new RegExp(`^${sha1.slice(PREFIX_LENGTH)}:0*[1-9]`, 'm').test(range);
}

/** Reads a part of the list. Goes nowhere else than to that URL, and reads no more than a list can be. */
async function readRange(baseUrl: string, prefix: string, timeoutMs: number): Promise<string> {
  const response = await fetch(`${baseUrl}/range/${prefix}`, {
    // Padding hides which part was asked for from an observer who sees the length of the response.
    headers: { 'add-padding': 'true', 'user-agent': 'latchkey' },
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw new BreachListError(`The list responded ${response.status}.`);
  }
  return readText(response);
}

async function readText({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    if (length > MAX_BYTES) throw new BreachListError('The response is larger than a list can be.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('latin1');
}
