import { corsOriginsSetting, isCidr, readCorsOrigins, splitList } from '@latchkey/service-kit';
import { Type } from '@sinclair/typebox';
import { type SettingsOf, section } from '../section.js';

export const http = section(
  'HTTP',
  {
    PUBLIC_URL: Type.Optional(
      Type.String({
        pattern: '^https?://[^?#]+$',
        description: 'URL at which clients reach the service, and the issuer (`iss`) of its tokens',
        $comment: '`http://localhost:PORT`; required in production',
      }),
    ),
    TRUST_PROXY: Type.String({
      default: '',
      description: 'CIDR list of the proxies whose `X-Forwarded-For` and `X-Request-Id` are trusted',
    }),
    CORS_ORIGINS: corsOriginsSetting,
    METRICS_PORT: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 65535, description: 'Port of `/metrics`, for Prometheus' }),
    ),
  },
  ({ corsOrigins, trustProxy, ...settings }, { production, publicUrl, complain }) => {
    const blocks = splitList(trustProxy);
    for (const block of blocks) {
      if (!isCidr(block))
        complain(`TRUST_PROXY: "${block}" is not an address or a CIDR block (a hop count can be spoofed).`);
    }
    return {
      ...settings,
      publicUrl,
      corsOrigins: readCorsOrigins(corsOrigins, production, complain),
      /** CIDR blocks, or single addresses. */
      trustProxy: blocks,
    };
  },
);
export type HttpSettings = SettingsOf<typeof http>;
