import { Command } from 'commander';
import { deleteCommand } from './users/delete-command.js';
import { disableCommand, enableCommand } from './users/disable-commands.js';
import { exportCommand } from './users/export-command.js';
import { importCommand } from './users/import-command.js';
import { inviteCommand } from './users/invite-command.js';
import { listCommand } from './users/list-command.js';
import { removeEmailCommand } from './users/remove-email-command.js';
import { renameCommand } from './users/rename-command.js';
import { resetFactorsCommand } from './users/reset-factors-command.js';
import { resetLinkCommand } from './users/reset-link-command.js';
import { showCommand } from './users/show-command.js';
import { unlockCommand } from './users/unlock-command.js';

/** `latchkey users …` */
export function userCommands(): Command {
  return new Command('users')
    .description('list, show, invite, unlock, let back in, rename, disable, enable, delete, import and export accounts')
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(inviteCommand())
    .addCommand(unlockCommand())
    .addCommand(resetLinkCommand())
    .addCommand(resetFactorsCommand())
    .addCommand(removeEmailCommand())
    .addCommand(renameCommand())
    .addCommand(disableCommand())
    .addCommand(enableCommand())
    .addCommand(deleteCommand())
    .addCommand(importCommand())
    .addCommand(exportCommand());
}
