import { Command } from 'commander';
import { disableCommand, enableCommand } from './users/disable-commands.js';
import { exportCommand } from './users/export-command.js';
import { importCommand } from './users/import-command.js';
import { listCommand } from './users/list-command.js';
import { showCommand } from './users/show-command.js';

/** `latchkey users …` */
export function userCommands(): Command {
  return new Command('users')
    .description('list, show, disable, enable, import and export accounts')
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(disableCommand())
    .addCommand(enableCommand())
    .addCommand(importCommand())
    .addCommand(exportCommand());
}
