import { createHash } from 'node:crypto';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// The output is committed and embedded, so it must be the same bytes for the same input, on every machine and
// from every folder: no hash in a file name, no path in a class name.
const ofText = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 7);

const control = process.env.BELLWETHER ?? 'http://127.0.0.1:2355';

export default defineConfig({
  plugins: [svelte({ compilerOptions: { cssHash: ({ css }) => `s-${ofText(css)}` } })],
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2023',
    // `light-dark()` carries both themes in one token; browsers have it since spring 2024.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    // The notices of what ends up in the bundle, as their licences ask.
    license: { fileName: 'assets/licenses.txt' },
    rolldownOptions: {
      output: {
        entryFileNames: 'assets/console.js',
        chunkFileNames: 'assets/[name].js',
        assetFileNames: 'assets/console[extname]',
      },
    },
  },
  server: { proxy: { '/bellwether': control, '/api': control, '/v1': control } },
  test: { include: ['src/**/*.test.ts'], environment: 'node', testTimeout: 60_000 },
});
