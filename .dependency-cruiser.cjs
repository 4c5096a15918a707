// The folders of auth-service, from what everything stands on to the process: a folder imports those before it, and none
// behind it. The files beside the folders are the process and may import everything.
const FOLDERS = [
  'config',
  'http',
  'database',
  'events',
  'keys',
  'tokens',
  'revocations',
  'sessions',
  'throttles',
  'mail',
  'credentials',
  'accounts',
  'sign-in',
  'clients',
  'cli',
];
const SRC = 'apps/auth-service/src';

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    ...FOLDERS.map((folder, index) => ({
      name: `${folder}-imports-upwards`,
      severity: 'error',
      from: { path: `^${SRC}/${folder}/` },
      to: { path: `^${SRC}/(?!(${FOLDERS.slice(0, index + 1).join('|')})/)` },
    })),
  ],
  options: {
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    includeOnly: '^(apps|packages)/[^/]+/src',
  },
};
