import { serviceSettings } from '@latchkey/service-kit';
import { SIGNING_ALGORITHMS, type SigningAlgorithm } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { type SettingsOf, seconds, section } from '../section.js';

/** The maximum of ACCESS_TOKEN_TTL_S. */
export const MAX_ACCESS_TOKEN_TTL_S = 86_400;

const { TOKEN_AUDIENCE } = serviceSettings;

export const tokens = section('Tokens', {
  TOKEN_AUDIENCE,
  TOKEN_ALGORITHM: Type.Unsafe<SigningAlgorithm>(
    Type.String({
      enum: [...SIGNING_ALGORITHMS],
      default: 'ES256',
      description: 'Algorithm of new signing keys',
    }),
  ),
  ACCESS_TOKEN_TTL_S: seconds(600, MAX_ACCESS_TOKEN_TTL_S, 'Lifetime of an access token'),
});
export type TokenSettings = SettingsOf<typeof tokens>;
