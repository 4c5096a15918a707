export { startTracing } from './config.js';
