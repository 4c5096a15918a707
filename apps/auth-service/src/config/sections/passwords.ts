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
        description:
          'URL of a list of breached passwords that speaks the range protocol of Have I Been Pwned; new passwords in it are rejected',
      }),
    ),
    PASSWORD_BREACH_TIMEOUT_MS: Type.Integer({
      default: 1000,
      minimum: 1,
      maximum: 10_000,
      description:
        'Timeout of a request to `PASSWORD_BREACH_URL`, in milliseconds; without a response the password is accepted',
    }),
    BCRYPT_COST: Type.Integer({
      default: 12,
      minimum: 4,
      maximum: 20,
      description: 'bcrypt cost of new password hashes; each step doubles the time of a hash',
    }),
    HASH_WORKERS: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 64,
        description: 'Number of threads that hash passwords',
        $comment: 'one for each core',
      }),
    ),
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
