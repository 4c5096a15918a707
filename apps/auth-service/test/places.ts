/** Where a database that is distributed by account keeps each row: by this column. See docs/scaling.md. */
export const PLACES: Record<string, string> = {
  audit_events: 'place',
  identifiers: 'name',
  sessions: 'user_id',
  sign_up_keys: 'user_id',
  users: 'id',
};
