export { BusyError } from './errors.js';
export { explain } from './process/explain.js';
export { provideDatabase } from './process/provide-database.js';
export { type Prepared, runService } from './process/run-service.js';
export { describeDatabaseUrlFault } from './settings/database-url.js';
export { ConfigError, isCidr, readEnvironment } from './settings/environment.js';
export { keepSecret } from './settings/keep-secret.js';
export { portSetting, serviceDefaults, serviceSettings } from './settings/service-settings.js';
export { trustedProxies } from './settings/trusted-proxies.js';
