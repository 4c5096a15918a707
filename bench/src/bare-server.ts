// The reference for /auth/verify: a Fastify route that answers as much and does nothing.
import { fastify } from 'fastify';

const app = fastify();
app.get('/auth/verify', (_request, reply) => {
  reply
    .header('x-request-id', '01a20b2e-4a43-7235-b259-7ff0cab3d9d5')
    .header('x-auth-user-id', '01a20b2e-4a43-7235-b259-7ff0cab3d9d5')
    .header('x-auth-username', 'bench')
    .send();
});
await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT']) });
process.send?.('ready');
