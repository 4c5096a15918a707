// Breaks what the service stands on, and the service, and checks what it promises about that.
import { runCommand } from './command-line.js';
import { clock } from './faults/clock.js';
import { coldStart } from './faults/cold-start.js';
import { database } from './faults/database.js';
import { ha } from './faults/ha.js';
import { kill } from './faults/kill.js';
import { mail } from './faults/mail.js';
import { resets } from './faults/resets.js';
import { restore } from './faults/restore.js';
import { rolling } from './faults/rolling.js';
import { soak } from './faults/soak.js';

const HELP = `Usage: pnpm faults [SCENARIO…] [options]

Scenarios; all of them when none is named:
  kill        kill -9 of the service, then of PostgreSQL, while people sign up: nothing acknowledged is lost
  database    PostgreSQL is restarted, stopped, paused, locked, cut off, read-only: only 503 meanwhile, then back at once
  restore     PostgreSQL is set back to a backup: sessions that have ended since, or end then, are refused everywhere
  rolling     two replicas behind nginx are restarted in turn, and one without nginx: no request fails
  cold-start  replicas start at once on an empty database, and the one that migrates it is killed
  resets      connections are reset in every stage of every request, at the services and at the gateways
  mail        replicas, PostgreSQL and the mail server fail while mails are queued: every mail arrives
  clock       replicas whose clocks are minutes ahead and behind (needs libfaketime)
  ha          the leader of a Patroni cluster is killed, replaced and frozen, while people sign up and stay signed in
  soak        half an hour of everything: memory, connections and times stay where they are

Options:
  --quick          a short run: small counts, short faults
  --count N        kill: how often the service is killed (200); PostgreSQL a quarter of that;
                   rolling: how often both replicas are restarted (20); cold-start: how many replicas (20);
                   resets: how many connections are reset (100000); mail: how many faults (100)
  --seconds N      database: how long a fault lasts (20); clock: by how much clocks are wrong (300)
  --rounds N       ha: how often each of its faults (3); restore: how often (10)
  --without-patroni
                   ha: on two servers of the suite's own, as where Patroni is not installed
  --minutes N      soak: how long (30)
  --out DIR        write faults.json there, and the plots as SVG
  --json           print JSON only
  --report-only    end with 0 although a promise is missed; not when something happened that must never happen

Everything runs on the loopback address. Exit code 1: something happened that must never happen,
or a promise is missed.`;

await runCommand({
  name: 'faults',
  help: HELP,
  parts: { kill, database, restore, rolling, 'cold-start': coldStart, resets, mail, clock, ha, soak },
  numbers: ['count', 'seconds', 'rounds', 'minutes'],
  flags: ['quick', 'without-patroni'],
  limitMinutes: ({ minutes = 30 }) => 30 + minutes,
});
