import { Command } from 'commander';
import { disableCommand, enableCommand } from './users/disable-commands.js';
import { exportCommand } from './users/export-command.js';
import { importCommand } from './users/import-command.js';

/** `latchkey users …` */
export function userCommands(): Command {
  return new Command('users')
    .description('import, export, disable and enable accounts')
    .addCommand(disableCommand())
    .addCommand(enableCommand())
    .addCommand(importCommand())
    .addCommand(exportCommand());
}
