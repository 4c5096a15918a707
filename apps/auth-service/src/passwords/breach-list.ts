import { createHash } from 'node:crypto';

const PREFIX_LENGTH = 5;
// A real answer has some 40 KB.
const MAX_BYTES = 1_048_576;

/**
 * Asks a list of breached passwords by the range protocol of Have I Been Pwned
 * (https://haveibeenpwned.com/API/v3#PwnedPasswords): it hears five characters of the password's SHA-1, and whether the
 * password is there is decided here. Goes nowhere else than to that URL, and reads no more than a list can be.
 *
 * @throws Error when the list does not answer in time, or not as it should
 */
export async function isBreached(password: string, baseUrl: string, timeoutMs: number): Promise<boolean> {
  const sha1 = createHash('sha1').update(password, 'utf8').digest('hex').toUpperCase();
  const response = await fetch(`${baseUrl}/range/${sha1.slice(0, PREFIX_LENGTH)}`, {
    // Padding hides from whoever sees the length of the answer which part was asked for.
    headers: { 'add-padding': 'true', 'user-agent': 'latchkey' },
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`The list answers ${response.status}.`);
  }
  const found = new RegExp(`^${sha1.slice(PREFIX_LENGTH)}:0*[1-9]`, 'm');
  return found.test(await readText(response));
}

async function readText({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    if (length > MAX_BYTES) throw new Error('The list answers more than a list can be.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('latin1');
}
