import { HOTP, Secret, TOTP } from 'otpauth';

// What every authenticator app can do (RFC 6238 §5, RFC 4226 §5.3).
const PARAMETERS = { algorithm: 'SHA1', digits: 6, period: 30 } as const;
const SECRET_BYTES = 20;
// Steps: the clock of the device, or the time that typing takes.
const DRIFT = 1;

/** A new secret of 160 random bits, as many as RFC 4226 §4 recommends. */
export const newSecret = (): Buffer => Buffer.from(new Secret({ size: SECRET_BYTES }).buffer);

/** The secret as base32 (RFC 4648), and as a URI for authenticator apps. */
export function describeSecret(secret: Buffer, issuer: string, username: string): { secret: string; uri: string } {
  const totp = new TOTP({ ...PARAMETERS, issuer, label: username, secret: secretOf(secret) });
  return { secret: totp.secret.base32, uri: totp.toString() };
}

/** The step of which a code is, now or one step earlier or later; `undefined` when it is of none. */
export function stepOf(secret: Buffer, code: string, nowMs: number = Date.now()): number | undefined {
  const step = Math.floor(nowMs / 1000 / PARAMETERS.period);
  const { algorithm, digits } = PARAMETERS;
  const delta = HOTP.validate({
    token: code,
    secret: secretOf(secret),
    algorithm,
    digits,
    counter: step,
    window: DRIFT,
  });
  return delta === null ? undefined : step + delta;
}

function secretOf(bytes: Buffer): Secret {
  return new Secret({ buffer: new Uint8Array(bytes).buffer });
}
