import { explain } from '@latchkey/service-kit';
import { kindOfDatabaseError } from '@latchkey/service-kit/database';
import { type Finding, fail, skip } from './finding.js';

/** A check, with the name of its findings. */
export type Check = { name: string; run: () => Finding[] | Promise<Finding[]> };

// Checks have limits of their own; this one is a fallback.
const LIMIT_MS = 15_000;

/** Runs a check within the limit; turns an error into a finding. */
export async function perform({ name, run }: Check): Promise<Finding[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Finding[]>(resolve => {
    const finding = fail(
      name,
      `the check did not end within ${LIMIT_MS / 1000} s`,
      'Look for the part that does not respond.',
    );
    timer = setTimeout(resolve, LIMIT_MS, [finding]);
  });
  try {
    return await Promise.race([run(), late]);
  } catch (error) {
    return [describeFault(name, error)];
  } finally {
    clearTimeout(timer);
  }
}

function describeFault(name: string, error: unknown): Finding {
  switch (kindOfDatabaseError(error)) {
    // Other checks report the cause.
    case 'not-there':
      return skip(name, 'the database is not migrated');
    case 'not-allowed':
      return skip(name, 'the role may not read what it needs');
    case 'too-late':
      return skip(name, 'the database took too long to respond');
    default:
      return fail(name, explain(error), 'Run it again. If the error stays, report it.');
  }
}
