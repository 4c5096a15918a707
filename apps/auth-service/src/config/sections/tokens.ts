import { serviceSettings } from '@latchkey/service-kit';
import { SIGNING_ALGORITHMS, type SigningAlgorithm } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { type SettingsOf, seconds, section } from '../section.js';

/** The longest life that an access token may be given, in seconds. */
export const MAX_ACCESS_TOKEN_TTL_S = 86_400;

const { TOKEN_AUDIENCE } = serviceSettings;

export const tokens = section('Tokens', {
  TOKEN_AUDIENCE,
  TOKEN_ALGORITHM: Type.Unsafe<SigningAlgorithm>(
    Type.String({
      enum: [...SIGNING_ALGORITHMS],
      default: 'ES256',
      description: 'How new signing keys sign: `ES256`, `EdDSA` or `RS256`',
    }),
  ),
  ACCESS_TOKEN_TTL_S: seconds(600, MAX_ACCESS_TOKEN_TTL_S, 'Lifetime of an access token'),
});
export type TokenSettings = SettingsOf<typeof tokens>;
