import { duration, type Finding, ok, warn } from './finding.js';
import { causeOf } from './public-url.js';

const NAME = 'breach-list';
// That of "password".
const PREFIX = '5BAA6';
const SUFFIX = '1E4C9B93F3F0682250B6CF8331B7EE68FD8';

/** Asks the list of breached passwords for the worst of all. */
export async function checkBreachList(baseUrl: string, timeoutMs: number): Promise<Finding[]> {
  const advice =
    'New passwords are accepted unchecked meanwhile. Check PASSWORD_BREACH_URL, and whether this machine may go there.';
  const before = performance.now();
  try {
    const headers = { 'user-agent': 'latchkey' };
    const response = await fetch(`${baseUrl}/range/${PREFIX}`, { headers, signal: AbortSignal.timeout(timeoutMs) });
    const isThere = (await response.text()).includes(SUFFIX);
    if (response.ok && isThere) return [ok(NAME, `it answers within ${duration(performance.now() - before)}`)];
    return [warn(NAME, `it answers ${response.status}, and ${isThere ? 'knows' : 'does not know'} "password"`, advice)];
  } catch (error) {
    return [warn(NAME, `it does not answer (${causeOf(error)})`, advice)];
  }
}
