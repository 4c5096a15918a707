import type { authGuard as AuthGuard } from './fastify.js';
import { forServices } from './lib/for-services.js';

// What browsers get of @latchkey/auth-client/fastify.
export const authGuard: typeof AuthGuard = forServices('authGuard', 'It guards the routes of a Fastify service.');
