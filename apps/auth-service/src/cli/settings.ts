import type { TSchema } from '@sinclair/typebox';
import { Command } from 'commander';
import { SECTIONS } from '../config/settings.js';
import { printRows } from './output.js';

/** A setting, as the documentation describes it in Markdown. */
export type SettingRow = { section: string; variable: string; default: string; allowed: string; meaning: string };

/** `latchkey settings` */
export function settingsCommand(): Command {
  return new Command('settings')
    .description('list the environment variables of the service, with their defaults and limits')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const rows = listSettings().map(({ section, ...row }) => (json ? { section, ...row } : withoutCode(row)));
      printRows(rows, { ...(json && { json }), empty: '' });
    });
}

/** Lists all settings, section by section. */
export function listSettings(): SettingRow[] {
  return Object.values(SECTIONS).flatMap(({ title, variables }) =>
    Object.entries(variables).map(([name, schema]) => describe(title, name, schema)),
  );
}

function describe(section: string, variable: string, schema: TSchema): SettingRow {
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
