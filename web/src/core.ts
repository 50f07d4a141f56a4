import { ShoalError, toShoalError } from './errors.js';
import { startProgram, type Argument, type Begin, type Call } from './program.js';
import { startThread } from './thread.js';

/** Where shoal.wasm comes from: an address, a response, its bytes, or the module that was compiled from it. */
export type WasmSource = string | URL | Response | Promise<Response> | BufferSource | WebAssembly.Module;

/** @internal The methods of the core; wasm/core_js.go says what they do. */
type Method =
	| 'open' | 'closeDatabase' | 'removeDatabase' | 'addCollection'
	| 'write' | 'find' | 'get' | 'count' | 'explain' | 'observe' | 'observeCount' | 'unobserve' | 'info' | 'watch'
	| 'replicate' | 'cancel' | 'awaitFirstPeer' | 'awaitInSync' | 'awaitReplicated' | 'stats' | 'wake'
	| 'addNetwork' | 'networkEvent';

/** @internal What takes the events and answers the requests of one thing with a number: see wasm/core_js.go. */
export interface Receiver {
	event?(kind: string, text: string): void;
	request?(kind: string, text: string, bytes: Uint8Array | undefined): Promise<string | undefined> | string | undefined;
}

/** @internal The program in WebAssembly. There is one in a page. */
export class Core {
	#call: Call = () => Promise.reject(new ShoalError('fatal', 'the program did not start'));
	readonly #pending = new Set<(error: Error) => void>();
	readonly #receivers = new Map<number, Receiver>();
	/** Resolves when the program has crashed. */
	readonly crashed: Promise<void>;
	#crash!: () => void;
	#fatal: ShoalError | undefined;
	#lastOwn = 0;
	#wakes = false;
	#events: { kind: string; of: number; text: string }[] = [];

	constructor() {
		this.crashed = new Promise((resolve) => (this.#crash = resolve));
	}

	/** Has the program, which has started, serve this page. */
	begin(begin: Begin): void {
		this.#call = begin((kind, of, text) => this.#event(kind, of, text), (kind, of, text, bytes) => this.#request(kind, of, text, bytes));
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
				this.#call(method, args).then(
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
		this.#crash();
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
	running ??= start(source ?? new URL('./shoal.wasm', import.meta.url)).catch((error: unknown) => {
		running = undefined;
		throw error;
	});
	return running;
}

/** Starts the program in a Worker, or, where there can be none, in this thread. */
async function start(source: WasmSource): Promise<Core> {
	const core = new Core();
	const fatal = (message: string) => core.fail(message);
	const thread = startThread(fatal);
	void core.crashed.then(() => thread).then((program) => program?.end());
	try {
		const module = await compile(source);
		const program = await thread;
		core.begin(await (program ? program.start(module) : startProgram(module, fatal)));
	} catch (cause) {
		void thread.then((program) => program?.end());
		if (cause instanceof ShoalError) {
			throw cause;
		}
		const why = cause instanceof Error ? cause.message : String(cause);
		throw new ShoalError('load', `shoal.wasm could not be loaded: ${why}`, { cause });
	}
	return core;
}

async function compile(source: WasmSource): Promise<WebAssembly.Module> {
	if (source instanceof WebAssembly.Module) {
		return source;
	}
	if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
		return WebAssembly.compile(source);
	}
	const response = await (source instanceof Response || source instanceof Promise ? source : fetch(source));
	if (!response.ok) {
		throw new Error(`${response.url} answered ${response.status}`);
	}
	if (response.headers.get('content-type') === 'application/wasm') { // with a parameter after it, it would be refused
		return WebAssembly.compileStreaming(response);
	}
	return WebAssembly.compile(await response.arrayBuffer());
}
