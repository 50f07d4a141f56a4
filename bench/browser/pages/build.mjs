// Bundles the pages into the folder that is the argument.
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

await esbuild.build({
	absWorkingDir: fileURLToPath(new URL('.', import.meta.url)),
	entryPoints: ['shoal.mjs', 'rxdb.mjs', 'raw.mjs'],
	outdir: process.argv[2],
	bundle: true,
	minify: true,
	format: 'esm',
	target: 'es2022',
	external: ['/shoal.js'],
	define: { global: 'globalThis', 'process.env.NODE_ENV': '"production"' },
	logLevel: 'warning',
});
