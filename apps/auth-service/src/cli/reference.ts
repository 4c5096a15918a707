import { Argument, Command } from 'commander';
import type { Config } from '../config/settings.js';
import { withConnection } from './database.js';
import { writeOut } from './output.js';
import { apiPage } from './reference/api-page.js';
import { commandsPage } from './reference/commands-page.js';
import { eventsPage } from './reference/events-page.js';
import { metricsPage } from './reference/metrics-page.js';
import type { OpenApi } from './reference/openapi.js';
import { problemsPage } from './reference/problems-page.js';
import { settingsPage } from './reference/settings-page.js';

/** Reads the OpenAPI document of a service with this configuration. */
export type ReadDocument = (config: Config) => Promise<OpenApi>;

/** `latchkey reference` */
export function referenceCommand(program: Command, readDocument: ReadDocument): Command {
  const pages: Record<string, () => string | Promise<string>> = {
    settings: settingsPage,
    commands: () => commandsPage(program),
    events: eventsPage,
    metrics: metricsPage,
    api: async () => apiPage(await withConnection(({ config }) => readDocument(config))),
    problems: async () => problemsPage(await withConnection(({ config }) => readDocument(config))),
  };
  return new Command('reference')
    .description('print a page of the reference of this version, as Markdown')
    .addArgument(new Argument('<page>', 'what it is about').choices(Object.keys(pages)))
    .action(async (name: string) => writeOut((await pages[name]?.()) ?? ''));
}
