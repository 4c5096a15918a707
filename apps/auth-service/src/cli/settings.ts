import type { TSchema } from '@sinclair/typebox';
import { Command } from 'commander';
import { SECTIONS } from '../config/settings.js';
import { printRows, writeOut } from './output.js';

/** A setting in the documentation. */
type Row = { section: string; variable: string; default: string; allowed: string; meaning: string };

/** `latchkey settings` */
export function settingsCommand(): Command {
  return new Command('settings')
    .description('list the environment variables of the service, with their defaults and limits')
    .option('--json', 'print JSON')
    .option('--markdown', 'print the page docs/settings.md')
    .action(async ({ json, markdown }: { json?: boolean; markdown?: boolean }) => {
      const rows = Object.values(SECTIONS).flatMap(({ title, variables }) =>
        Object.entries(variables).map(([name, schema]) => describe(title, name, schema)),
      );
      if (markdown) return writeOut(toMarkdown(rows));
      printRows(
        rows.map(({ section, ...row }) => (json ? { section, ...row } : withoutCode(row))),
        { ...(json && { json }), empty: '' },
      );
    });
}

function describe(section: string, variable: string, schema: TSchema): Row {
  const { default: value, $comment, description = '' } = schema;
  const fallback = $comment ?? (value === undefined || value === '' ? 'none' : `\`${value}\``);
  return { section, variable, default: fallback, allowed: allowedOf(schema), meaning: description };
}

function allowedOf({ enum: values, type, minimum, maximum }: TSchema): string {
  if (values) return (values as string[]).map(value => `\`${value}\``).join(', ');
  if (type === 'boolean') return '`true`, `false`';
  return minimum === undefined ? '' : `${minimum} to ${maximum}`;
}

function withoutCode(row: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(row).map(([column, text]) => [column, text.replaceAll('`', '')]));
}

const HEAD = `# Settings of auth-service

The service reads environment variables and checks them when it starts: it refuses to start when one is invalid or misspelt, and
names it. \`latchkey settings\` lists them; \`latchkey settings --markdown\` prints this page.`;

function toMarkdown(rows: Row[]): string {
  const titles = [...new Set(rows.map(({ section }) => section))];
  const pages = titles.map(title => {
    const own = rows.filter(({ section }) => section === title);
    const lines = own.map(row => `| \`${row.variable}\` | ${row.default} | ${row.allowed} | ${row.meaning} |`);
    return [
      `## ${title}`,
      '',
      '| variable | default | allowed | meaning |',
      '| --- | --- | --- | --- |',
      ...lines,
    ].join('\n');
  });
  return [HEAD, ...pages].join('\n\n');
}
