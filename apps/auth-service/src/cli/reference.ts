import { Argument, Command } from 'commander';
import { writeOut } from './output.js';
import { commandsPage } from './reference/commands-page.js';
import { eventsPage } from './reference/events-page.js';
import { metricsPage } from './reference/metrics-page.js';
import { settingsPage } from './reference/settings-page.js';

/** `latchkey reference` */
export function referenceCommand(program: Command): Command {
  const pages: Record<string, () => string> = {
    settings: settingsPage,
    commands: () => commandsPage(program),
    events: eventsPage,
    metrics: metricsPage,
  };
  return new Command('reference')
    .description('print a page of the reference of this version, as Markdown')
    .addArgument(new Argument('<page>', 'what it is about').choices(Object.keys(pages)))
    .action((name: string) => writeOut(pages[name]?.() ?? ''));
}
