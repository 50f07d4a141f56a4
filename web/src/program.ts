import loadGo from 'go:wasm_exec';
import { ShoalError } from './errors.js';

/** @internal What is passed to the core's methods. */
export type Argument = number | string | Uint8Array;

/** @internal Calls a method of the core. */
export type Call = (method: string, args: readonly Argument[]) => Promise<unknown>;

/** @internal Takes what the core tells and asks, and returns what calls it; wasm/main_js.go describes both. */
export type Begin = (
	onEvent: (kind: string, of: number, text: string) => void,
	onRequest: (kind: string, of: number, text: string, bytes?: Uint8Array) => Promise<string | undefined>,
) => Call;

type ShoalCore = (...handlers: Parameters<Begin>) => { readonly [method: string]: (...args: readonly Argument[]) => Promise<unknown> };

/** @internal Starts the program in this thread. Whatever ends it is told to fatal. */
export async function startProgram(module: WebAssembly.Module, fatal: (message: string) => void): Promise<Begin> {
	const output = new Output();
	const standIns = { fs: output.fs, process: noProcess, path: { resolve: (...parts: string[]) => parts.join('/') } };
	const go = lend({ ...standIns, Go: undefined }, () => new (loadGo(output.fs))());
	go.exit = () => {}; // run ends, too
	const instance = await WebAssembly.instantiate(module, go.importObject);
	let ended: Promise<void> | undefined;
	// The program reads these globals, and sets its own, before run returns its promise.
	const construct = lend({ ...standIns, ShoalCore: undefined }, () => {
		ended = go.run(instance);
		return (globalThis as { ShoalCore?: ShoalCore }).ShoalCore;
	});
	if (!construct) {
		throw new ShoalError('load', `shoal.wasm did not start: ${output.last()}`);
	}
	// Every callback goes through here. What throws in it has left the program in the middle of something: no memory, most likely.
	const resume = go._resume;
	go._resume = () => {
		try {
			resume.call(go);
		} catch (error) {
			fatal(String(error));
			throw error;
		}
	};
	void ended?.then(() => fatal(output.last() || 'the program ended'));
	return (onEvent, onRequest) => {
		const core = construct(onEvent, onRequest);
		return (method, args) => (core[method] as (...args: readonly Argument[]) => Promise<unknown>)(...args);
	};
}

/** Runs a function with some globals set, and puts back what was there: a page must not see the stand-ins that Go needs. */
function lend<T>(globals: Record<string, unknown>, run: () => T): T {
	const before = Object.keys(globals).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const);
	for (const name in globals) {
		Object.defineProperty(globalThis, name, { value: globals[name], configurable: true, writable: true });
	}
	try {
		return run();
	} finally {
		for (const [name, descriptor] of before) {
			descriptor ? Object.defineProperty(globalThis, name, descriptor) : Reflect.deleteProperty(globalThis, name);
		}
	}
}

const unavailable = () => {
	throw Object.assign(new Error('not implemented'), { code: 'ENOSYS' });
};

/** What Go's syscall package looks for in Node's process. */
const noProcess = {
	pid: -1, ppid: -1,
	getuid: () => -1, getgid: () => -1, geteuid: () => -1, getegid: () => -1,
	getgroups: unavailable, umask: unavailable, cwd: unavailable, chdir: unavailable,
};

/** What the program prints, which is little but why it crashed. */
class Output {
	readonly #decoder = new TextDecoder();
	#lines: string[] = [];
	#rest = '';

	/** What Go's syscall package looks for in Node's fs: there are no files. */
	readonly fs: Record<string, unknown> = {
		constants: { O_WRONLY: -1, O_RDWR: -1, O_CREAT: -1, O_TRUNC: -1, O_APPEND: -1, O_EXCL: -1, O_DIRECTORY: -1 },
		writeSync: (_fd: number, bytes: Uint8Array) => this.#write(bytes),
		write: (_fd: number, bytes: Uint8Array, _offset: number, _length: number, _position: null, done: (error: Error | null, n?: number) => void) =>
			done(null, this.#write(bytes)),
		fsync: (_fd: number, done: (error: null) => void) => done(null),
	};

	constructor() {
		const none = (...args: unknown[]) => {
			const error = Object.assign(new Error('not implemented'), { code: 'ENOSYS' });
			(args.at(-1) as (error: Error) => void)(error);
		};
		for (const name of ['chmod', 'chown', 'close', 'fchmod', 'fchown', 'fstat', 'ftruncate', 'lchown', 'link', 'lstat', 'mkdir', 'open',
			'read', 'readdir', 'readlink', 'rename', 'rmdir', 'stat', 'symlink', 'truncate', 'unlink', 'utimes']) {
			this.fs[name] = none;
		}
	}

	#write(bytes: Uint8Array): number {
		const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split('\n');
		this.#rest = lines.pop() ?? '';
		if (lines.length > 0) {
			console.error(lines.join('\n'));
			this.#lines = [...this.#lines, ...lines].slice(0, 8);
		}
		return bytes.length;
	}

	/** Why the program ended. */
	last(): string {
		return this.#lines.join('\n');
	}
}
