import { Type } from '@sinclair/typebox';
import { type SettingsOf, section } from '../section.js';

export const events = section('Audit events', {
  AUDIT_RETENTION_DAYS: Type.Integer({
    default: 90,
    minimum: 0,
    maximum: 36_500,
    description:
      'How long audit events are kept at least, in days; they are deleted by whole months. 0 keeps them for ever',
  }),
});
export type EventSettings = SettingsOf<typeof events>;
