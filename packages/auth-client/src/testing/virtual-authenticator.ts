import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import type {
  PasskeyAssertion,
  PasskeyCreationOptions,
  PasskeyRegistration,
  PasskeyRequestOptions,
} from '@latchkey/user-schema';
import { type CborValue, encodeCbor } from '../lib/testing/cbor.js';

type Algorithm = 'ES256' | 'ES384' | 'EdDSA' | 'RS256';

/** What a virtual authenticator does otherwise than a browser would, in one call, to test what a service refuses. */
export interface Misconduct {
  /** Origin of the page, in place of that of the authenticator. */
  origin?: string;
  /** Relying party, in place of that of the options. */
  rpId?: string;
  /** Challenge, in place of that of the options. */
  challenge?: string;
  /** Whether the user was verified; `true` by default. */
  userVerified?: boolean;
  /** Whether the user was present; `true` by default. */
  userPresent?: boolean;
  /** The counter of the signature, in place of the next one. */
  signCount?: number;
  /** The `type` of the client data, in place of `webauthn.create` or `webauthn.get`. */
  type?: string;
  /** Whether the page was in a frame of another origin; `false` by default. */
  crossOrigin?: boolean;
  /** Whether the passkey is copied to other devices, in place of what the authenticator was made with. */
  backedUp?: boolean;
  /** User handle, base64url, in place of that of the passkey. */
  userHandle?: string;
}

/** Options of {@link createVirtualAuthenticator}. */
export interface VirtualAuthenticatorOptions {
  /** Origin of the pages that use it, such as `http://localhost:3000`. */
  origin: string;
  /** Whether its passkeys are copied to other devices; `true` by default. */
  backedUp?: boolean;
  /** Whether it counts signatures; `false` by default, as for passkeys that are copied. */
  counts?: boolean;
  /** Algorithm of its keys; `ES256` by default. `ES384` is one that the service does not offer. */
  algorithm?: Algorithm;
}

/** A device with passkeys, for tests without a browser. Its user agrees to everything. */
export interface VirtualAuthenticator {
  /** Creates a passkey, as `navigator.credentials.create()` and `toJSON()`. */
  create(options: PasskeyCreationOptions, misconduct?: Misconduct): PasskeyRegistration;
  /**
   * Uses a passkey, as `navigator.credentials.get()` and `toJSON()`: the newest one that the options allow.
   *
   * @throws Error when it has none for them
   */
  get(options: PasskeyRequestOptions, misconduct?: Misconduct): PasskeyAssertion;
}

type Credential = { id: string; rpId: string; userHandle: string; privateKey: KeyObject; signCount: number };
type Jwk = Record<'x' | 'y' | 'n' | 'e', string>;
type Signing = {
  digest: 'sha256' | 'sha384' | null;
  generate(): { privateKey: KeyObject; publicKey: KeyObject };
  coseKey(key: Jwk): Map<number, CborValue>;
};

const bytes = (base64Url: string) => Buffer.from(base64Url, 'base64url');
const sha256 = (data: Uint8Array | string) => createHash('sha256').update(data).digest();
const ecKey =
  (alg: number, curve: number) =>
  ({ x, y }: Jwk) =>
    new Map<number, CborValue>([
      [1, 2],
      [3, alg],
      [-1, curve],
      [-2, bytes(x)],
      [-3, bytes(y)],
    ]);

/** By name: the digest of its signatures, how its keys are made, and their COSE_Key (RFC 9053). */
const ALGORITHMS: Record<Algorithm, Signing> = {
  ES256: {
    digest: 'sha256',
    generate: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    coseKey: ecKey(-7, 1),
  },
  ES384: {
    digest: 'sha384',
    generate: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    coseKey: ecKey(-35, 2),
  },
  EdDSA: {
    digest: null,
    generate: () => generateKeyPairSync('ed25519'),
    coseKey: ({ x }: Jwk) =>
      new Map<number, CborValue>([
        [1, 1],
        [3, -8],
        [-1, 6],
        [-2, bytes(x)],
      ]),
  },
  RS256: {
    digest: 'sha256',
    generate: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    coseKey: ({ n, e }: Jwk) =>
      new Map<number, CborValue>([
        [1, 3],
        [3, -257],
        [-1, bytes(n)],
        [-2, bytes(e)],
      ]),
  },
};

