import { type DefaultTheme, defineConfig } from 'vitepress';

// Where a page is among the others, by what its reader wants.
const PAGES: DefaultTheme.SidebarItem[] = [
  {
    text: 'Tutorial',
    items: [{ text: 'From a Flask app to Latchkey', link: '/tutorial' }],
  },
  {
    text: 'How to: use it',
    items: [
      { text: 'A new service', link: '/new-service' },
      { text: 'From a service', link: '/client' },
      { text: 'In a browser', link: '/browser' },
      { text: 'Second factors and passkeys', link: '/second-factors' },
      { text: 'Addresses and forgotten passwords', link: '/recovery' },
      {
        text: 'Behind a gateway',
        link: '/gateways/README',
        items: [
          { text: 'nginx', link: '/gateways/nginx' },
          { text: 'HAProxy', link: '/gateways/haproxy' },
          { text: 'Envoy', link: '/gateways/envoy' },
          { text: 'Traefik', link: '/gateways/traefik' },
        ],
      },
    ],
  },
  {
    text: 'How to: operate it',
    items: [
      { text: 'Operating', link: '/operating' },
      { text: 'Mail', link: '/mail' },
      { text: 'Scaling', link: '/scaling' },
    ],
  },
  {
    text: 'Reference',
    items: [
      { text: 'HTTP API', link: '/http-api' },
      { text: 'API', link: '/api' },
      { text: 'Problem codes', link: '/problems' },
      { text: 'Settings', link: '/settings' },
      { text: 'Commands', link: '/commands' },
      { text: 'Audit events', link: '/events' },
      { text: 'Metrics', link: '/metrics' },
    ],
  },
  {
    text: 'Explanation',
    items: [
      { text: 'How it works', link: '/design' },
      { text: 'Security', link: '/security' },
      { text: 'Performance', link: '/performance' },
      { text: 'Faults', link: '/faults' },
    ],
  },
];

/** The anchor that GitHub gives a heading, so that links to headings work in both places. */
const slugify = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w -]/g, '')
    .replaceAll(' ', '-');

// For links to sources, such as https://git.example.com/latchkey/blob/main/. Without it they are plain text.
const { DOCS_SOURCE_URL: sourceUrl } = process.env;

export default defineConfig({
  title: 'Latchkey',
  description: 'The sign-in service: passwords, second factors, passkeys and JWTs on Fastify and PostgreSQL.',
  outDir: 'dist',
  cacheDir: 'node_modules/.vitepress',
  // Of a service on the reader's machine.
  ignoreDeadLinks: 'localhostLinks',
  // The site works in any folder of a web server that is given here.
  base: process.env['DOCS_BASE'] ?? '/',
  markdown: {
    anchor: { slugify },
    // Braces are of paths and JSON.
    attrs: { disable: true },
    config(md) {
      const fence = md.renderer.rules.fence;
      // A component of the theme draws it.
      md.renderer.rules.fence = (tokens, i, ...rest) =>
        tokens[i]?.info.trim() === 'mermaid'
          ? `<Diagram source="${encodeURIComponent(tokens[i]?.content ?? '')}" />`
          : (fence?.(tokens, i, ...rest) ?? '');
      // Placeholders of mail templates are not those of Vue.
      md.renderer.rules.code_inline = (tokens, i) =>
        `<code v-pre>${md.utils.escapeHtml(tokens[i]?.content ?? '')}</code>`;
      md.core.ruler.push('links-to-sources', ({ tokens, env }) => {
        const folder = new URL(`file:///docs/${env.relativePath ?? ''}`);
        for (const { children } of tokens) {
          for (const [i, token] of (children ?? []).entries()) {
            const href = token.type === 'link_open' ? token.attrGet('href') : null;
            if (href === null || !/^\.\.?\//.test(href)) continue;
            const { pathname } = new URL(href, folder);
            if (pathname.startsWith('/docs/')) continue;
            if (sourceUrl) token.attrSet('href', new URL(`.${pathname}`, sourceUrl).href);
            else hide(children?.slice(i) ?? []);
          }
        }
      });
    },
  },
  themeConfig: {
    nav: [
      { text: 'Tutorial', link: '/tutorial' },
      { text: 'Use', link: '/client' },
      { text: 'Operate', link: '/operating' },
      { text: 'Reference', link: '/http-api' },
      { text: 'Explanation', link: '/design' },
    ],
    sidebar: PAGES,
    search: { provider: 'local' },
    outline: [2, 3],
  },
});

type Token = { type: string; tag: string; hidden: boolean; content: string };

/** Leaves the text of a link, whose tokens these begin with, and takes the link away. */
function hide(tokens: Token[]): void {
  const end = tokens.findIndex(({ type }) => type === 'link_close');
  for (const token of [tokens[0], tokens[end]]) Object.assign(token as Token, { type: 'text', tag: '', content: '' });
}
