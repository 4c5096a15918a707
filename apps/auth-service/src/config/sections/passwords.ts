import { Type } from '@sinclair/typebox';
import { type SettingsOf, section } from '../section.js';

export const passwords = section(
  'Passwords',
  {
    PASSWORD_MIN_LENGTH: Type.Integer({ default: 8, minimum: 1, maximum: 256, description: 'In characters' }),
    PASSWORD_BREACH_URL: Type.Optional(
      Type.String({
        pattern: '^https?://[^?#]+$',
        description: 'List of breached passwords to ask, by the range protocol of Have I Been Pwned',
      }),
    ),
    PASSWORD_BREACH_TIMEOUT_MS: Type.Integer({
      default: 1000,
      minimum: 1,
      maximum: 10_000,
      description: 'How long that list may take, in milliseconds; beyond that the password is accepted',
    }),
    BCRYPT_COST: Type.Integer({ default: 12, minimum: 4, maximum: 20, description: 'Cost of new password hashes' }),
    HASH_WORKERS: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 64,
        description: 'How many passwords are hashed at once',
        $comment: 'one a core',
      }),
    ),
    HASH_MAX_WAIT_MS: Type.Integer({
      default: 1000,
      minimum: 0,
      // A request that waits must have its response before a service that closes is ended.
      maximum: 8000,
      description:
        'How long a hash may have to wait for its turn, in milliseconds; beyond that the response is 503 at once',
    }),
  },
  ({ passwordBreachUrl, ...settings }) => ({
    ...settings,
    ...(passwordBreachUrl && { passwordBreachUrl: passwordBreachUrl.replace(/\/+$/, '') }),
  }),
);
export type PasswordSettings = SettingsOf<typeof passwords>;
