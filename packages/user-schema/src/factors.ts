import { type Static, Type } from '@sinclair/typebox';
import { EmailAddress } from './email.js';
import { Username } from './user.js';

/** What proves an account beside its password. A passkey also signs in alone. */
export const SECOND_FACTORS = ['totp', 'recovery_code', 'passkey'] as const;
export type SecondFactor = (typeof SECOND_FACTORS)[number];
export const SecondFactor = Type.Unsafe<SecondFactor>(Type.String({ enum: [...SECOND_FACTORS] }));

/** A code of an authenticator app (RFC 6238): six digits. */
export const TotpCode = Type.String({
  pattern: '^[0-9]{6}$',
  'x-message': 'Six digits.',
  description: 'The six digits that the authenticator app shows; good for one use',
  examples: ['492039'],
});
export type TotpCode = Static<typeof TotpCode>;

/** A recovery code as typed. Case, spaces and hyphens do not count. Any string conforms: what is no code of the account is refused as one. */
export const RecoveryCode = Type.String({
  maxLength: 100,
  description: 'One of the recovery codes; good for one use. Case, spaces and hyphens do not count.',
});
export type RecoveryCode = Static<typeof RecoveryCode>;

const base64Url = (maxLength: number, description?: string) =>
  Type.String({ minLength: 1, maxLength, pattern: '^[A-Za-z0-9_-]+$', ...(description && { description }) });

// The largest id that WebAuthn allows, 1,023 bytes.
const CredentialId = base64Url(1364, 'Id of the credential, base64url');
const ClientData = base64Url(8192);
const Attachment = Type.Optional(Type.Union([Type.String({ maxLength: 32 }), Type.Null()]));
// Browsers may send members of later versions of WebAuthn, so members that are not known are let through here.
const Extensions = Type.Object({});

/**
 * What a browser makes when a passkey is created: `PublicKeyCredential.toJSON()`, the `RegistrationResponseJSON` of WebAuthn
 * Level 3 §5.1. Unknown members are ignored.
 */
export const PasskeyRegistration = Type.Object(
  {
    id: CredentialId,
    rawId: CredentialId,
    type: Type.Literal('public-key'),
    authenticatorAttachment: Attachment,
    clientExtensionResults: Extensions,
    response: Type.Object({
      clientDataJSON: ClientData,
      attestationObject: base64Url(14_000),
      transports: Type.Optional(Type.Array(Type.String({ maxLength: 32 }), { maxItems: 10 })),
    }),
  },
  { description: '`RegistrationResponseJSON` of WebAuthn Level 3' },
);
export type PasskeyRegistration = Static<typeof PasskeyRegistration>;

/**
 * What a browser makes when a passkey is used: `PublicKeyCredential.toJSON()`, the `AuthenticationResponseJSON` of WebAuthn
 * Level 3 §5.1. Unknown members are ignored.
 */
export const PasskeyAssertion = Type.Object(
  {
    id: CredentialId,
    rawId: CredentialId,
    type: Type.Literal('public-key'),
    authenticatorAttachment: Attachment,
    clientExtensionResults: Extensions,
    response: Type.Object({
      clientDataJSON: ClientData,
      authenticatorData: base64Url(4096),
      signature: base64Url(4096),
      userHandle: Type.Optional(Type.Union([Type.String({ maxLength: 86 }), Type.Null()])),
    }),
  },
  { description: '`AuthenticationResponseJSON` of WebAuthn Level 3' },
);
export type PasskeyAssertion = Static<typeof PasskeyAssertion>;

