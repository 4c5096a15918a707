import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { stopAll } from './cleanup.js';
import { toSvg } from './plot.js';
import { missedRows, type Part, print, progress, type Report, type Settings } from './report.js';

type Numbers = 'cost' | 'seconds' | 'rounds' | 'count' | 'accounts' | 'outage' | 'minutes';
type Flags = 'quick' | 'without-patroni';
type Texts = 'peer' | 'keycloak-home';

const SAME_SIGNAL_MS = 1000;

/** A command that runs parts and tells what came of them. */
export type Command = {
  /** Results are written to `NAME.json`. */
  name: string;
  help: string;
  parts: Record<string, Part>;
  /** The settings that its options give. */
  numbers: readonly Numbers[];
  flags?: readonly Flags[];
  /** Settings that are texts, each with what they must match. */
  texts?: Partial<Record<Texts, RegExp>>;
  /** How long a part may take with these settings, in minutes; as long as it likes by default. */
  limitMinutes?: (settings: Settings) => number;
};

/**
 * Runs the parts that the arguments name. Exit code 1: something happened that must never happen, or a promise was missed,
 * unless `--report-only` was given; 2: wrong arguments.
 */
export async function runCommand(command: Command): Promise<void> {
  const { names, settings, out, json, reportOnly } = readArguments(command);
  stopOnSignal();
  const reports: Report[] = [];
  for (const name of names) {
    const report = await run(name, command.parts[name] as Part, settings, command.limitMinutes?.(settings));
    reports.push(report);
    progress('');
    if (!json) print(report);
  }
  if (json) console.log(JSON.stringify(reports, null, 2));
  if (out !== undefined) {
    await mkdir(out, { recursive: true });
    await writeFile(join(out, `${command.name}.json`), `${JSON.stringify(reports, null, 2)}\n`);
    for (const [i, { plot }] of reports.entries()) {
      if (plot) await writeFile(join(out, `${names[i]}.svg`), toSvg(plot));
    }
  }
  const isBroken = reports.some(({ rows }) => rows.some(({ broken }) => broken));
  const isMissed = reports.some(report => missedRows(report).length > 0);
  process.exit(isBroken || (isMissed && !reportOnly) ? 1 : 0);
}

function stopOnSignal(): void {
  let since: number | undefined;
  const stop = () => {
    if (since !== undefined) {
      // A second signal this soon is the same Ctrl-C, passed on by npx and pnpm.
      if (performance.now() - since > SAME_SIGNAL_MS) process.exit(130);
      return;
    }
    since = performance.now();
    void stopAll().finally(() => process.exit(130));
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
}

/** A part that fails or does not end is a broken promise too; the others still run. */
async function run(name: string, part: Part, settings: Settings, limitMinutes?: number): Promise<Report> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    if (limitMinutes === undefined) return;
    timer = setTimeout(() => reject(new Error(`not done after ${limitMinutes} minutes`)), limitMinutes * 60_000);
  });
  try {
    return await Promise.race([part(settings), limit]);
  } catch (error) {
    const evidence = ((error as Error).stack ?? String(error)).split('\n');
    const row = { what: 'ran to its end', measured: 'no', promise: 'yes', broken: true };
    return { title: name, rows: [row], evidence };
  } finally {
    clearTimeout(timer);
    await stopAll();
  }
}

function readArguments({ help, parts, numbers, flags = [], texts = {} }: Command) {
  const fail = (message: string): never => {
    console.error(`${message}\n\n${help}`);
    process.exit(2);
  };
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const options = {
    ...Object.fromEntries(numbers.map(name => [name, text])),
    ...Object.fromEntries(flags.map(name => [name, flag])),
    ...Object.fromEntries(Object.keys(texts).map(name => [name, text])),
    out: text,
    json: flag,
    'report-only': flag,
    help: { ...flag, short: 'h' },
  };
  const parse = () => {
    try {
      return parseArgs({ allowPositionals: true, options });
    } catch (error) {
      return fail((error as Error).message);
    }
  };
  const { values, positionals } = parse();
  if (values.help) {
    console.log(help);
    process.exit(0);
  }
  const names = positionals.length > 0 ? positionals : Object.keys(parts);
  const unknown = names.find(name => !(name in parts));
  if (unknown !== undefined) fail(`There is no "${unknown}".`);

  const given = values as Record<string, string | boolean | undefined>;
  const settings: Settings = {};
  for (const name of flags) if (given[name]) settings[name] = true;
  for (const [name, form] of Object.entries(texts)) {
    const value = given[name];
    if (typeof value !== 'string') continue;
    if (!form.test(value)) fail(`--${name} cannot be "${value}".`);
    settings[name as Texts] = value;
  }
  for (const name of numbers) {
    const value = given[name];
    if (value === undefined) continue;
    if (!/^[1-9]\d{0,8}$/.test(String(value))) fail(`--${name} must be a whole number, not "${value}".`);
    settings[name] = Number(value);
  }
  return { names, settings, out: values.out, json: values.json, reportOnly: values['report-only'] };
}
