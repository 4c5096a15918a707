import type { SignOutScope } from '@latchkey/user-schema';

type Refused = { reason: string };
type Key = { kid: string };

/** What each audit event tells beside who and what it is about. */
export type EventDetails = {
  sign_up: null;
  sign_up_repeated: null;
  sign_up_failed: Refused;
  sign_in: null;
  sign_in_failed: Refused;
  /** A password was right, and a second factor is asked for. */
  second_factor_due: null;
  step_up: { amr: string[] };
  step_up_failed: Refused;
  refresh: null;
  refresh_token_reuse: null;
  sign_out: { scope: SignOutScope; ended: number };
  /** `ended` and the reason when the service ended them for a newer session. */
  session_ended: { reason: string; ended: number } | null;
  password_changed: { ended: number };
  password_change_failed: Refused;
  /** A link was mailed, or made by the operator. */
  password_reset_requested: null;
  password_reset: { ended: number };
  email_change_requested: null;
  email_changed: null;
  email_removed: null;
  totp_added: null;
  totp_removed: null;
  totp_confirmation_failed: null;
  recovery_codes_made: null;
  recovery_code_used: { left: number };
  passkey_added: { passkeyId: string };
  passkey_removed: { passkeyId: string };
  passkey_renamed: { passkeyId: string };
  /** By the operator. */
  factors_reset: { totp: boolean; passkeys: number; ended: number };
  signing_key_added: Key & { algorithm: string; leadS: number };
  signing_key_retired: Key;
  signing_key_distrusted: Key;
  signing_key_resealed: Key & { secretId: string };
  client_created: { scopes: string[] };
  client_secret_rotated: null;
  client_disabled: null;
  client_deleted: null;
  client_scopes_changed: { scopes: string[] };
  client_enabled: null;
  user_disabled: { ended: number };
  user_enabled: null;
  user_renamed: null;
  user_deleted: { ended: number };
  user_unlocked: { counters: number };
  /** The error has codes of the mail server, and no address. */
  mail_given_up: { mailId: string; template: string; attempts: number; error: string };
  mail_retried: { mails: number };
  user_invited: null;
  users_imported: Record<string, number>;
  revocations_restored: { restored: number; ended: number };
};

export type EventName = keyof EventDetails;
