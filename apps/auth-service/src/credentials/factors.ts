import fp from 'fastify-plugin';
import type { FactorSettings } from '../config/sections/factors.js';
import type { SecretsSettings } from '../config/sections/secrets.js';
import { factorsRoute } from './factors-route.js';
import passkeys from './passkeys/index.js';
import { recoveryCodes } from './recovery-codes/index.js';
import { totp } from './totp/index.js';

/** Second factors and passkeys: how their owners add and remove them. */
export default fp<{ config: FactorSettings & SecretsSettings }>(
  async (app, { config }) => {
    await app.register(factorsRoute);
    await app.register(totp, { config });
    await app.register(recoveryCodes);
    await app.register(passkeys, { config });
  },
  { name: 'factors', dependencies: ['sessions', 'throttles'] },
);
