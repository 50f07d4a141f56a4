// Builds the npm package: dist/shoal.js with its dist/worker.js, and dist/validate.js, an ES module each, and their types. `--demo` builds the demo's script instead.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const root = fileURLToPath(new URL('.', import.meta.url));
const options = {
	absWorkingDir: root,
	bundle: true,
	format: 'esm',
	target: 'es2022',
	minify: true,
	legalComments: 'none',
	logLevel: 'warning',
};

if (process.argv.includes('--demo')) {
	await esbuild.build({
		...options,
		entryPoints: ['src/demo/demo.ts', 'src/demo/demo.css'],
		outdir: 'dist',
		external: ['./shoal.js'],
	});
} else {
	mkdirSync(join(root, 'dist'), { recursive: true });
	await esbuild.build({
		...options,
		entryPoints: { shoal: 'src/index.ts', worker: 'src/worker.ts' },
		outdir: 'dist',
		sourcemap: 'linked',
		sourcesContent: true,
		plugins: [goSupport()],
	});
	await esbuild.build({
		...options,
		entryPoints: { validate: 'src/validate.ts' },
		outdir: 'dist',
		legalComments: 'inline',
	});
	writeFileSync(join(root, 'dist/shoal.d.ts'), declarations());
	writeFileSync(join(root, 'dist/validate.d.ts'), readFileSync(join(root, 'build/types/validate.d.ts'), 'utf8').replaceAll('./validator.js', './shoal.js'));
}

// goSupport makes a function of the script that belongs to the Go toolchain. The script keeps using the name fs while the program runs, which so
// is no global.
function goSupport() {
	const go = (variable) => execFileSync('go', ['env', variable], { encoding: 'utf8' }).trim();
	return {
		name: 'go',
		setup(build) {
			build.onResolve({ filter: /^go:wasm_exec$/ }, ({ path }) => ({ path, namespace: 'go' }));
			build.onLoad({ filter: /.*/, namespace: 'go' }, () => ({
				contents: `export default function load(fs) {\n${readFileSync(join(go('GOROOT'), 'lib/wasm/wasm_exec.js'), 'utf8')}\nreturn globalThis.Go;\n}\n`,
			}));
		},
	};
}

// declarations makes one file of the declarations that tsc writes for each module. Their names differ from one another, and index.ts
// says which of them are public.
function declarations() {
	const types = join(root, 'build/types');
	rmSync(types, { recursive: true, force: true });
	execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--project', join(root, 'tsconfig.json')], { stdio: 'inherit' });
	const index = readFileSync(join(types, 'index.d.ts'), 'utf8');
	const modules = new Map(readdirSync(types).filter((name) => name.endsWith('.d.ts')).map((name) => [name.slice(0, -5), readFileSync(join(types, name), 'utf8')]));
	const exported = [];
	for (const [, names] of index.matchAll(/^export (?:type )?\{([^}]*)\} from '\.\/[\w-]+\.js';$/gm)) {
		exported.push(...names.split(',').map((name) => name.trim()).filter(Boolean));
	}
	const needed = [];
	const visit = (module) => {
		if (needed.includes(module)) {
			return;
		}
		needed.push(module);
		for (const [, other] of modules.get(module).matchAll(/^(?:import|export)\b.*from '\.\/([\w-]+)\.js';$/gm)) {
			visit(other);
		}
	};
	visit('index');
	const parts = needed.filter((module) => module !== 'index').map((module) => modules.get(module)
		.replace(/^import\b.*from '[^']*';\n/gm, '')
		.replace(/^export \{\};\n/gm, '')
		.replace(/^export (declare |interface |type |class )/gm, '$1')
		.trim());
	return `${parts.join('\n\n')}\n\nexport { ${exported.join(', ')} };\n`;
}
