import { Type } from '@sinclair/typebox';
import { type SettingsOf, section } from '../section.js';

export const passwords = section(
  'Passwords',
  {
    PASSWORD_MIN_LENGTH: Type.Integer({
      default: 8,
      minimum: 1,
      maximum: 256,
      description: 'Minimum length of a new password, in characters',
    }),
    PASSWORD_BREACH_URL: Type.Optional(
      Type.String({
        pattern: '^https?://[^?#]+$',
        description: 'URL of a list of passwords to reject, by the range protocol of Have I Been Pwned',
      }),
    ),
    PASSWORD_BREACH_TIMEOUT_MS: Type.Integer({
      default: 1000,
      minimum: 1,
      maximum: 10_000,
      description: 'Timeout of `PASSWORD_BREACH_URL`, in milliseconds; when it passes, passwords are accepted',
    }),
    BCRYPT_COST: Type.Integer({ default: 12, minimum: 4, maximum: 20, description: 'Cost of new password hashes' }),
    HASH_WORKERS: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 64,
        description: 'Number of threads that hash passwords',
        $comment: 'one for each core',
      }),
    ),
    HASH_NICE: Type.Integer({
      default: 10,
      minimum: 0,
      maximum: 19,
      description:
        'How far the priority of those threads is below that of the rest, as with `nice`, on Linux; higher where other processes compete for the cores',
    }),
    HASH_MAX_WAIT_MS: Type.Integer({
      default: 1000,
      minimum: 0,
      // A service that closes cuts connections after 10 seconds; requests that wait must have their responses by then.
      maximum: 8000,
      description:
        'Longest wait for a free thread, in milliseconds; a request that would wait longer is rejected with 503 at once',
    }),
  },
  ({ passwordBreachUrl, ...settings }) => ({
    ...settings,
    ...(passwordBreachUrl && { passwordBreachUrl: passwordBreachUrl.replace(/\/+$/, '') }),
  }),
);
export type PasswordSettings = SettingsOf<typeof passwords>;
