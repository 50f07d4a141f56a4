import loadGo from 'go:wasm_exec';
import { ShoalError, toShoalError } from './errors.js';

/** Where shoal.wasm comes from: an address, a response, its bytes, or the module that was compiled from it. */
export type WasmSource = string | URL | Response | Promise<Response> | BufferSource | WebAssembly.Module;

/** @internal The methods of the core; wasm/core_js.go says what they do. */
type Method =
	| 'open' | 'closeDatabase' | 'removeDatabase' | 'addCollection'
	| 'write' | 'find' | 'get' | 'count' | 'explain' | 'observe' | 'observeCount' | 'unobserve' | 'info' | 'watch'
	| 'replicate' | 'cancel' | 'awaitFirstPeer' | 'awaitInSync' | 'awaitReplicated' | 'stats' | 'wake'
	| 'addNetwork' | 'networkEvent';

type Argument = number | string | Uint8Array;

type GoCore = { readonly [name in Method]: (...args: Argument[]) => Promise<unknown> };

type Constructor = (
	onEvent: (kind: string, of: number, text: string) => void,
	onRequest: (kind: string, of: number, text: string, bytes?: Uint8Array) => Promise<string | undefined>,
) => GoCore;

/** @internal What takes the events and answers the requests of one thing with a number: see wasm/core_js.go. */
export interface Receiver {
	event?(kind: string, text: string): void;
	request?(kind: string, text: string, bytes: Uint8Array | undefined): Promise<string | undefined> | string | undefined;
}

/** @internal The program in WebAssembly. There is one in a page. */
export class Core {
	readonly #go: GoCore;
	readonly #pending = new Set<(error: Error) => void>();
	readonly #receivers = new Map<number, Receiver>();
	#fatal: ShoalError | undefined;
	#lastOwn = 0;
	#wakes = false;
	#events: { kind: string; of: number; text: string }[] = [];

	constructor(construct: Constructor) {
		this.#go = construct((kind, of, text) => this.#event(kind, of, text), (kind, of, text, bytes) => this.#request(kind, of, text, bytes));
	}

	/** Calls a method. Whatever happens to the program, the promise is settled. */
	call<T = void>(method: Method, ...args: Argument[]): Promise<T> {
		return new Promise<T>((resolve, reject) => {
			if (this.#fatal) {
				reject(this.#fatal);
				return;
			}
			this.#pending.add(reject);
			const settle = () => this.#pending.delete(reject);
			try {
				this.#go[method](...args).then(
					(value) => settle() && resolve(value as T),
					(error: unknown) => settle() && reject(toShoalError(error)),
				);
			} catch (error) {
				this.fail(String(error)); // the program itself never throws
			}
		});
	}

