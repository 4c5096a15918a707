import { Type } from '@sinclair/typebox';
import { type SettingsOf, section } from '../section.js';

export const accounts = section('Accounts', {
  SIGN_UP: Type.Unsafe<'open' | 'email' | 'closed'>(
    Type.String({
      enum: ['open', 'email', 'closed'],
      default: 'open',
      description:
        'How people sign up: at once (`open`), by a link in a mail, so that nobody learns who has an account (`email`), or not at all (`closed`)',
    }),
  ),
});
export type AccountSettings = SettingsOf<typeof accounts>;
