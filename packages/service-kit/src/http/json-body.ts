import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The body may be left out, also behind `Content-Type: application/json`; the handler gets `{}`. */
    optionalBody?: true;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Takes JSON bodies only, and only unambiguous ones: well-formed UTF-8, no member twice, no `__proto__` and no
 * `constructor`. JSON.parse alone would keep the last of two members, where a proxy in front may have read the first.
 */
export const jsonBody: FastifyPluginAsync = fp(
  async app => {
    const parse = app.getDefaultJsonParser('error', 'error') as (
      request: FastifyRequest,
      text: string,
      done: Parsed,
    ) => void;
    app.removeAllContentTypeParsers();
    app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
      // Generated clients send the header without a body.
      if (body.length === 0 && request.routeOptions.config.optionalBody) return done(null);
      let text: string;
      try {
        text = utf8.decode(body);
      } catch {
        return done(invalidJson('it is not UTF-8'));
      }
      parse(request, text, (error, value) => {
        if (!error && hasDuplicateMembers(text, value)) done(invalidJson('a member is there twice'));
        else done(error, value);
      });
    });
    app.addHook('onRoute', route => {
      if (!route.config?.optionalBody) return;
      const fillIn = async (request: FastifyRequest) => {
        if (request.body === undefined) request.body = {};
      };
      route.preValidation = [fillIn, ...[route.preValidation ?? []].flat()];
    });
  },
  { name: 'json-body' },
);

type Parsed = (error: Error | null, value?: unknown) => void;

function invalidJson(why: string): Error {
  return Object.assign(new Error(`The body is not valid JSON: ${why}.`), { code: 'invalid_json', statusCode: 400 });
}

/** Whether valid JSON names more members than parsing it left. */
function hasDuplicateMembers(text: string, value: unknown): boolean {
  let written = 0;
  for (const [, colon] of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g)) if (colon) written++;
  let kept = 0;
  const rest: unknown[] = [value];
  while (rest.length > 0) {
    const next = rest.pop();
    if (typeof next !== 'object' || next === null) continue;
    const members = Object.values(next);
    if (!Array.isArray(next)) kept += members.length;
    for (const member of members) rest.push(member);
  }
  return written !== kept;
}