// WebAuthn Level 3 §6.1.
const FLAGS = { userPresent: 0x01, userVerified: 0x04, backupEligible: 0x08, backedUp: 0x10, attested: 0x40 };
const CREDENTIAL_ID_BYTES = 32;
const AAGUID_BYTES = 16;

/**
 * Creates a device whose passkeys work with the service and with a test issuer:
 *
 * ```ts
 * const device = createVirtualAuthenticator({ origin: 'http://localhost:3000' });
 * const response = device.create(await auth.passkeyOptions(token));
 * await auth.addPasskey(token, { response });
 * ```
 */
export function createVirtualAuthenticator(options: VirtualAuthenticatorOptions): VirtualAuthenticator {
  const { origin, backedUp = true, counts = false } = options;
  const algorithm = ALGORITHMS[options.algorithm ?? 'ES256'];
  const credentials: Credential[] = [];

  const clientData = (type: string, challenge: string, misconduct: Misconduct) => {
    const { crossOrigin = false } = misconduct;
    const data = { type, challenge, origin, ...misconduct };
    const content = { type: data.type, challenge: data.challenge, origin: data.origin, crossOrigin };
    return Buffer.from(JSON.stringify(content));
  };
  const authenticatorData = (rpId: string, signCount: number, flags: number, misconduct: Misconduct) => {
    const { userPresent = true, userVerified = true } = misconduct;
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(misconduct.signCount ?? signCount);
    const all =
      flags |
      (userPresent ? FLAGS.userPresent : 0) |
      (userVerified ? FLAGS.userVerified : 0) |
      ((misconduct.backedUp ?? backedUp) ? FLAGS.backupEligible | FLAGS.backedUp : 0);
    return Buffer.concat([sha256(misconduct.rpId ?? rpId), Buffer.of(all), counter]);
  };

  return {
    create({ rp, user, challenge }, misconduct = {}) {
      const { privateKey, publicKey } = algorithm.generate();
      const credentialId = randomBytes(CREDENTIAL_ID_BYTES);
      const id = credentialId.toString('base64url');
      credentials.push({ id, rpId: rp.id, userHandle: user.id, privateKey, signCount: 0 });
      const authData = Buffer.concat([
        authenticatorData(rp.id, 0, FLAGS.attested, misconduct),
        Buffer.alloc(AAGUID_BYTES),
        Buffer.of(credentialId.length >> 8, credentialId.length & 0xff),
        credentialId,
        encodeCbor(algorithm.coseKey(publicKey.export({ format: 'jwk' }) as Jwk)),
      ]);
      const attestation = new Map<string, CborValue>([
        ['fmt', 'none'],
        ['attStmt', new Map()],
        ['authData', authData],
      ]);
      return {
        id,
        rawId: id,
        type: 'public-key',
        clientExtensionResults: {},
        response: {
          clientDataJSON: clientData('webauthn.create', challenge, misconduct).toString('base64url'),
          attestationObject: encodeCbor(attestation).toString('base64url'),
          transports: ['internal'],
        },
      };
    },
    get({ rpId, challenge, allowCredentials }, misconduct = {}) {
      const isAllowed = ({ id }: Credential) =>
        !allowCredentials?.length || allowCredentials.some(allowed => allowed.id === id);
      const credential = credentials.findLast(one => one.rpId === rpId && isAllowed(one));
      if (!credential) throw new Error(`The authenticator has no passkey for ${rpId} that the options allow.`);
      if (counts) credential.signCount++;
      const authData = authenticatorData(rpId, credential.signCount, 0, misconduct);
      const client = clientData('webauthn.get', challenge, misconduct);
      const signature = sign(algorithm.digest, Buffer.concat([authData, sha256(client)]), credential.privateKey);
      const { id, userHandle } = credential;
      return {
        id,
        rawId: id,
        type: 'public-key',
        clientExtensionResults: {},
        response: {
          clientDataJSON: client.toString('base64url'),
          authenticatorData: authData.toString('base64url'),
          signature: signature.toString('base64url'),
          userHandle: misconduct.userHandle ?? userHandle,
        },
      };
    },
  };
}
