import { strictJsonParser } from '@latchkey/service-kit';
import fp from 'fastify-plugin';

/** Takes JSON bodies only, and only unambiguous ones, without `__proto__` and `constructor`. */
export default fp(
  async app => {
    const parse = strictJsonParser(app.getDefaultJsonParser('error', 'error'));
    app.removeAllContentTypeParsers();
    app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, parse);
  },
  { name: 'json-body' },
);
