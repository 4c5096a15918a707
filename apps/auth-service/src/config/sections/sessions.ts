import { Type } from '@sinclair/typebox';
import { type SettingsOf, seconds, section } from '../section.js';

const DAY_S = 86_400;
const MAX_S = 10 * 365 * DAY_S;

export const sessions = section('Sessions', {
  REFRESH_TOKEN_TTL_S: seconds(30 * DAY_S, MAX_S, 'How long a session lives after its last refresh'),
  SESSION_MAX_AGE_S: seconds(180 * DAY_S, MAX_S, 'How long a session lives at most, with all its refreshes'),
  SESSIONS_PER_ACCOUNT: Type.Integer({
    default: 100,
    minimum: 1,
    maximum: 10_000,
    description: 'Maximum number of sessions of an account; a sign-in beyond it ends the oldest session',
  }),
  REAUTHENTICATE_AFTER_S: seconds(600, DAY_S, 'How old a sign-in may be for a change of what identifies its account'),
  REFRESH_GRACE_S: Type.Integer({
    default: 10,
    minimum: 0,
    maximum: 300,
    description: 'How long a used refresh token still returns the same successor, in seconds',
  }),
});
export type SessionSettings = SettingsOf<typeof sessions>;
