import { ConfigError } from '@latchkey/service-kit';

/**
 * Whether the environment asks for traces, by the variables that OpenTelemetry has for that:
 * https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 *
 * @throws ConfigError when it asks for what there is not
 */
export function isTracingWanted(env: NodeJS.ProcessEnv): boolean {
  if (env['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true') return false;
  const { OTEL_TRACES_EXPORTER: exporter, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT } = env;
  const endpoint = OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || OTEL_EXPORTER_OTLP_ENDPOINT;
  if (exporter === 'none' || (!exporter && !endpoint)) return false;

  const complaints: string[] = [];
  if (exporter && exporter !== 'otlp') complaints.push('OTEL_TRACES_EXPORTER: must be otlp or none.');
  const protocol = env['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'] || env['OTEL_EXPORTER_OTLP_PROTOCOL'] || 'http/protobuf';
  if (protocol !== 'http/protobuf') {
    complaints.push('OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf, on port 4318 of most collectors.');
  }
  if (endpoint && !/^https?:\/\//.test(endpoint)) {
    complaints.push('OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL, such as http://localhost:4318.');
  }
  if (complaints.length > 0) throw new ConfigError(complaints);
  return true;
}

/**
 * Starts tracing when the environment asks for it; otherwise nothing of it is even loaded. To be called before the apps
 * that it traces are built, once in a process.
 *
 * @param serviceName name of the service, unless `OTEL_SERVICE_NAME` says another
 * @throws ConfigError when the environment asks for what there is not
 */
export async function startTracing(serviceName: string): Promise<void> {
  if (!isTracingWanted(process.env)) return;
  const { start } = await import('./start.js');
  start(process.env['OTEL_SERVICE_NAME'] || serviceName);
}
