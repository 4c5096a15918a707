import { ConfigError, readEnvironment } from '@latchkey/service-kit';
import { Type } from '@sinclair/typebox';
import type { SettingsOf } from './section.js';
import { accounts } from './sections/accounts.js';
import { type DatabaseSettings, database } from './sections/database.js';
import { events } from './sections/events.js';
import { factors } from './sections/factors.js';
import { http } from './sections/http.js';
import { mail } from './sections/mail.js';
import { passwords } from './sections/passwords.js';
import { type SecretsSettings, secrets } from './sections/secrets.js';
import { service } from './sections/service.js';
import { sessions } from './sections/sessions.js';
import { throttles } from './sections/throttles.js';
import { tokens } from './sections/tokens.js';

/** The sections, in the order in which they are documented. */
export const SECTIONS = {
  service,
  http,
  database,
  secrets,
  tokens,
  sessions,
  accounts,
  passwords,
  factors,
  throttles,
  mail,
  events,
};

type Section = (typeof SECTIONS)[keyof typeof SECTIONS];
type Intersection<Union> = (Union extends unknown ? (member: Union) => void : never) extends (all: infer All) => void
  ? All
  : never;

/** The settings as environment variables. */
export const Environment = Type.Object(merge(section => section.variables) as Intersection<Section['variables']>);

/** What the environment says; what it leaves open is filled in for development on the embedded database. */
export type Settings = Intersection<SettingsOf<Section>>;

/** Everything that the service needs to know. */
export type Config = Settings &
  DatabaseSettings &
  SecretsSettings & {
    /** Client that is there from the start, on the embedded database. */
    firstClient?: FirstClient;
  };

/** A client with its secret as it is. */
export type FirstClient = { id: string; secret: string; scopes: string[] };

const ADVICE = {
  DATABASE_URL: 'Set it to postgresql://user:password@host:5432/database.',
  AUTH_SECRETS: 'Make one with: echo "1:$(openssl rand -base64 32)"',
  PUBLIC_URL: 'Set it to the URL that clients use, such as https://auth.example.com.',
};

/**
 * Reads and checks the settings.
 *
 * @param required those without which production cannot do, nor, of `AUTH_SECRETS`, a database that is not the embedded one
 * @throws ConfigError that names everything that is wrong at once
 */
export function loadSettings(
  env: NodeJS.ProcessEnv = process.env,
  required: readonly (keyof typeof ADVICE)[] = ['DATABASE_URL', 'AUTH_SECRETS', 'PUBLIC_URL'],
): Settings {
  const { settings: values, complaints } = readEnvironment(Environment, env);
  const production = values.NODE_ENV === 'production';
  for (const name of required) {
    if (values[name]) continue;
    if (production) complaints.push(`${name} is required in production. ${ADVICE[name]}`);
    // One that is made in DATA_DIR belongs to the embedded database, and would leave keys and passwords in this one.
    else if (name === 'AUTH_SECRETS' && values.DATABASE_URL)
      complaints.push(`${name} is required with a DATABASE_URL. ${ADVICE[name]}`);
  }
  const publicUrl = (values.PUBLIC_URL ?? `http://localhost:${values.PORT}`).replace(/\/+$/, '');
  const appUrl = values.APP_URL?.replace(/\/+$/, '') ?? `${publicUrl}/account`;
  const context = { production, publicUrl, appUrl, complain: (text: string) => void complaints.push(text) };
  const settings = merge(section => section.read(values, context)) as Settings;
  if (production && settings.signUp === 'email' && !settings.mail.smtp) {
    complaints.push('SIGN_UP=email needs SMTP_URL: accounts are made by links in mails.');
  }
  if (complaints.length > 0) throw new ConfigError(complaints);
  return settings;
}

/** Merges what a function returns for each section. */
function merge(of: (section: Section) => object): object {
  return Object.assign({}, ...Object.values(SECTIONS).map(of));
}
