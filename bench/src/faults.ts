// Breaks what the service stands on, and the service, and checks what it promises about that.
import { runCommand } from './command-line.js';
import { ha } from './faults/ha.js';
import { kill } from './faults/kill.js';

const HELP = `Usage: pnpm faults [SCENARIO…] [options]

Scenarios; all of them when none is named:
  kill        kill -9 of the service, then of PostgreSQL, while people sign up: nothing acknowledged is lost
  ha          the leader of a Patroni cluster is killed, replaced and frozen, while people sign up and stay signed in

Options:
  --quick          a short run: small counts, short faults
  --count N        kill: how often the service is killed (200); PostgreSQL a quarter of that
  --rounds N       ha: how often each of its faults (3)
  --without-patroni   ha: on two servers of the suite's own, as where Patroni is not installed
  --out DIR        write faults.json there, and the plots as SVG
  --json           print JSON only

Everything runs on the loopback address. Exit code 1: something happened that must never happen.`;

await runCommand({
  name: 'faults',
  help: HELP,
  parts: { kill, ha },
  numbers: ['count', 'seconds', 'rounds', 'minutes'],
  flags: ['quick', 'without-patroni'],
  limitMinutes: ({ minutes = 0 }) => 30 + minutes,
});
