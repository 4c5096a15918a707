import { ACRS, type AuthenticationDemand } from '@latchkey/user-schema';

/**
 * Checks what a guard is to demand of the sign-in behind a token. A misspelt or missing setting must not be taken for the choice
 * to demand nothing.
 *
 * @throws TypeError
 */
export function checkDemand(demand: AuthenticationDemand): AuthenticationDemand {
  // From a setting that is missing, for instance.
  const entries = Object.entries(demand ?? {});
  if (entries.length === 0) throw new TypeError('demand acr, maxAgeS or both');
  for (const [name, value] of entries) {
    if (name === 'acr') {
      if (!ACRS.some(acr => acr === value)) throw new TypeError(`acr must be one of ${ACRS.join(', ')}`);
    } else if (name === 'maxAgeS') {
      if (!Number.isSafeInteger(value) || Number(value) < 0)
        throw new TypeError('maxAgeS must be a number of whole seconds');
    } else throw new TypeError(`"${name}" cannot be demanded: demand acr, maxAgeS or both`);
  }
  return demand;
}
