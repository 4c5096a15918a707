/** Where a database that is distributed by account keeps each row: by this column. See docs/scaling.md. */
export const PLACES: Record<string, string> = {
  audit_events: 'place',
  identifiers: 'name',
  one_time_tokens: 'account_id',
  passkeys: 'account_id',
  recovery_codes: 'account_id',
  sessions: 'user_id',
  sign_up_keys: 'user_id',
  totp: 'account_id',
  used_challenges: 'account_id',
  users: 'id',
};