/** `PublicKeyCredentialCreationOptionsJSON` of WebAuthn Level 3 §5.1, for `navigator.credentials.create()`. */
export const PasskeyCreationOptions = Type.Object({
  rp: Type.Object({ id: Type.String(), name: Type.String() }),
  user: Type.Object({ id: Type.String(), name: Type.String(), displayName: Type.String() }),
  challenge: Type.String(),
  pubKeyCredParams: Type.Array(Type.Object({ type: Type.Literal('public-key'), alg: Type.Integer() })),
  timeout: Type.Integer({ description: 'In milliseconds' }),
  excludeCredentials: Type.Array(
    Type.Object({
      id: Type.String(),
      type: Type.Literal('public-key'),
      transports: Type.Optional(Type.Array(Type.String())),
    }),
  ),
  authenticatorSelection: Type.Object({
    residentKey: Type.Literal('required'),
    requireResidentKey: Type.Literal(true),
    userVerification: Type.Literal('required'),
  }),
  attestation: Type.Literal('none'),
});
export type PasskeyCreationOptions = Static<typeof PasskeyCreationOptions>;

/** `PublicKeyCredentialRequestOptionsJSON` of WebAuthn Level 3 §5.1, for `navigator.credentials.get()`. */
export const PasskeyRequestOptions = Type.Object({
  challenge: Type.String(),
  timeout: Type.Integer({ description: 'In milliseconds' }),
  rpId: Type.String(),
  allowCredentials: Type.Optional(
    Type.Array(
      Type.Object({
        id: Type.String(),
        type: Type.Literal('public-key'),
        transports: Type.Optional(Type.Array(Type.String())),
      }),
    ),
  ),
  userVerification: Type.Literal('required'),
});
export type PasskeyRequestOptions = Static<typeof PasskeyRequestOptions>;

/** The name of a passkey, for its owner. */
export const PasskeyName = Type.String({
  minLength: 1,
  maxLength: 64,
  // No control characters, and no lone surrogates, which have no UTF-8 form.
  pattern: '^[^\\p{Cc}\\p{Surrogate}]*$',
  'x-message': '1 to 64 characters, and no control characters.',
  examples: ['Ada’s laptop'],
});
export type PasskeyName = Static<typeof PasskeyName>;

/** A passkey, as its owner sees it. Times are RFC 3339, UTC. */
export const Passkey = Type.Object({
  id: Type.String({ format: 'uuid' }),
  name: Type.String(),
  createdAt: Type.String({ format: 'date-time' }),
  lastUsedAt: Type.Union([Type.String({ format: 'date-time' }), Type.Null()]),
  backedUp: Type.Boolean({ description: 'Whether its provider keeps a copy, so that it outlives the device' }),
});
export type Passkey = Static<typeof Passkey>;

/** Ten recovery codes. The service keeps hashes only, so they are shown once. */
export const RecoveryCodes = Type.Object({
  recoveryCodes: Type.Array(Type.String(), { description: 'Shown once; each is good for one use' }),
});
export type RecoveryCodes = Static<typeof RecoveryCodes>;

/** A passkey that was added. The first factor of an account comes with recovery codes. */
export const AddedPasskey = Type.Object({
  ...Passkey.properties,
  recoveryCodes: Type.Optional(
    Type.Array(Type.String(), { description: 'Present when the account had no second factor before; shown once' }),
  ),
});
export type AddedPasskey = Static<typeof AddedPasskey>;

/** What proves an account. */
export const Factors = Type.Object({
  password: Type.Boolean({ description: 'Whether it has a password' }),
  totp: Type.Union([Type.Object({ createdAt: Type.String({ format: 'date-time' }) }), Type.Null()], {
    description: 'Its authenticator app; `null` when none is confirmed',
  }),
  recoveryCodesLeft: Type.Integer(),
  passkeys: Type.Array(Passkey),
});
export type Factors = Static<typeof Factors>;

/** A secret for an authenticator app, which counts when a code of it has been confirmed. */
export const TotpEnrolment = Type.Object({
  secret: Type.String({ description: 'Base32 (RFC 4648), for typing' }),
  uri: Type.String({ description: 'The secret as an `otpauth://` URI' }),
  qrCode: Type.String({ description: 'The URI as a QR code: SVG' }),
});
export type TotpEnrolment = Static<typeof TotpEnrolment>;

/** The body that confirms an authenticator app. */
export const TotpConfirmation = Type.Object({ totp: TotpCode }, { additionalProperties: false });
export type TotpConfirmation = Static<typeof TotpConfirmation>;

