/** Where a database that is distributed by account keeps each row: by this column. See docs/scaling.md. */
export const PLACES: Record<string, string> = {
  audit_events: 'place',
  identifiers: 'name',
  one_time_tokens: 'account_id',
  sessions: 'user_id',
  sign_up_keys: 'user_id',
  users: 'id',
};
