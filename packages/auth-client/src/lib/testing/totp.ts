import { createHmac, randomBytes } from 'node:crypto';

const PERIOD_S = 30;
const DRIFT = 1;
const SECRET_BYTES = 20;
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** A clock of time steps that moves on when a test needs more codes than there are steps. */
export type TotpClock = {
  /** A code that is valid and was not given before, of a step after `lastStep`. */
  nextCode(secret: Buffer, lastStep: number): string;
  /** The step of which a code is, now or one step earlier or later; `undefined` when it is of none. */
  stepOf(secret: Buffer, code: string): number | undefined;
};

export function createTotpClock(): TotpClock {
  let ahead = 0;
  const given = new Map<string, number>();
  const now = () => Math.floor(Date.now() / 1000 / PERIOD_S) + ahead;

  return {
    nextCode(secret, lastStep) {
      const id = secret.toString('hex');
      const step = Math.max(now(), lastStep + 1, (given.get(id) ?? -1) + 1);
      given.set(id, step);
      ahead += Math.max(0, step - DRIFT - now());
      return codeOf(secret, step);
    },
    stepOf(secret, code) {
      const steps = Array.from({ length: 2 * DRIFT + 1 }, (_, i) => now() - DRIFT + i);
      return steps.find(step => codeOf(secret, step) === code);
    },
  };
}

/** The code of a step (RFC 6238, RFC 4226 §5.3). */
function codeOf(secret: Buffer, step: number): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac('sha1', secret).update(counter).digest();
  const number = mac.readUInt32BE(mac.readUInt8(mac.length - 1) & 0xf) & 0x7fffffff;
  return `${number % 1_000_000}`.padStart(6, '0');
}

export function newTotpSecret(): Buffer {
  return randomBytes(SECRET_BYTES);
}

export function encodeBase32(bytes: Buffer): string {
  const bits = [...bytes].map(byte => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{5}/g) ?? []).map(five => BASE32[Number.parseInt(five, 2)]).join('');
}

/** `undefined` when the text is not base32 of whole bytes. */
export function decodeBase32(text: string): Buffer | undefined {
  if (!/^(?:[A-Z2-7]{8})+$/.test(text)) return undefined;
  const bits = [...text].map(character => BASE32.indexOf(character).toString(2).padStart(5, '0')).join('');
  return Buffer.from((bits.match(/.{8}/g) ?? []).map(eight => Number.parseInt(eight, 2)));
}
