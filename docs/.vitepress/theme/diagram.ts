import { defineComponent, h, onMounted, ref } from 'vue';

let drawn = 0;

/** Draws a Mermaid diagram in the browser. Its text stands there until then. */
export const Diagram = defineComponent({
  props: { source: { type: String, required: true } },
  setup({ source }) {
    const text = decodeURIComponent(source);
    const svg = ref<string>();
    onMounted(async () => {
      // Large, and few pages have one.
      const { default: mermaid } = await import('mermaid');
      const isDark = document.documentElement.classList.contains('dark');
      mermaid.initialize({ startOnLoad: false, theme: isDark ? 'dark' : 'default' });
      svg.value = (await mermaid.render(`diagram-${++drawn}`, text)).svg;
    });
    return () => (svg.value === undefined ? h('pre', text) : h('div', { class: 'diagram', innerHTML: svg.value }));
  },
});
