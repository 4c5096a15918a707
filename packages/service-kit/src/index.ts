export { isDatabaseUnavailable } from './database-errors.js';
export { ConfigError, isCidr, type Reading, readEnvironment } from './environment.js';
export { explain } from './explain.js';
export { keepSecret } from './keep-secret.js';
export { describeError, type ErrorAnswer, type RequestError, toProblem } from './problems.js';
export { type Prepared, type RunnableApp, type RunnableConfig, runService, type Steps } from './run-service.js';
export { SECURITY_HEADERS } from './security-headers.js';
export { defaultShutdownDelayMs, serviceSettings } from './service-settings.js';
export { trustedProxies } from './trusted-proxies.js';
