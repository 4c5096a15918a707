import { startTracing } from '@latchkey/tracing';
import { type ReceivedSpan, startCollector } from '@latchkey/tracing/testing';
import t from 'tap';
import { call, startSystem } from './helper.js';

t.test('a trace goes on from service to service', async t => {
  const collector = await startCollector();
  t.teardown(() => collector.close());
  const otel = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '50' };
  Object.assign(process.env, otel);
  await startTracing('notes-service');
  const { notesUrl, signUp } = await startSystem(t, otel);

  const { token } = await signUp();
  t.equal((await call(`${notesUrl}/notes/profile?canary`, token)).status, 200);

  const find = async (holds: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan> => {
    for (let i = 0; i < 500; i++) {
      const found = collector.spans().find(holds);
      if (found) return found;
      await new Promise(resolve => setTimeout(resolve, 20));
    }
    throw new Error('there is no such span');
  };
  const asked = await find(span => span.service === 'notes-service' && span.name === 'GET /notes/profile');
  const answered = await find(span => span.service === 'auth-service' && span.name === 'GET /auth/me');
  const calling = await find(({ spanId }) => spanId === answered.parentSpanId);
  t.match(calling, { service: 'notes-service', name: 'GET', kind: 3, parentSpanId: asked.spanId });
  t.equal(answered.traceId, asked.traceId);
  await find(span => span.parentSpanId === asked.spanId && /^pg.query:SELECT/.test(span.name));
  await find(span => span.parentSpanId === answered.spanId && /^pg.query:SELECT/.test(span.name));
  for (const body of collector.bodies) t.notMatch(body.toString('latin1'), new RegExp(`canary|${token}`));
});
