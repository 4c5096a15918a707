import { listSettings } from '../settings.js';
import { code, page, table } from './markdown.js';

const INTRODUCTION = `The service reads environment variables and checks them when it starts: it refuses to start when one is invalid or misspelt, and
names it. \`latchkey settings\` lists them.`;

/** The settings, by section. */
export function settingsPage(): string {
  const rows = listSettings();
  const sections = [...new Set(rows.map(({ section }) => section))].map(title => {
    const own = rows.filter(({ section }) => section === title);
    const cells = own.map(row => [code(row.variable), row.default, row.allowed, row.meaning]);
    return `## ${title}\n\n${table(['variable', 'default', 'allowed', 'meaning'], cells)}`;
  });
  return page('Settings of auth-service', INTRODUCTION, ...sections);
}
