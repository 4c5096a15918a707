import { isIP } from 'node:net';
import type { Static, TObject } from '@sinclair/typebox';
import { envSchema } from 'env-schema';
import leven from 'leven';

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
  const data = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  try {
    // It changes the schema that it is given.
    return { settings: envSchema<Static<S>>({ schema: structuredClone(schema), data, env: false }), complaints };
  } catch (error) {
    const { errors } = error as { errors?: SchemaError[] };
    if (!errors) throw error;
    const byName = new Map(errors.map(error => [error.instancePath.slice(1), messageOf(error)]));
    const invalid = [...byName].map(([name, message]) => {
      return `${name}: ${message} (${schema.properties[name]?.description}).`;
    });
    throw new ConfigError([...complaints, ...invalid]);
  }
}

type SchemaError = { instancePath: string; keyword: string; params: Record<string, unknown>; message?: string };

function messageOf({ keyword, params, message }: SchemaError): string | undefined {
  return keyword === 'enum' ? `must be one of ${(params['allowedValues'] as string[]).join(', ')}` : message;
}

/** A typing mistake must not fall back to a default in silence. Short names are left alone: too many are alike. */
function misspelt(ours: string[], given: string[]): string[] {
  return given.flatMap(name => {
    if (ours.includes(name) || name.length < 6) return [];
    const meant = ours.find(known => known.length >= 6 && leven(known, name.toUpperCase()) <= 2);
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
