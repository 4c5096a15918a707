type Header = { description: string; required?: true; schema: object };

const TEXT = { type: 'string' };

/** The headers of responses, as components of the document. */
export const HEADERS: Record<string, Header> = {
  'cache-control': { description: '`no-store`, but for what any cache may keep', required: true, schema: TEXT },
  ratelimit: { description: 'What is left of the rate limit (draft-ietf-httpapi-ratelimit-headers)', schema: TEXT },
  'ratelimit-policy': { description: 'The rate limits of the operation', schema: TEXT },
  'retry-after': {
    description: 'After how many seconds to try again',
    required: true,
    schema: { type: 'integer', minimum: 0 },
  },
  'www-authenticate': {
    description: 'The challenge: what the request lacks (RFC 6750, RFC 9470)',
    required: true,
    schema: TEXT,
  },
  'x-request-id': { description: 'Id of the request, by which the log has it', required: true, schema: TEXT },
};

const OF_ALL = ['cache-control', 'x-request-id'];
const OF_THROTTLED = ['ratelimit', 'ratelimit-policy'];
const OF_STATUS: Record<number, string[]> = {
  401: ['www-authenticate'],
  429: ['retry-after', ...OF_THROTTLED],
  503: ['retry-after'],
};

/** The headers of a response, as references. */
export function headersOf(status: number, { isThrottled = false } = {}): Record<string, { $ref: string }> {
  const names = [...OF_ALL, ...(OF_STATUS[status] ?? []), ...(isThrottled ? OF_THROTTLED : [])];
  return Object.fromEntries(names.map(name => [name, { $ref: `#/components/headers/${name}` }]));
}
