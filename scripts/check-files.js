// Part of `pnpm lint`: refuses tracked files that belong to nothing, such as what a command has left behind. Takes the
// names of files, or asks Git.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const KNOWN = [
  /^(\.dockerignore|\.editorconfig|(auth-service)?\.env\.example|\.gitignore|\.taprc|LICENSE)$/,
  /^(CONTRIBUTING|README|SECURITY)\.md$/,
  /^\.(dependency-cruiser\.cjs|redocly\.yaml|spectral\.yaml)$/,
  /^(biome|package|turbo|tsconfig|tsconfig\.base)\.json$/,
  /^(docker-compose|pnpm-lock|pnpm-workspace)\.ya?ml$/,
  /^\.ci\/run$/,
  /^\.changeset\/[\w-]+\.(json|md)$/,
  /^\.github\/workflows\/\w[\w-]*\.yml$/,
  /^((apps|packages)\/\w[\w-]*|bench|checks)\/((package|tsconfig|tsconfig\.build)\.json|\.taprc|README\.md)$/,
  /^((apps|packages)\/\w[\w-]*\/(src|test)|checks\/test)\/(\w[\w.-]*\/)*\w[\w.-]*\.ts$/,
  // A front end, as Vite has it.
  /^apps\/\w[\w-]*\/(index\.html|vite\.config\.ts|\.env\.development|public\/[\w.-]+|src\/(\w[\w.-]*\/)*\w[\w.-]*\.(tsx|css|svg))$/,
  /^apps\/\w[\w-]*\/migrations\/\d{3}_\w+\.sql$/,
  /^apps\/\w[\w-]*\/mail-templates\/[a-z][a-z-]*\.(html|txt)$/,
  /^packages\/\w[\w-]*\/CHANGELOG\.md$/,
  /^(apps|packages)\/\w[\w-]*\/bin\/\w[\w-]*\.js$/,
  /^bench\/src\/(\w[\w.-]*\/)*\w[\w.-]*\.(ts|py|toml)$/,
  /^deploy\/Dockerfile$/,
  /^deploy\/(\w[\w.-]*\/)+\w[\w.-]*\.(cfg|conf|env|ini|json|md|sh|sql|template|ya?ml)$/,
  /^docs\/(\.vitepress\/(config\.ts|theme\/\w+\.(ts|css))|package\.json|pnpm-(lock|workspace)\.yaml)$/,
  /^docs\/(\w[\w.-]*\/)*\w[\w.-]*\.(md|svg)$/,
  /^examples\/README\.md$/,
  /^examples\/\w[\w-]*\/(package\.json|server\.js|requirements\.txt|\w+\.py|go\.(mod|sum)|\w+\.go|pom\.xml)$/,
  /^examples\/\w[\w-]*\/src\/main\/(java\/com\/example\/\w+\.java|resources\/application\.properties)$/,
  /^scripts\/\w[\w-]*\.js$/,
  /^scripts\/new-service\/template\/(package\.json|\.taprc|tsconfig(\.build)?\.json|(src|test)\/[\w.-]+\.ts)$/,
];

const strays = listFiles().filter(file => !KNOWN.some(pattern => pattern.test(file)));
for (const file of strays) {
  console.error(`${file} belongs to nothing. Delete it, or add its place to scripts/check-files.js.`);
}
process.exitCode = strays.length > 0 ? 1 : 0;

function listFiles() {
  const named = process.argv.slice(2);
  if (named.length > 0) return named;
  const { status, stdout, stderr, error } = spawnSync('git', ['ls-files', '-z'], { cwd: ROOT, encoding: 'utf8' });
  if (status === 0) return stdout.split('\0').filter(Boolean);
  // Such as in an unpacked archive.
  console.error(`The files were not checked, since Git does not list them: ${error?.message ?? stderr.trim()}`);
  return [];
}
