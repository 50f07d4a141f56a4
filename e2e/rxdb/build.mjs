// Bundles client.mjs for pages, to the file that is the argument.
import { build } from 'esbuild';

await build({
  entryPoints: [new URL('client.mjs', import.meta.url).pathname],
  outfile: process.argv[2], bundle: true, format: 'esm', target: 'es2022', minify: true, logLevel: 'warning',
  define: { global: 'globalThis' },
});
