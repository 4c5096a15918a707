import t from 'tap';
import { createEndedSessions } from '../src/lib/ended-sessions.js';

const TOLERANCE_MS = 5000;
const MARGIN_MS = 60_000;

t.test('ended sessions are removed when their last token has expired everywhere, a part at a time', t => {
  const real = Date.now;
  t.teardown(() => {
    Date.now = real;
  });
  const now = Math.floor(real() / 1000) * 1000;
  Date.now = () => now;
  const ended = createEndedSessions(TOLERANCE_MS);
  const ids = Array.from({ length: 25_000 }, (_, i) => `s${i}`);
  ended.add(ids.map(sid => ({ sid, exp: now / 1000 + 10 })));
  ended.add([{ sid: 'lasting', exp: now / 1000 + 600 }]);

  Date.now = () => now + 10_000 + TOLERANCE_MS + MARGIN_MS;
  for (let i = 0; i < 10; i++) ended.add([]);
  t.ok(
    ids.every(id => ended.has(id)),
    'not before',
  );
  Date.now = () => now + 10_000 + TOLERANCE_MS + MARGIN_MS + 1;
  ended.add([]);
  const left = ids.filter(id => ended.has(id)).length;
  t.ok(left >= ids.length - 10_000, `${left}`);
  for (let i = 0; i < 10; i++) ended.add([]);
  t.notOk(ids.some(id => ended.has(id)));
  t.ok(ended.has('lasting'));
  ended.add([{ sid: 'late', exp: now / 1000 }]);
  t.notOk(ended.has('late'), 'an entry that is over is not added');
  t.end();
});