	/** Has all that waits for its next try try now, whenever the network or the user comes back. It can be called again. */
	wakeWithPage(): void {
		if (this.#wakes) {
			return;
		}
		this.#wakes = true;
		const wake = () => void this.call('wake').catch(() => {});
		globalThis.addEventListener?.('online', wake);
		globalThis.addEventListener?.('pageshow', wake);
		globalThis.document?.addEventListener('resume', wake); // after a freeze (Page Lifecycle)
		(globalThis.navigator as { connection?: EventTarget } | undefined)?.connection?.addEventListener?.('change', wake); // of the network (Network Information)
		globalThis.document?.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && wake());
	}

	/** Says who takes what the core tells and asks of a thing. */
	receive(of: number, receiver: Receiver): void {
		this.#receivers.set(of, receiver);
	}

	/** Gives a receiver a number that is not the core's, for it to tell of what it is about to begin. */
	own(receiver: Receiver): number {
		this.#receivers.set(--this.#lastOwn, receiver);
		return this.#lastOwn;
	}

	forget(of: number): void {
		this.#receivers.delete(of);
	}

	/** Rejects all that waits, and all that comes. */
	fail(message: string): void {
		this.#fatal ??= new ShoalError('fatal', `Shoal has crashed, reload the page: ${message}`);
		const pending = [...this.#pending];
		this.#pending.clear();
		for (const reject of pending) {
			reject(this.#fatal);
		}
	}

	/** The program is in the middle of something: what it tells is only noted down, and told on once it has come to rest. */
	#event(kind: string, of: number, text: string): void {
		if (kind === 'fatal') {
			this.fail(text);
			return;
		}
		this.#events.push({ kind, of, text });
		if (this.#events.length === 1) {
			queueMicrotask(() => {
				const events = this.#events;
				this.#events = [];
				for (const event of events) {
					this.#receivers.get(event.of)?.event?.(event.kind, event.text);
				}
			});
		}
	}

	async #request(kind: string, of: number, text: string, bytes: Uint8Array | undefined): Promise<string | undefined> {
		await undefined; // nothing of the application runs within the program
		let receiver = this.#receivers.get(of);
		for (let i = 0; i < 5 && !receiver; i++) {
			await new Promise((resolve) => setTimeout(resolve, 20)); // a pool asks for its token before the page knows its number
			receiver = this.#receivers.get(of);
		}
		if (!receiver?.request) {
			throw new ShoalError('closed', `nobody answers ${kind}`);
		}
		return receiver.request(kind, text, bytes);
	}
}

let running: Promise<Core> | undefined;

/** @internal Returns the core, which is loaded and started the first time. A failure is not kept: the next call tries again. */
export function loadCore(source?: WasmSource): Promise<Core> {
	running ??= start(source).catch((error: unknown) => {
		running = undefined;
		throw error;
	});
	return running;
}

async function start(source: WasmSource | undefined): Promise<Core> {
	const output = new Output();
	const standIns = { fs: output.fs, process: noProcess, path: { resolve: (...parts: string[]) => parts.join('/') } };
	const go = lend({ ...standIns, Go: undefined }, () => new (loadGo(output.fs))());
	go.exit = () => {}; // run ends, too
	let instance: WebAssembly.Instance;
	try {
		instance = await instantiate(source ?? new URL('./shoal.wasm', import.meta.url), go.importObject);
	} catch (cause) {
		const why = cause instanceof Error ? cause.message : String(cause);
		throw new ShoalError('load', `shoal.wasm could not be loaded: ${why}`, { cause });
	}
	let ended: Promise<void> | undefined;
	// The program reads these globals, and sets its own, before run returns its promise.
	const construct = lend({ ...standIns, ShoalCore: undefined }, () => {
		ended = go.run(instance);
		return (globalThis as { ShoalCore?: Constructor }).ShoalCore;
	});
	if (!construct) {
		throw new ShoalError('load', `shoal.wasm did not start: ${output.last()}`);
	}
	const core = new Core(construct);
	// Every callback goes through here. What throws in it has left the program in the middle of something: no memory, most likely.
	const resume = go._resume;
	go._resume = () => {
		try {
			resume.call(go);
		} catch (error) {
			core.fail(String(error));
			throw error;
		}
	};
	void ended?.then(() => core.fail(output.last() || 'the program ended'));
	return core;
}

async function instantiate(source: WasmSource, imports: WebAssembly.Imports): Promise<WebAssembly.Instance> {
	if (source instanceof WebAssembly.Module) {
		return WebAssembly.instantiate(source, imports);
	}
	if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
		return (await WebAssembly.instantiate(source, imports)).instance;
	}
	const response = await (source instanceof Response || source instanceof Promise ? source : fetch(source));
	if (!response.ok) {
		throw new Error(`${response.url} answered ${response.status}`);
	}
	if (response.headers.get('content-type')?.startsWith('application/wasm')) {
		return (await WebAssembly.instantiateStreaming(response, imports)).instance;
	}
	return (await WebAssembly.instantiate(await response.arrayBuffer(), imports)).instance;
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