/** The body that adds a passkey. */
export const AddPasskeyRequest = Type.Object(
  { response: PasskeyRegistration, name: Type.Optional(PasskeyName) },
  { additionalProperties: false, description: 'The passkey to add' },
);
export type AddPasskeyRequest = Static<typeof AddPasskeyRequest>;

/** The body that renames a passkey. */
export const RenamePasskeyRequest = Type.Object({ name: PasskeyName }, { additionalProperties: false });
export type RenamePasskeyRequest = Static<typeof RenamePasskeyRequest>;

/**
 * The challenge of a sign-in that waits for a second factor. Any string conforms: the service responds with `invalid_challenge`
 * to each that it does not accept.
 */
export const SignInChallenge = Type.String({
  maxLength: 4096,
  description: 'The `challenge` of the problem `second_factor_required`',
});
export type SignInChallenge = Static<typeof SignInChallenge>;

const PROOFS = {
  totp: Type.Optional(TotpCode),
  recoveryCode: Type.Optional(RecoveryCode),
  passkey: Type.Optional(PasskeyAssertion),
};

/** Proof of a second factor: one of these. */
export type SecondFactorProof = { totp: string } | { recoveryCode: string } | { passkey: PasskeyAssertion };

/** The body that completes a sign-in: the challenge, and one proof. */
export const SecondFactorRequest = Type.Unsafe<{ challenge: string } & SecondFactorProof>(
  Type.Object(
    { challenge: SignInChallenge, ...PROOFS },
    {
      additionalProperties: false,
      minProperties: 2,
      maxProperties: 2,
      description: '`challenge`, and one of `totp`, `recoveryCode` and `passkey`',
      'x-message': 'Send challenge, and one of totp, recoveryCode and passkey.',
    },
  ),
);
export type SecondFactorRequest = Static<typeof SecondFactorRequest>;

/** What a user proves again in a session: one of these. */
export type StepUpProof = { password: string } | SecondFactorProof;

/** The body of a step-up: one proof. */
export const StepUpRequest = Type.Unsafe<StepUpProof>(
  Type.Object(
    { password: Type.Optional(Type.String({ pattern: '^\\P{Surrogate}*$' })), ...PROOFS },
    {
      additionalProperties: false,
      minProperties: 1,
      maxProperties: 1,
      description: 'One of `password`, `totp`, `recoveryCode` and `passkey`',
      'x-message': 'Send one of password, totp, recoveryCode and passkey.',
    },
  ),
);
export type StepUpRequest = Static<typeof StepUpRequest>;

/** The body of a request for the options of a sign-in with a passkey. */
export const PasskeyOptionsRequest = Type.Object(
  { challenge: Type.Optional(SignInChallenge) },
  {
    additionalProperties: false,
    description: 'With `challenge`, for the passkey as the second factor of that sign-in',
  },
);
export type PasskeyOptionsRequest = Static<typeof PasskeyOptionsRequest>;

/** The body of a sign-in with a passkey. */
export const PasskeySignInRequest = Type.Object({ response: PasskeyAssertion }, { additionalProperties: false });
export type PasskeySignInRequest = Static<typeof PasskeySignInRequest>;

/** The body of a request for the options of a sign-up with a passkey. */
export const PasskeySignUpOptionsRequest = Type.Object(
  { username: Username, email: Type.Optional(EmailAddress) },
  { additionalProperties: false },
);
export type PasskeySignUpOptionsRequest = Static<typeof PasskeySignUpOptionsRequest>;

/** The body of a sign-up with a passkey, without a password. The username is that of its options. */
export const PasskeySignUpRequest = Type.Object(
  { response: PasskeyRegistration, name: Type.Optional(PasskeyName) },
  { additionalProperties: false, description: 'The passkey of the new account; the username is that of its options' },
);
export type PasskeySignUpRequest = Static<typeof PasskeySignUpRequest>;

/** The origins of other domains that may use the passkeys of a domain (WebAuthn Level 3 §5.11). */
export const RelatedOrigins = Type.Object({ origins: Type.Array(Type.String()) });
export type RelatedOrigins = Static<typeof RelatedOrigins>;
