import type { EventName } from './names.js';

const REASONS =
  '`reason`: `wrong_password`, `unknown_account`, `disabled`, `no_password`, `changed_meanwhile` (by another request); `wrong_` or `used_` with `totp`, `recovery_code`, `passkey`';
const ENDED = '`ended`: how many sessions';

/** What each audit event says, and its details, in Markdown. */
export const EVENT_MEANINGS: Record<EventName, { meaning: string; details?: string }> = {
  sign_up: { meaning: 'An account was made.' },
  sign_up_repeated: { meaning: 'A sign-up was sent again with its `Idempotency-Key`.' },
  sign_up_failed: {
    meaning: 'A sign-up failed.',
    details: '`reason`: `username_taken`; for a repeated sign-up, those of `sign_in_failed`',
  },
  sign_in: { meaning: 'A session began.' },
  sign_in_failed: { meaning: 'A sign-in failed.', details: REASONS },
  second_factor_due: { meaning: 'A password was right, and a second factor is asked for.' },
  step_up: { meaning: 'A session was proved again.', details: '`amr`: how it has been proved since' },
  step_up_failed: { meaning: 'A step-up failed.', details: REASONS },
  refresh: { meaning: 'A session was refreshed; recorded once a minute and session at most.' },
  refresh_token_reuse: { meaning: 'A used refresh token came back, and its session has ended.' },
  sign_out: { meaning: 'Somebody signed out.', details: `\`scope\`; ${ENDED}` },
  session_ended: {
    meaning: 'Its owner or a client ended a session, or the service did for a newer one.',
    details: `By the service: \`reason\` (\`too_many_sessions\`); ${ENDED}`,
  },
  password_changed: { meaning: 'The password was changed.', details: '`ended`: how many other sessions' },
  password_change_failed: { meaning: 'A change of the password failed.', details: REASONS },
  password_reset_requested: { meaning: 'A link to set a new password was mailed, or made by the operator.' },
  password_reset: { meaning: 'The password was reset by a link.', details: ENDED },
  email_change_requested: { meaning: 'A link to verify an address was mailed. No event has an address.' },
  email_changed: { meaning: 'An address was verified.' },
  email_removed: { meaning: 'The address was removed.' },
  totp_added: { meaning: 'An authenticator app was confirmed.' },
  totp_removed: { meaning: 'The authenticator app was removed.' },
  totp_confirmation_failed: { meaning: 'A wrong code did not confirm an authenticator app.' },
  recovery_codes_made: { meaning: 'New recovery codes were requested; those that come with a factor are no event.' },
  recovery_code_used: { meaning: 'A recovery code was used.', details: '`left`: how many' },
  passkey_added: { meaning: 'A passkey was added.', details: '`passkeyId`' },
  passkey_removed: { meaning: 'A passkey was removed.', details: '`passkeyId`' },
  passkey_renamed: { meaning: 'A passkey was renamed.', details: '`passkeyId`' },
  factors_reset: {
    meaning: 'The operator removed all second factors.',
    details: `\`totp\`; \`passkeys\`: how many; ${ENDED}`,
  },
  signing_key_added: {
    meaning: 'A signing key was added.',
    details: '`kid`, `algorithm`; `leadS`: seconds until it signs',
  },
  signing_key_retired: { meaning: 'A signing key signs no more.', details: '`kid`' },
  signing_key_distrusted: { meaning: 'Nothing that a signing key has signed is accepted any more.', details: '`kid`' },
  signing_key_resealed: {
    meaning: 'A signing key was sealed by the current secret.',
    details: '`kid`; `secretId`: that of before',
  },
  client_created: { meaning: 'A client was made; the column `client_id` has it.', details: '`scopes`' },
  client_secret_rotated: { meaning: 'A client has got a new secret.' },
  client_scopes_changed: { meaning: 'A client was given other scopes.', details: '`scopes`' },
  client_deleted: { meaning: 'A client was deleted.' },
  client_disabled: { meaning: 'A client was disabled.' },
  client_enabled: { meaning: 'A client was enabled again.' },
  user_disabled: { meaning: 'The operator disabled an account.', details: ENDED },
  user_enabled: { meaning: 'The operator enabled an account again.' },
  user_renamed: { meaning: 'The operator renamed an account.' },
  user_deleted: { meaning: 'The operator deleted an account.', details: ENDED },
  user_unlocked: {
    meaning: 'The operator forgave the failed attempts at an account.',
    details: '`counters`: how many had failures',
  },
  user_invited: { meaning: 'The operator made an account, and a link to set its password.' },
  users_imported: {
    meaning: 'Accounts were imported.',
    details: '`rows`, `added`, `unchanged`, `conflicts`, `rejected`: so far, when the import was killed',
  },
  mail_given_up: {
    meaning: 'A mail could not be sent for a day.',
    details: '`mailId`, `template`, `attempts`; `error`: the codes of the mail server',
  },
  mail_retried: { meaning: 'The operator made mails due again.', details: '`mails`: how many' },
  revocations_restored: {
    meaning: 'The database was set back, and ended sessions were ended again.',
    details: `\`restored\`; ${ENDED}`,
  },
};
