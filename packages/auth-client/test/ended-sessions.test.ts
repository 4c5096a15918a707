import { randomUUID } from 'node:crypto';
import { createSessionExpiries, PACKED_LENGTH } from '@latchkey/user-schema';
import fc from 'fast-check';
import t from 'tap';
import { createEndedSessions } from '#src/lib/ended-sessions.js';

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
  const [lasting, late] = [randomUUID(), randomUUID()];
  const ids = Array.from({ length: 25_000 }, () => randomUUID());
  ended.add(ids.map(sid => ({ sid, exp: now / 1000 + 10 })));
  ended.add([{ sid: lasting, exp: now / 1000 + 600 }]);

  Date.now = () => now + 10_000 + TOLERANCE_MS + MARGIN_MS;
  for (let i = 0; i < 64; i++) ended.add([]);
  t.ok(
    ids.every(id => ended.has(id)),
    'not before',
  );
  Date.now = () => now + 10_000 + TOLERANCE_MS + MARGIN_MS + 1;
  ended.add([]);
  const left = ids.filter(id => ended.has(id)).length;
  t.ok(left >= ids.length / 2 && left < ids.length, `${left}`);
  for (let i = 0; i < 63; i++) ended.add([]);
  t.notOk(ids.some(id => ended.has(id)));
  t.ok(ended.has(lasting));
  ended.add([{ sid: late, exp: now / 1000 }]);
  t.notOk(ended.has(late), 'an entry that is over is not added');
  t.end();
});

t.test('the table of sessions holds what a map would', t => {
  const uuid = fc.uuid();
  const operation = fc.oneof(
    { weight: 5, arbitrary: fc.record({ set: uuid, exp: fc.integer({ min: 1, max: 100 }) }) },
    fc.record({ sweep: fc.integer({ min: 1, max: 50 }) }),
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 2000, size: 'max' }), operations => {
      const table = createSessionExpiries();
      const map = new Map<string, number>();
      for (const done of operations) {
        if ('set' in done) {
          table.set(done.set.toUpperCase(), done.exp);
          map.set(done.set, done.exp);
        } else {
          for (let i = 0; i < 64; i++) table.sweep(done.sweep);
          for (const [sid, exp] of map) if (exp < done.sweep) map.delete(sid);
        }
      }
      const found = new Map<string, number>();
      const packed = Buffer.from(table.pack(0));
      for (let at = 0; at < packed.length; at += PACKED_LENGTH) {
        const hex = packed.toString('hex', at, at + 16);
        found.set(hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'), packed.readUInt32BE(at + 16));
      }
      const copy = createSessionExpiries();
      copy.addPacked(packed.subarray(0, packed.length - PACKED_LENGTH));
      t.equal(table.pack(0, copy).length, packed.length === 0 ? 0 : PACKED_LENGTH, 'what the copy lacks');
      t.equal(table.pack(50).length, PACKED_LENGTH * [...map.values()].filter(exp => exp >= 50).length);
      t.same(found, map);
      t.equal(table.size(), map.size);
      t.ok([...map.keys()].every(sid => table.has(sid)));
    }),
    { numRuns: 50 },
  );
  t.end();
});

t.test('the table of sessions takes UUIDs only', t => {
  const table = createSessionExpiries();
  table.set(randomUUID(), 1);
  const short = randomUUID().slice(1);
  for (const sid of [
    '',
    short,
    `-${short}`,
    `g${short}`,
    `é${short}`,
    `${short}/`,
    randomUUID().replaceAll('-', '0'),
  ]) {
    t.throws(() => table.set(sid, 1), TypeError, sid);
    t.notOk(table.has(sid), sid);
  }
  t.end();
});
