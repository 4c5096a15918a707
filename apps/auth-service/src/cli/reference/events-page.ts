import { EVENT_MEANINGS } from '../../events/meanings.js';
import { code, page, table } from './markdown.js';

const INTRODUCTION = `Each change of an account, and each attempt that failed, is an audit event: [Read the audit events](operating.md#read-the-audit-events). The
metric \`latchkey_auth_events_total\` counts those of requests, by event and \`reason\`.`;

/** The audit events, with their details. */
export function eventsPage(): string {
  const rows = Object.entries(EVENT_MEANINGS).map(([name, { meaning, details = '' }]) => [
    code(name),
    meaning,
    details,
  ]);
  return page('Audit events', INTRODUCTION, table(['event', 'meaning', 'details'], rows));
}
