import t from 'tap';
import { isTracingWanted } from '#src/config.js';

const endpoint = 'http://localhost:4318';

t.test('traces are wanted when the usual variables say so', async t => {
  const cases: [env: NodeJS.ProcessEnv, wanted: boolean][] = [
    [{}, false],
    [{ OTEL_SERVICE_NAME: 'auth' }, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: '' }, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }, true],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${endpoint}/v1/traces` }, true],
    [{ OTEL_TRACES_EXPORTER: 'otlp' }, true],
    [{ OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }, false],
    [{ OTEL_SDK_DISABLED: 'TRUE', OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }, false],
    [{ OTEL_SDK_DISABLED: 'false', OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }, true],
  ];
  for (const [env, wanted] of cases) t.equal(isTracingWanted(env), wanted, JSON.stringify(env));
});

t.test('what there is not is refused by name', async t => {
  const cases: [env: NodeJS.ProcessEnv, message: RegExp][] = [
    [{ OTEL_TRACES_EXPORTER: 'zipkin' }, /OTEL_TRACES_EXPORTER: must be otlp or none/],
    [{ OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, /OTEL_EXPORTER_OTLP_PROTOCOL: must be/],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318' }, /OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL/],
  ];
  for (const [env, message] of cases) t.throws(() => isTracingWanted(env), { name: 'ConfigError', message });
});
