import type { FastifyInstance } from 'fastify';

type Operation = { responses: Record<string, { content?: Record<string, { examples?: object }> }> };
type Document = { paths: Record<string, Record<string, Operation>> };

type Problem = { code?: string; detail?: string };

// What the server refuses before it knows the route, and where there is none: some services lack what the first one has.
const OF_SERVER = new Set(['headers_too_large', 'method_not_allowed', 'request_timeout']);
const NO_ROUTE = 'There is nothing here.';

let app: FastifyInstance | undefined;
let operations: Promise<{ method: string; path: RegExp; operation: Operation }[]> | undefined;

/** Has the first service of a test file say what its responses may be. */
export function describeBy(service: FastifyInstance): void {
  app ??= service;
}

/** The codes of the problems that an operation lists for a status. */
export function codesOf({ responses }: Operation, status: number): string[] {
  return Object.values(responses[status]?.content ?? {}).flatMap(({ examples }) => Object.keys(examples ?? {}));
}

/**
 * Checks that the document lists the code of a problem, when it has the operation.
 *
 * @throws Error when it does not
 */
export async function assertDocumented(
  url: string,
  method: string,
  status: number,
  { code, detail }: Problem,
): Promise<void> {
  if (code === undefined || OF_SERVER.has(code) || detail === NO_ROUTE) return;
  operations ??= listOperations();
  const { pathname } = new URL(url);
  const found = (await operations).find(operation => operation.method === method && operation.path.test(pathname));
  if (!found || codesOf(found.operation, status).includes(code)) return;
  throw new Error(`${method} ${pathname}: the document does not have ${status} ${code}`);
}

async function listOperations() {
  const { paths } = ((await app?.describeApi()) ?? { paths: {} }) as Document;
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`),
      operation,
    })),
  );
  // `/auth/passkeys/options` before `/auth/passkeys/{id}`.
  return all.sort((a, b) => a.path.source.split('[^').length - b.path.source.split('[^').length);
}
