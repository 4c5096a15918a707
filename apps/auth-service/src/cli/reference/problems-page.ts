import { PROBLEM_CODES, PROBLEM_REASONS, type ProblemCode } from '@latchkey/user-schema';
import { code, page, table } from './markdown.js';
import { type OpenApi, operationsOf } from './openapi.js';

const INTRODUCTION = `The \`code\` of a problem (RFC 9457) is stable: programs decide by it. Titles and details are for people, and may change. The bodies of
\`/oauth/*\` have the same code as \`error\` (RFC 6749).`;
const REASONS = `With \`invalid_request\` and \`password_rejected\`, each item of \`errors\` has a \`pointer\` to the member, a stable \`reason\`, and a \`detail\` that a
form can show: ${PROBLEM_REASONS.map(code).join(', ')}.`;
const MOST_NAMED = 4;
/** Statuses of what is refused before it has come to an operation. */
const ELSEWHERE: Partial<Record<ProblemCode, string>> = {
  headers_too_large: '431',
  method_not_allowed: '405',
  request_timeout: '408',
};

/** The codes, with their statuses, an example of the detail, and the operations. */
export function problemsPage(document: OpenApi): string {
  const operations = operationsOf(document);
  const rows = PROBLEM_CODES.map(name => {
    const statuses = new Set<string>();
    const ids = new Set<string>();
    for (const { operation } of operations) {
      for (const [status, { description }] of Object.entries(operation.responses)) {
        if (!description.includes(code(name))) continue;
        statuses.add(status);
        ids.add(operation.operationId);
      }
    }
    const [, example] =
      Object.entries(document.components.examples).find(([key]) => key.includes(`Problem.${name}.`)) ?? [];
    const where = ids.size > MOST_NAMED ? `${ids.size} operations` : [...ids].map(code).join(', ');
    const elsewhere = ELSEWHERE[name];
    if (elsewhere) return [code(name), elsewhere, '', 'requests that reach no operation'];
    return [code(name), [...statuses].sort().join(', '), example?.value.detail ?? '', where];
  });
  return page('Problem codes', INTRODUCTION, REASONS, table(['code', 'status', 'for example', 'of'], rows));
}
