// A flood of sign-ins at a fixed arrival rate, in a process of its own; tells its parent what came of it.
import autocannon from 'autocannon';

const env = process.env;
const [rate, seconds] = [Number(env['RATE']), Number(env['SECONDS'])];
const accepted: number[] = [];
const refused: number[] = [];
let others = 0;

const options: autocannon.Options = {
  url: `${env['URL']}/auth/sign-in`,
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: env['BODY'] as string,
  // Enough for those who wait for their hash, and as many as the rate needs beside them.
  connections: Math.min(400, Math.max(64, Math.ceil(rate / 4))),
  overallRate: rate,
  duration: seconds,
  timeout: 20,
};
// Only this form has the event for single answers.
const flood = autocannon(options, (_error, { errors }) => {
  process.send?.({ accepted, refused, others: others + errors });
});
flood.on('response', (_client, status, _bytes, responseTimeMs) => {
  if (status === 200) accepted.push(responseTimeMs);
  else if (status === 503) refused.push(responseTimeMs);
  else others++;
});
