import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

/** Whether a process with this id exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Runs `critical` while no other process is inside the same lock file. The lock of a dead process is taken over. */
export async function withLock<T>(file: string, critical: () => Promise<T>): Promise<T> {
  while (!(await tryLock(file))) await setTimeout(20);
  try {
    return await critical();
  } finally {
    await rm(file, { force: true });
  }
}

async function tryLock(file: string): Promise<boolean> {
  try {
    await writeFile(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const owner = Number(await readFile(file, 'utf8').catch(() => process.pid));
  // An empty file is one whose owner has not written its id yet.
  if (owner !== 0 && !isAlive(owner)) {
    // Only one of several takers succeeds in moving it away.
    const stale = `${file}.${process.pid}`;
    await rename(file, stale).then(
      () => rm(stale, { force: true }),
      () => undefined,
    );
  }
  return false;
}
