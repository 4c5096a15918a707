import { BreachListError, isBreached } from '../../credentials/password/breach-list.js';
import { duration, type Finding, ok, warn } from './finding.js';
import { causeOf } from './public-url.js';

const NAME = 'breach-list';

/** Looks a well-known password up in the list of breached passwords, as the service does. */
export async function checkBreachList(baseUrl: string, timeoutMs: number): Promise<Finding[]> {
  const advice =
    'Until then, new passwords are not checked against the list. Check PASSWORD_BREACH_URL, and whether this machine can reach it.';
  const before = performance.now();
  try {
    const isKnown = await isBreached('password', baseUrl, timeoutMs);
    if (isKnown) return [ok(NAME, `the list responds within ${duration(performance.now() - before)}`)];
    return [warn(NAME, 'the list responds, but does not contain "password"', advice)];
  } catch (error) {
    if (error instanceof BreachListError) return [warn(NAME, error.message, advice)];
    return [warn(NAME, `the list does not respond (${causeOf(error)})`, advice)];
  }
}
