import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';

/**
 * Asks for a name to be typed again, on a terminal.
 *
 * @throws Error when there is no terminal to ask at, or another name was typed
 */
export async function confirmDeletion(kind: string, name: string, about: string): Promise<void> {
  requireTerminal(kind, name);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  console.error(about);
  // On Ctrl-C and Ctrl-D the question rejects; it stays open when the terminal goes away.
  const answered = terminal.question(`Type ${name} to delete it: `).catch(() => undefined);
  const typed = await Promise.race([answered, once(terminal, 'close').then(() => undefined)]);
  terminal.close();
  if (typed !== name) throw new Error(`This is not ${name}: nothing was deleted.`);
}

/** @throws Error when there is no terminal to ask at */
export function requireTerminal(kind: string, name: string): void {
  if (process.stdin.isTTY) return;
  throw new Error(`This deletes the ${kind} ${name} for good: add --yes, or run it on a terminal.`);
}
