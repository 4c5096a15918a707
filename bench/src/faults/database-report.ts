import { never, percentile, type Report, round } from '../report.js';
import { describe, isUnavailable } from './calls.js';
import type { Fault } from './database-faults.js';
import { DATABASE_CALLS, type DatabaseCall, FREE_CALLS, type Sample, type SignOut } from './traffic.js';

// A connection is waited for 2 s and a statement 6 s; a call has more than one statement, but none waits twice for long.
const LONGEST_ANSWER_S = 8;
const BACK_WITHIN_S = 2;

/** What came of a fault: the answers from its beginning until things had settled, and how long each call took to come back. */
export type Outcome = { fault: Fault; during: Sample[]; backAfterS: Record<DatabaseCall, number> };

/** Holds what happened against what is promised. */
export function report(outcomes: Outcome[], before: Sample[], signOuts: SignOut[], isAlive: boolean): Report {
  const verdicts = outcomes.map(judge);
  const sum = (what: 'wrong' | 'failedFree' | 'wrongReadiness') =>
    verdicts.reduce((total, verdict) => total + verdict[what], 0);
  const longestS = Math.max(...verdicts.map(verdict => verdict.longestS));
  const backS = Math.max(...verdicts.map(verdict => verdict.backS));
  const none = { 'lasts, s': '', answered: '', 'said 503': '', others: '', 'back after, s': '', readyz: '' };
  return {
    title: 'The database fails',
    rows: [
      never('answers that are neither right nor 503 with Retry-After', sum('wrong')),
      {
        what: 'longest answer, s',
        measured: round(longestS, 1),
        promise: `≤ ${LONGEST_ANSWER_S}`,
        broken: longestS > LONGEST_ANSWER_S,
      },
      {
        what: 'back after the database, at the latest, s',
        measured: round(backS, 2),
        promise: `≤ ${BACK_WITHIN_S}`,
        broken: backS > BACK_WITHIN_S,
      },
      never('failures of verify, JWKS, livez', sum('failedFree')),
      {
        what: 'p99 of verify during the worst fault, ms',
        measured: Math.max(...verdicts.map(({ details }) => details['verify p99, ms'])),
        reference: `before ${speedOf(before)['verify p99, ms']}`,
        promise: '',
      },
      never('faults that readyz did not tell, or told for ever', sum('wrongReadiness')),
      never('people signed out', signOuts.length),
      { what: 'the same process, ready', measured: isAlive ? 'yes' : 'no', promise: 'yes', broken: !isAlive },
    ],
    details: {
      before: { ...none, ...speedOf(before) },
      ...Object.fromEntries(outcomes.map(({ fault }, i) => [fault.name, verdicts[i]?.details ?? {}])),
    },
    evidence: [
      ...verdicts.flatMap(({ evidence }) => evidence),
      ...signOuts.map(({ answer, unansweredForS }) => {
        return `signed out, unanswered for ${round(unansweredForS, 1)} s: ${describe(answer)}`;
      }),
    ],
  };
}

function judge({ fault, during, backAfterS }: Outcome) {
  const asked = during.filter(isAsked);
  const ok = asked.filter(({ answer }) => answer.status === 200 || answer.status === 201);
  const unavailable = asked.filter(({ answer }) => isUnavailable(answer));
  const readiness = during.filter(({ name }) => name === 'readyz');
  const isUnready = readiness.some(({ answer }) => answer.status === 503);
  const lastReadiness = readiness.at(-1)?.answer.status ?? 0;
  const wrong = [
    ...asked.filter(sample => !ok.includes(sample) && !unavailable.includes(sample)),
    ...readiness.filter(({ answer }) => answer.status !== 200 && !isUnavailable(answer)),
  ];
  const failedFree = during.filter(
    ({ name, answer }) => (FREE_CALLS as readonly string[]).includes(name) && answer.status !== 200,
  );
  const slow = asked.filter(({ answer }) => answer.ms > LONGEST_ANSWER_S * 1000);
  const backS = Math.max(...Object.values(backAfterS));
  return {
    wrong: wrong.length,
    failedFree: failedFree.length,
    wrongReadiness: (fault.isAway && !isUnready) || lastReadiness !== 200 ? 1 : 0,
    longestS: Math.max(...asked.map(({ answer }) => answer.ms)) / 1000,
    backS,
    details: {
      'lasts, s': fault.seconds || 'a moment',
      answered: ok.length,
      'said 503': unavailable.length,
      others: wrong.length,
      'back after, s': round(backS, 2),
      readyz: isUnready ? `503, then ${lastReadiness}` : '200',
      ...speedOf(during),
    },
    evidence: [
      ...[...wrong, ...failedFree, ...slow].slice(0, 5).map(({ name, answer }) => `${name}: ${describe(answer)}`),
      ...(backS > BACK_WITHIN_S ? [`back after ${JSON.stringify(backAfterS)}`] : []),
    ].map(line => `${fault.name}: ${line}`),
  };
}

const isAsked = ({ name }: Sample) => (DATABASE_CALLS as readonly string[]).includes(name);

function speedOf(samples: Sample[]) {
  const times = (isWanted: (sample: Sample) => boolean) => samples.filter(isWanted).map(({ answer }) => answer.ms);
  const p99 = (wanted: string) =>
    round(
      percentile(
        times(({ name }) => name === wanted),
        99,
      ),
      1,
    );
  return {
    'longest, s': round(Math.max(...times(isAsked)) / 1000, 1),
    'verify p99, ms': p99('verify'),
    'jwks p99, ms': p99('jwks'),
  };
}
