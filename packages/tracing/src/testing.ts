import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A span as it was exported. */
export interface ReceivedSpan {
  service: string;
  traceId: string;
  spanId: string;
  /** Empty when it is the first of its trace. */
  parentSpanId: string;
  name: string;
  /** 1 internal, 2 server, 3 client. */
  kind: number;
  /** Texts and integers only. */
  attributes: Record<string, string | number>;
  isError: boolean;
}

/** What takes the place of a collector in tests. */
export interface TestCollector {
  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  url: string;
  /** All bodies that came, as they came. */
  bodies: Buffer[];
  /** What is in them. */
  spans(): ReceivedSpan[];
  close(): void;
}

/** Listens on the loopback address and keeps what is exported to it by OTLP over HTTP. */
export async function startCollector(): Promise<TestCollector> {
  const bodies: Buffer[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    bodies.push(Buffer.concat(chunks));
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    bodies,
    spans: () => bodies.flatMap(readSpans),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

// The numbers are those of the fields in opentelemetry-proto's trace/v1/trace.proto and common/v1/common.proto.
function readSpans(body: Buffer): ReceivedSpan[] {
  return all(body, 1).flatMap(resourceSpans => {
    const service = all(resourceSpans, 1).map(resource => String(readAttributes(resource, 1)['service.name']))[0] ?? '';
    return all(resourceSpans, 2).flatMap(scopeSpans => all(scopeSpans, 2).map(span => readSpan(span, service)));
  });
}

function readSpan(span: Buffer, service: string): ReceivedSpan {
  const bytes = (field: number) => all(span, field)[0] ?? Buffer.alloc(0);
  const status = bytes(15);
  return {
    service,
    traceId: bytes(1).toString('hex'),
    spanId: bytes(2).toString('hex'),
    parentSpanId: bytes(4).toString('hex'),
    name: bytes(5).toString(),
    kind: number(span, 6),
    attributes: readAttributes(span, 9),
    isError: number(status, 3) === 2,
  };
}

function readAttributes(message: Buffer, field: number): Record<string, string | number> {
  return Object.fromEntries(
    all(message, field).map(attribute => {
      const [key = Buffer.alloc(0)] = all(attribute, 1);
      const [value = Buffer.alloc(0)] = all(attribute, 2);
      return [key.toString(), all(value, 1)[0]?.toString() ?? number(value, 3)];
    }),
  );
}

const all = (message: Buffer, field: number): Buffer[] =>
  [...fields(message)].flatMap(([number, value]) => (number === field && typeof value !== 'number' ? value : []));

const number = (message: Buffer, field: number): number =>
  [...fields(message)].flatMap(([number, value]) => (number === field && typeof value === 'number' ? value : []))[0] ??
  0;

/** The fields of a protobuf message (https://protobuf.dev/programming-guides/encoding/). */
function* fields(message: Buffer): Generator<[number: number, value: number | Buffer]> {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message.readUInt8(at++);
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    const [field, type] = [tag >>> 3, tag & 7];
    if (type === 0) yield [field, varint()];
    else {
      const length = type === 2 ? varint() : type === 1 ? 8 : 4;
      yield [field, message.subarray(at, at + length)];
      at += length;
    }
  }
}
