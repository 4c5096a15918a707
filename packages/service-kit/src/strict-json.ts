const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Takes what became of a body. */
export type Parsed = (error: Error | null, value?: unknown) => void;

/**
 * Makes a parser of JSON bodies, such as Fastify's, take only unambiguous ones: well-formed UTF-8, and no member twice.
 * JSON.parse alone would keep the last of two members, where a proxy in front may have read the first. Its own errors are
 * `invalid_json`, 400.
 */
export function strictJsonParser<Request>(
  parse: (request: Request, text: string, done: Parsed) => unknown,
): (request: Request, body: Buffer, done: Parsed) => void {
  return (request, body, done) => {
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
  };
}

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
