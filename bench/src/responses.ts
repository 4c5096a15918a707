/** A response, and whether the server closes the connection after it. */
export type HttpResponse = { status: number; body: Buffer; isLast: boolean };

const HEAD_END = '\r\n\r\n';
const STATUS_AT = 'HTTP/1.1 '.length;
const BODILESS = [204, 304];

/**
 * Makes a reader of what arrives on one connection. It reads what servers of the bench send and no more of HTTP/1.1: the length of
 * a body must be in `content-length`.
 *
 * @param onResponse called with each response when it has arrived as a whole
 */
export function createResponseReader(onResponse: (response: HttpResponse) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return chunk => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      const headEnd = rest.indexOf(HEAD_END);
      if (headEnd < 0) return;
      const head = rest.toString('latin1', 0, headEnd);
      const status = Number(head.slice(STATUS_AT, STATUS_AT + 3));
      const bodyAt = headEnd + HEAD_END.length;
      const end = bodyAt + lengthOfBody(status, head);
      if (rest.length < end) return;
      const body = rest.subarray(bodyAt, end);
      rest = rest.subarray(end);
      onResponse({ status, body, isLast: /\r\nconnection: close/i.test(head) });
    }
  };
}

function lengthOfBody(status: number, head: string): number {
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length !== undefined) return Number(length);
  if (BODILESS.includes(status)) return 0;
  throw new Error(`A response has no content-length: ${head}`);
}
