import { styleText } from 'node:util';
import { Command } from 'commander';
import { examine } from './doctor/examine.js';
import { type Finding, plural } from './doctor/finding.js';
import { printable } from './output.js';

type Options = { json?: boolean; strict: boolean };

const MARKS = { ok: '✔', warn: '!', fail: '✖', skip: '–' };
const COLORS = { ok: 'green', warn: 'yellow', fail: 'red', skip: 'gray' } as const;

/** `latchkey doctor` */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description('check settings, database, keys and PUBLIC_URL as the service sees them, and advise; changes nothing')
    .option('--json', 'print JSON')
    .option('--strict', 'exit with 1 on warnings too', false)
    .action(async ({ json, strict }: Options) => {
      const findings = await examine();
      const [failed, warned] = [count(findings, 'fail'), count(findings, 'warn')];
      const isWell = failed === 0 && !(strict && warned > 0);
      console.log(json ? JSON.stringify({ ok: isWell, checks: findings }, null, 2) : toText(findings));
      if (!isWell) process.exitCode = 1;
    });
}

function toText(findings: Finding[]): string {
  // hasColors() is false when NO_COLOR is set.
  const isColored = process.stdout.isTTY && process.stdout.hasColors();
  const paint = (status: Finding['status'], text: string) => (isColored ? styleText(COLORS[status], text) : text);
  const width = Math.max(...findings.map(({ name }) => name.length));
  const lines = findings.flatMap(({ name, status, detail, advice }) => [
    `${paint(status, MARKS[status])} ${name.padEnd(width)}  ${printable(detail)}`,
    ...(advice === undefined ? [] : [`  ${' '.repeat(width)}  → ${printable(advice)}`]),
  ]);
  const [failed, warned, skipped] = [count(findings, 'fail'), count(findings, 'warn'), count(findings, 'skip')];
  const counts = [`${failed} failed`, plural(warned, 'warning'), ...(skipped > 0 ? [`${skipped} skipped`] : [])];
  return [...lines, '', `${counts.join(', ')}.`].join('\n');
}

function count(findings: Finding[], status: Finding['status']): number {
  return findings.filter(finding => finding.status === status).length;
}
