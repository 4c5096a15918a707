import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createResponseReader, type HttpResponse } from './responses.js';

const STREAM = Buffer.from(
  [
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx-request-id: 1\r\n\r\nhello',
    'HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n',
    'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    'HTTP/1.1 503 Service Unavailable\r\ncontent-length:4\r\nconnection: close\r\n\r\n\r\n\r\n',
  ].join(''),
);
const RESPONSES = [
  { status: 200, body: 'hello', isLast: false },
  { status: 204, body: '', isLast: false },
  { status: 200, body: '', isLast: false },
  { status: 503, body: '\r\n\r\n', isLast: true },
];

function readIn(chunks: Buffer[]) {
  const responses: HttpResponse[] = [];
  const read = createResponseReader(response => void responses.push(response));
  for (const chunk of chunks) read(chunk);
  return responses.map(response => ({ ...response, body: response.body.toString() }));
}

test('responses are read however they are cut into chunks', () => {
  assert.deepEqual(readIn([STREAM]), RESPONSES);
  for (let size = 1; size < STREAM.length; size++) {
    const chunks = Array.from({ length: Math.ceil(STREAM.length / size) }, (_, i) =>
      STREAM.subarray(i * size, (i + 1) * size),
    );
    assert.deepEqual(readIn(chunks), RESPONSES, `chunks of ${size} bytes`);
  }
});

test('a response without a length is an error, not an endless wait', () => {
  assert.throws(() => readIn([Buffer.from('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')]), /content-length/);
});
