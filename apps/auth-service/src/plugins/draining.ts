import fp from 'fastify-plugin';

/** Answers that are sent while the service closes end their connection: one that is kept alive would hold it up. */
export default fp(
  async app => {
    let closing = false;
    app.addHook('preClose', async () => {
      closing = true;
    });
    app.addHook('onSend', (_request, reply, payload, done) => {
      if (closing) reply.header('connection', 'close');
      done(null, payload);
    });
  },
  { name: 'draining' },
);
