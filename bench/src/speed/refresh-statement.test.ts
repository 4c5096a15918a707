import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { issueRefreshToken, parseRefreshToken, refreshTokenKey } from '../refresh-tokens.js';
import { readStatement } from './refresh-statement.js';

const key = refreshTokenKey(`now:${randomBytes(32).toString('base64')},before:${randomBytes(32).toString('base64')}`);
const head = {
  accountId: '01a20b2e-4a43-7235-b259-7ff0cab3d9d5',
  sessionId: '01a20b2e-4a43-7235-b259-7ff0cab3d9d6',
};
const salt = randomBytes(16);

function record(generation: number) {
  const token = parseRefreshToken(key, issueRefreshToken(key, { ...head, generation }, salt));
  const seeds = `{\\\\x${token.seed.toString('hex')}}`;
  // The seventh value is as the generation of the first token by chance.
  return { token, values: [head.accountId, head.sessionId, String(generation), token.mac, seeds, null, '0'] };
}

test('the parts of a token are told apart from values that are equal by chance', () => {
  const { text, parameters } = readStatement(record(0), record(1), 'UPDATE');
  assert.equal(text, 'UPDATE');
  const parts = ['accountId', 'sessionId', 'generation', 'mac', 'seeds'].map(part => ({ part }));
  assert.deepEqual(parameters, [...parts, { constant: null }, { constant: '0' }]);
});

test('a statement without a part of its token is an error', () => {
  const without = (generation: number) => {
    const { token, values } = record(generation);
    return { token, values: values.filter(value => !Buffer.isBuffer(value)) };
  };
  assert.throws(() => readStatement(without(0), without(1), 'UPDATE'), /no longer has mac/);
});
