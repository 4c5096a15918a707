import fp from 'fastify-plugin';
import type { AccountSettings } from '../config/sections/accounts.js';
import type { FactorSettings } from '../config/sections/factors.js';
import type { MailSettings } from '../config/sections/mail.js';
import { deleteOldTokens } from '../credentials/one-time-tokens/stored-tokens.js';
import { relyingPartyOf } from '../credentials/passkeys/relying-party.js';
import type { SessionLimits } from '../sessions/start.js';
import { emailRoutes } from './email-routes.js';
import { meRoute } from './me-route.js';
import { passkeySignUpRoutes } from './passkey-sign-up-routes.js';
import { deleteOldKeys } from './sign-up.js';
import { prepareSignUpMails } from './sign-up-by-email.js';
import { signUpRoute } from './sign-up-route.js';

const BATCH = 1000;

/** Accounts: how they are made, and what their owners see of them. */
export default fp<{ config: SessionLimits & AccountSettings & FactorSettings & MailSettings }>(
  async (app, { config }) => {
    app.cleanHourly(async client => (await deleteOldKeys(client, BATCH)) === BATCH);
    app.cleanHourly(async client => (await deleteOldTokens(client, BATCH)) === BATCH);
    prepareSignUpMails(app, config.appUrl);
    await app.register(signUpRoute, { config });
    const relyingParty = relyingPartyOf(config);
    if (relyingParty) await app.register(passkeySignUpRoutes, { config, relyingParty });
    await app.register(meRoute);
    await app.register(emailRoutes, { config });
  },
  { name: 'accounts', dependencies: ['password', 'mail'] },
);
