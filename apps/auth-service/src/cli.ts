#!/usr/bin/env node
import { explain } from '@latchkey/service-kit';
import { Command } from 'commander';
import { clientCommands } from './cli/clients.js';
import { doctorCommand } from './cli/doctor.js';
import { eventsCommand } from './cli/events.js';
import { keyCommands } from './cli/keys.js';
import { mailCommands } from './cli/mail.js';
import { migrateCommand } from './cli/migrate.js';
import { passwordCommands } from './cli/passwords.js';
import type { OpenApi } from './cli/reference/openapi.js';
import { referenceCommand } from './cli/reference.js';
import { settingsCommand } from './cli/settings.js';
import { userCommands } from './cli/users.js';
import { VERSION } from './config/version.js';
import { ROLE_ADVICE } from './database/privileges.js';

const complain = (error: unknown) => console.error(`latchkey: ${explain(error, undefined, ROLE_ADVICE)}`);

// A reader such as `head` closes the pipe when it has read enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return;
  complain(error);
  process.exit(1);
});

const program = new Command('latchkey')
  .description(
    'Operates the auth-service: signing keys, clients, users, passwords, mails, audit events, migrations and checks. Takes the same environment variables as the service.',
  )
  .version(VERSION)
  .addCommand(keyCommands())
  .addCommand(clientCommands())
  .addCommand(userCommands())
  .addCommand(passwordCommands())
  .addCommand(mailCommands())
  .addCommand(eventsCommand())
  .addCommand(migrateCommand())
  .addCommand(settingsCommand())
  .addCommand(doctorCommand());
program.addCommand(
  referenceCommand(program, async ({ metricsPort: _, ...config }) => {
    // No other command needs the service.
    const { buildApp } = await import('./app.js');
    const app = await buildApp({ ...config, logLevel: 'silent' });
    try {
      await app.ready();
      return (await app.describeApi()) as OpenApi;
    } finally {
      await app.close();
    }
  }),
);

try {
  await program.parseAsync();
} catch (error) {
  complain(error);
  process.exitCode = 1;
}
