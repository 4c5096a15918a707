import { isIP } from 'node:net';
import { ANY_LOCALHOST, judgeOrigin, splitList } from '@latchkey/service-kit';
import { Type } from '@sinclair/typebox';
import { type SettingsOf, section } from '../section.js';

const ANDROID_APP = /^android:apk-key-hash:[\w-]{43}$/;

export const factors = section(
  'Second factors and passkeys',
  {
    SECOND_FACTOR: Type.Unsafe<'optional' | 'required'>(
      Type.String({
        enum: ['optional', 'required'],
        default: 'optional',
        description:
          'Whether everybody must have a second factor or a passkey (`required`): who has none may only add one',
      }),
    ),
    PASSKEY_RP_ID: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9.-]{1,253}$',
        description: 'Domain that passkeys are made for; passkeys of another one cannot be used any more',
        $comment: 'the host of `PUBLIC_URL`; an IP address cannot have passkeys',
      }),
    ),
    PASSKEY_ORIGINS: Type.Optional(
      Type.String({
        description: 'Comma-separated origins whose pages and apps may use passkeys',
        $comment: 'those of `PUBLIC_URL` and `APP_URL`; in development also `http://localhost:*`',
      }),
    ),
    PASSKEY_RP_NAME: Type.String({
      default: 'Latchkey',
      minLength: 1,
      maxLength: 64,
      description: 'Name of the service that people see when they make a passkey, and in authenticator apps',
    }),
  },
  ({ secondFactor, passkeyRpId, passkeyOrigins, passkeyRpName }, { publicUrl, appUrl, production, complain }) => {
    const { hostname } = new URL(publicUrl);
    const rpId = passkeyRpId ?? (isIP(hostname.replace(/^\[|\]$/g, '')) ? undefined : hostname);
    if (passkeyRpId !== undefined && isIP(passkeyRpId))
      complain('PASSKEY_RP_ID is an IP address. Set it to a domain, such as example.com.');
    const given = passkeyOrigins === undefined ? undefined : splitList(passkeyOrigins);
    for (const origin of given ?? []) {
      const fault = ANDROID_APP.test(origin) ? undefined : judgeOrigin(origin, { production });
      if (fault) complain(`PASSKEY_ORIGINS: "${origin}" ${fault}.`);
    }
    const defaults = [new URL(publicUrl).origin, new URL(appUrl).origin, ...(production ? [] : [ANY_LOCALHOST])];
    return {
      secondFactor,
      passkeys: {
        /** `undefined` when the service has no domain: then there are no passkeys. */
        rpId,
        rpName: passkeyRpName,
        origins: [...new Set(given ?? defaults)],
      },
    };
  },
);
export type FactorSettings = SettingsOf<typeof factors>;
