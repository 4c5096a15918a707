import { isIP } from 'node:net';
import type { Static, TObject } from '@sinclair/typebox';
import { Ajv, type ErrorObject } from 'ajv';
import leven from 'leven';

// The schemas are ours. Ajv would compile the schema of schemas to check them, which takes as long as everything else that
// reads the settings.
const ajv = new Ajv({
  allErrors: true,
  coerceTypes: true,
  removeAdditional: 'all',
  useDefaults: true,
  meta: false,
  validateSchema: false,
});

/** Names every setting that is wrong or missing. Its message never holds the value of a secret. */
export class ConfigError extends Error {
  /** A sentence for each. */
  readonly complaints: readonly string[];

  constructor(complaints: string[]) {
    super(`The configuration is not valid:\n${complaints.map(complaint => `  - ${complaint}`).join('\n')}`);
    this.name = 'ConfigError';
    this.complaints = complaints;
  }
}

/** Settings as read, with what is wrong with them so far. */
export interface Reading<S extends TObject> {
  settings: Static<S>;
  /** Add to it what the schema cannot say, and throw a {@link ConfigError} when it is not empty. */
  complaints: string[];
}

/**
 * Reads settings from environment variables by a flat schema: text becomes numbers, defaults are filled in, an empty
 * variable counts as not set, and a variable that is nearly one of the schema's is a complaint.
 *
 * @throws ConfigError when a variable does not fit the schema
 */
export function readEnvironment<S extends TObject>(schema: S, env: NodeJS.ProcessEnv): Reading<S> {
  const complaints = misspelt(Object.keys(schema.properties), Object.keys(env));
  const settings = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const validate = ajv.compile<Static<S>>(schema);
  if (validate(settings)) return { settings, complaints };
  const byName = new Map(validate.errors?.map(error => [error.instancePath.slice(1), messageOf(error)]));
  const invalid = [...byName].map(([name, message]) => {
    return `${name}: ${message} (${schema.properties[name]?.description}).`;
  });
  throw new ConfigError([...complaints, ...invalid]);
}

function messageOf({ keyword, params, message }: ErrorObject): string | undefined {
  return keyword === 'enum' ? `must be one of ${params['allowedValues'].join(', ')}` : message;
}

/** A typing mistake must not fall back to a default in silence. Short names are left alone: too many are alike. */
function misspelt(ours: string[], given: string[]): string[] {
  return given.flatMap(name => {
    if (ours.includes(name) || name.length < 6) return [];
    const meant = ours.find(known => known.length >= 8 && leven(known, name.toUpperCase(), { maxDistance: 3 }) <= 2);
    return meant ? [`${name} is not a setting; did you mean ${meant}?`] : [];
  });
}

/** Whether a text is an IP address or a CIDR block. */
export function isCidr(block: string): boolean {
  const [address = '', prefix, ...more] = block.split('/');
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}
