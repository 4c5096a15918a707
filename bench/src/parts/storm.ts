import { arrive, type Flood, peak, startFlood } from '../load.js';
import { type Part, percentile, progress, type Row, round } from '../report.js';
import { clientOf, setStage } from '../stage.js';

const FACTORS = [0, 1, 5, 50];
const VERIFICATIONS_PER_S = 100;
const REFRESHES_PER_S = 25;
const IN_FLIGHT = 8;
// Of the p99, in milliseconds.
const PROMISES = { verify: '≤ 10', refresh: '≤ 15' };
const SETTLE_MS = 1000;

/** What happens to everybody else while sign-ins arrive at 1, 5 and 50 times what the machine can hash. */
export const storm: Part = async ({ cost = 10, seconds = 10 }) => {
  const stage = await setStage({ BCRYPT_COST: String(cost), REFRESH_GRACE_S: '300', THROTTLE_ENABLED: 'false' });
  try {
    const service = await stage.start();
    const client = clientOf(service);
    const credentials = { username: 'storm', password: 'open sesame 42' };
    const { token, refreshToken } = await client.signUp(credentials);
    const refreshed = await client.refresh(refreshToken);
    const authorization = { authorization: `Bearer ${token}` };
    const verify = () => expectOk(fetch(`${service.url}/auth/verify`, { headers: authorization }));
    // The parent within the grace period: the same statement every time, whatever happened to the answer before.
    const refresh = () => client.refresh(refreshToken);

    const capacity = await peak(() => client.signIn(credentials), IN_FLIGHT, seconds);
    const rows: Row[] = [
      { what: 'capacity, sign-ins/s', measured: round(capacity, 1), reference: `${IN_FLIGHT} in flight`, promise: '' },
    ];
    const measured: { verify: number; refresh: number }[] = [];
    for (const factor of FACTORS) {
      progress(`flood of ${factor}× capacity`);
      const flood =
        factor > 0 ? startFlood(`${service.url}/auth/sign-in`, credentials, capacity * factor, seconds + 2) : undefined;
      await new Promise(resolve => setTimeout(resolve, SETTLE_MS));
      const [verifications, refreshes] = await Promise.all([
        arrive(verify, VERIFICATIONS_PER_S, seconds),
        arrive(refresh, REFRESHES_PER_S, seconds),
      ]);
      const p99 = { verify: percentile(verifications, 99), refresh: percentile(refreshes, 99) };
      measured.push(p99);
      const idle = measured[0] as typeof p99;
      const name = nameOf(factor);
      for (const call of ['verify', 'refresh'] as const) {
        rows.push({
          what: `${name}: p99 of ${call}, ms`,
          measured: round(p99[call], 1),
          ...(factor > 0 && { reference: `idle ${round(idle[call], 1)}, ${round(p99[call] / idle[call], 2)} times` }),
          promise: factor === 0 ? '' : PROMISES[call],
        });
      }
      if (flood) rows.push(...rowsOf(name, factor, await flood, capacity, seconds + 2));
    }
    progress('');
    await client.refresh(refreshed.refreshToken);
    const plot = {
      title: 'p99 while sign-ins arrive at a multiple of capacity',
      unit: 'ms',
      places: FACTORS.map(nameOf),
      series: [
        { name: '/auth/verify', values: measured.map(({ verify }) => round(verify, 1)) },
        { name: '/auth/refresh', values: measured.map(({ refresh }) => round(refresh, 1)) },
      ],
    };
    return { title: `Sign-in storms: bcrypt cost ${cost}, ${seconds} s each`, rows, plot };
  } finally {
    await stage.stop();
  }
};

function nameOf(factor: number): string {
  return factor === 0 ? 'idle' : `${factor}×`;
}

function rowsOf(name: string, factor: number, flood: Flood, capacity: number, seconds: number): Row[] {
  const goodput = flood.accepted.length / seconds;
  const reference = `${round(flood.accepted.length)} accepted, ${flood.refused.length} refused`;
  return [
    {
      what: `${name}: goodput, sign-ins/s`,
      measured: round(goodput, 1),
      reference,
      ratio: round(goodput / capacity, 3),
      promise: factor > 1 ? '≥ 0.95' : '',
    },
    {
      what: `${name}: p99 of accepted sign-ins, ms`,
      measured: round(percentile(flood.accepted, 99)),
      promise: '< 2000',
    },
    {
      what: `${name}: p99 of refusals, ms`,
      measured: flood.refused.length > 0 ? round(percentile(flood.refused, 99), 1) : 'none',
      promise: flood.refused.length > 0 ? '≤ 20' : '',
    },
    { what: `${name}: neither`, measured: flood.others, promise: '0', broken: flood.others > 0 },
  ];
}

async function expectOk(answering: Promise<Response>): Promise<void> {
  const answer = await answering;
  await answer.arrayBuffer();
  if (answer.status !== 200) throw new Error(`the answer was ${answer.status}`);
}
