import { ANY_LOCALHOST } from '@latchkey/service-kit';

const LOOPBACK = /^(localhost|.+\.localhost|127\.0\.0\.1|\[::1\])$/;

/** Says why an origin of a setting is none that a browser would send and that can be trusted; `undefined` when it is. */
export function judgeOrigin(text: string, { production }: { production: boolean }): string | undefined {
  if (text === ANY_LOCALHOST && !production) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) return 'is not an origin, such as https://app.example.com';
  if (url.origin !== text) return `is not how browsers write it: ${url.origin}`;
  if (text.includes('*')) return 'has a wildcard; name each origin';
  // Anyone on the network path could put a script into the page.
  if (url.protocol === 'http:' && !LOOPBACK.test(url.hostname)) return 'is not safe without TLS: use https';
  return undefined;
}
