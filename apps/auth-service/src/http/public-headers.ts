/** The headers of a response that any page may read, and any cache may keep for `maxAgeS` seconds. */
export function publicHeaders(maxAgeS: number): Record<string, string> {
  return {
    'cache-control': `public, max-age=${maxAgeS}`,
    'access-control-allow-origin': '*',
    'cross-origin-resource-policy': 'cross-origin',
  };
}
