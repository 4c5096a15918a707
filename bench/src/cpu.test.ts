import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSchedstat, parseStat } from './cpu.js';

const STAT =
  '42 (a (b) c) S 7 42 42 0 -1 4194304 2879 0 1 0 55 12 3 4 30 10 7 0 95894 948613120 11939 18446744073709551615 1 1 0 0 0 0 0\n';

test('a line of /proc/PID/stat is read by its fields, whatever the name is', () => {
  const expected = { parent: 7, cpuMs: 670, childrenMs: 70, nice: 10 };
  assert.deepEqual(parseStat(STAT), expected);
  assert.deepEqual(parseStat(STAT.replace('a (b) c', 'node')), expected);
});

test('the time of /proc/PID/schedstat is its first figure, in nanoseconds', () => {
  assert.equal(parseSchedstat('561524767 3469725 6\n'), 561.524767);
  assert.equal(parseSchedstat('0 0 0\n'), 0);
});
