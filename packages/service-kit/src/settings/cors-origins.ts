import { type TOptional, type TString, Type } from '@sinclair/typebox';
import { ANY_LOCALHOST } from '../http/origins.js';
import { splitList } from './lists.js';

const LOOPBACK = /^(localhost|.+\.localhost|127\.0\.0\.1|\[::1\])$/;

/** The setting of the front ends on other origins, for a schema. */
export const corsOriginsSetting: TOptional<TString> = Type.Optional(
  Type.String({
    description:
      'Comma-separated origins of front ends that send requests from browsers, such as https://app.example.com',
    $comment: 'none; in development `http://localhost:*`, any port of this machine',
  }),
);

/** Reads that setting: the origins as browsers send them. Complains of each that is none. */
export function readCorsOrigins(
  given: string | undefined,
  production: boolean,
  complain: (complaint: string) => void,
): string[] {
  const origins = splitList(given ?? (production ? '' : ANY_LOCALHOST));
  for (const origin of origins) {
    const fault = judgeOrigin(origin, { production });
    if (fault) complain(`CORS_ORIGINS: "${origin}" ${fault}.`);
  }
  return origins;
}

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
