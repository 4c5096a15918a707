#!/usr/bin/env node
import { explain } from '@latchkey/service-kit';
import { Command } from 'commander';
import { clientCommands } from './commands/clients.js';
import { eventsCommand } from './commands/events.js';
import { keyCommands } from './commands/keys.js';

const program = new Command('latchkey')
  .description(
    'Runs the auth-service: its signing keys and its clients. Settings come from the environment, as for the service.',
  )
  .addCommand(keyCommands())
  .addCommand(clientCommands())
  .addCommand(eventsCommand());

try {
  await program.parseAsync();
} catch (error) {
  console.error(`latchkey: ${explain(error)}`);
  process.exitCode = 1;
}
