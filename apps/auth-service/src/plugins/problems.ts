import { Problem, type ProblemCode, type ProblemItem } from '@latchkey/user-schema';
import type { FastifyError, FastifyReply, FastifyRequest, FastifySchemaValidationError } from 'fastify';
import fp from 'fastify-plugin';
import { isDatabaseUnavailable } from '../database-errors.js';
import { ServiceUnavailableError } from '../errors.js';
import { toProblem } from '../problem.js';

// What Fastify itself refuses, in our words. Its messages are not passed on: those of JSON errors quote the body.
const FASTIFY_PROBLEMS: Record<string, [ProblemCode, detail: string]> = {
  FST_ERR_BAD_URL: ['invalid_request', 'The path is not a valid URL path.'],
  FST_ERR_CTP_BODY_TOO_LARGE: ['payload_too_large', 'The body is larger than 16 KiB.'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['invalid_json', 'The body is empty; send a JSON object.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['invalid_request', 'The body is not as long as Content-Length says.'],
  FST_ERR_CTP_INVALID_JSON_BODY: ['invalid_json', 'The body is not valid JSON.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['unsupported_media_type', 'Send the body as Content-Type: application/json.'],
};

const RETRY_AFTER_S = 1;

/** Answers every error as `application/problem+json` (RFC 9457). */
export default fp(
  async app => {
    app.addSchema({ ...Problem, $id: 'Problem' });

    app.setErrorHandler<FastifyError & { errors?: ProblemItem[] }>((error, request, reply) => {
      if (error.validation) {
        const errors = error.validation.map(toItem);
        const [first] = errors;
        const where = `${error.validationContext}${first?.pointer.replaceAll('/', '.')}`;
        return send(request, reply, 400, 'invalid_request', `${where} ${first?.detail}.`, errors);
      }
      const fastify = FASTIFY_PROBLEMS[error.code];
      if (fastify) return send(request, reply, error.statusCode ?? 400, ...fastify);
      if (isDatabaseUnavailable(error) || error.code === 'SERVICE_UNAVAILABLE') {
        request.log.error({ err: error }, 'the database is unavailable');
        reply.header('retry-after', RETRY_AFTER_S);
        return send(request, reply, 503, 'service_unavailable', new ServiceUnavailableError().message);
      }
      const { statusCode = 500 } = error;
      if (statusCode >= 500) {
        request.log.error({ err: error }, 'request failed');
        return send(request, reply, 500, 'internal_error', 'Something went wrong; the log has it under the request id.');
      }
      if (statusCode === 401) reply.header('www-authenticate', challenge(error.code));
      const code = error.code.startsWith('FST_') ? 'invalid_request' : (error.code.toLowerCase() as ProblemCode);
      return send(request, reply, statusCode, code, error.message, error.errors);
    });

    app.setNotFoundHandler((request, reply) => {
      const allowed = app.supportedMethods.filter(method => app.findRoute({ url: pathOf(request), method }));
      if (allowed.length === 0) return send(request, reply, 404, 'not_found', 'There is nothing here.');
      reply.header('allow', allowed.join(', '));
      return send(request, reply, 405, 'method_not_allowed', `Use ${allowed.join(' or ')}.`);
    });
  },
  { name: 'problems' },
);

function send(
  request: FastifyRequest,
  reply: FastifyReply,
  status: number,
  code: ProblemCode,
  detail: string,
  errors?: ProblemItem[],
): FastifyReply {
  return reply.status(status).type('application/problem+json').send(toProblem(status, code, detail, request.id, errors));
}

// RFC 6750 §3: no error code when the request carried no token.
function challenge(code: string): string {
  return code === 'INVALID_TOKEN' ? 'Bearer error="invalid_token"' : 'Bearer';
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] as string;
}

function toItem({ instancePath, keyword, params, message = 'is not valid' }: FastifySchemaValidationError): ProblemItem {
  if (keyword === 'required') return { pointer: `${instancePath}/${params['missingProperty']}`, detail: 'is required' };
  if (keyword === 'additionalProperties') {
    const name = String(params['additionalProperty']).replaceAll('~', '~0').replaceAll('/', '~1');
    return { pointer: `${instancePath}/${name}`, detail: 'is not a known member' };
  }
  return { pointer: instancePath, detail: message };
}
