/** How other software hashes passwords, so far as it says so in front of the salt. */
export type Settings = {
  /** By its own name. */
  scheme: string;
  /** For people. */
  cost: string;
  /** What a comparison takes, in rounds of bcrypt: roughly, as it differs between machines. Infinite: there is no such thing. */
  rounds: number;
  memoryBytes: number;
  /** Makes a digest, or the part of it that takes `rounds`; synchronous, for the hash worker alone. */
  derive(password: string, salt: Buffer, length: number): Buffer;
};

/** `ab64` is passlib's base64: without padding, and with `.` in place of `+`. */
export type Encoding = 'ab64' | 'base64' | 'hex' | 'utf8';

/** A form of stored hashes: head, salt, `$` and digest. */
export type Scheme = {
  /** The head, up to the salt: a regular expression that JavaScript and PostgreSQL read alike. */
  head: string;
  /** Reads the groups of `head`. */
  read(groups: string[]): Settings;
  salt: Encoding;
  digest: Encoding;
  minSaltBytes?: number;
};

// A row must not make a thread eat the machine: about a second, as bcrypt of cost 14.
const MAX_ROUNDS = 2 ** 14;
const MAX_MEMORY_MIB = 128;

/** Says why settings are too much for a hash worker, or none at all. */
export function excessOf({ scheme, cost, rounds, memoryBytes }: Settings): string | undefined {
  const name = `is ${scheme} (${cost})`;
  if (rounds === Number.POSITIVE_INFINITY) return `${name}, which is impossible`;
  if (memoryBytes > MAX_MEMORY_MIB * 2 ** 20) return `${name}, which needs more than ${MAX_MEMORY_MIB} MiB`;
  if (rounds > MAX_ROUNDS) return `${name}, which takes longer than bcrypt of cost ${Math.log2(MAX_ROUNDS)}`;
  return undefined;
}
