/** What the sign-in behind an access token must be for a request (RFC 9470 §3). */
export type AuthenticationNeeded = { maxAgeS?: number; acr?: string };

/** Reads what a response asks for that found the user's authentication insufficient; `undefined` of any other response. */
export function readChallenge(headers: Headers): AuthenticationNeeded | undefined {
  const challenge = headers.get('www-authenticate') ?? '';
  if (!/\berror="insufficient_user_authentication"/.test(challenge)) return undefined;
  const [, maxAge] = /\bmax_age="?(\d{1,10})\b/.exec(challenge) ?? [];
  // A list in order of preference.
  const [, acr] = /\bacr_values="([^\s"]+)/.exec(challenge) ?? [];
  return { ...(maxAge !== undefined && { maxAgeS: Number(maxAge) }), ...(acr !== undefined && { acr }) };
}
