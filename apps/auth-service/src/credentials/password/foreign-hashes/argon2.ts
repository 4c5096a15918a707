import { createRequire } from 'node:module';
import type { Algorithm, Version } from '@node-rs/argon2';
import type { Scheme } from './scheme.js';

// Loaded by the first such row, in the thread that compares it: most deployments have none.
const load = createRequire(import.meta.url);
const library = (): typeof import('@node-rs/argon2') => load('@node-rs/argon2');

const ALGORITHMS: Record<string, Algorithm> = { argon2d: 0, argon2i: 1, argon2id: 2 };
const VERSIONS: Record<string, Version> = { 16: 0, 19: 1 };
const KIB_A_ROUND = 150;

/** PHC strings, also behind Django's `argon2`. The library computes all lanes in the thread that calls it. */
export const argon2: Scheme = {
  head: '(?:argon2)?\\$(argon2id|argon2i|argon2d)\\$v=(16|19)\\$m=(\\d{1,8}),t=(\\d{1,8}),p=(\\d{1,3})\\$',
  salt: 'base64',
  digest: 'base64',
  minSaltBytes: 8,
  read([scheme = '', version = '', ...numbers]) {
    const [memoryCost = 0, timeCost = 0, parallelism = 0] = numbers.map(Number);
    const possible = timeCost >= 1 && parallelism >= 1 && memoryCost >= 8 * parallelism;
    return {
      scheme,
      cost: `m=${memoryCost},t=${timeCost},p=${parallelism}`,
      rounds: possible ? (memoryCost * timeCost) / KIB_A_ROUND : Number.POSITIVE_INFINITY,
      memoryBytes: memoryCost * 1024,
      derive(password, salt, outputLen) {
        const [algorithm, v] = [ALGORITHMS[scheme] as Algorithm, VERSIONS[version] as Version];
        const options = { algorithm, version: v, memoryCost, timeCost, parallelism, salt, outputLen };
        return library().hashRawSync(password, options);
      },
    };
  },
};
