import { BreachListError, isBreached } from '../../credentials/password/breach-list.js';
import { duration, type Finding, ok, warn } from './finding.js';
import { causeOf } from './public-url.js';

const NAME = 'breach-list';

/** Asks the list of breached passwords for the worst of all, as the service does. */
export async function checkBreachList(baseUrl: string, timeoutMs: number): Promise<Finding[]> {
  const advice =
    'New passwords are accepted unchecked meanwhile. Check PASSWORD_BREACH_URL, and whether this machine may go there.';
  const before = performance.now();
  try {
    const isKnown = await isBreached('password', baseUrl, timeoutMs);
    if (isKnown) return [ok(NAME, `it answers within ${duration(performance.now() - before)}`)];
    return [warn(NAME, 'it answers, and does not know "password"', advice)];
  } catch (error) {
    if (error instanceof BreachListError) return [warn(NAME, error.message, advice)];
    return [warn(NAME, `it does not answer (${causeOf(error)})`, advice)];
  }
}
