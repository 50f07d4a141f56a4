import { ShoalError, type ErrorCode } from './errors.js';

/** @internal One end of what connects a page and its Worker: the Worker object in the page, the global scope in the Worker. */
export interface Port {
	postMessage(message: unknown, transfer: Transferable[]): void;
	onmessage: ((event: MessageEvent<Message>) => void) | null;
}

/** What the other end may call, by name. */
interface Handlers {
	readonly [name: string]: (...args: any[]) => unknown;
}

/** A call with its number, 0 where nobody waits for the outcome; or the outcome, with that number below 0. */
type Message =
	| readonly [number: number, name: string, args: readonly unknown[]]
	| readonly [number: number, ok: boolean, value: unknown];

interface Pending {
	resolve(value: any): void;
	reject(error: unknown): void;
}

/** @internal Calls between a page and its Worker, in both directions. They arrive in their order, each in a task of its own. */
export class Wire {
	readonly #port: Port;
	readonly #handlers: Handlers;
	readonly #pending = new Map<number, Pending>();
	readonly #errors = new Errors();
	#last = 0;

	constructor(port: Port, handlers: Handlers) {
		this.#port = port;
		this.#handlers = handlers;
		port.onmessage = ({ data }) => this.#receive(data);
	}

	/** Calls a handler of the other end and returns its outcome. */
	call<T = void>(name: string, ...args: unknown[]): Promise<T> {
		return new Promise<T>((resolve, reject) => {
			const number = ++this.#last;
			this.#port.postMessage([number, name, args], []);
			this.#pending.set(number, { resolve, reject });
		});
	}

	/** Calls a handler of the other end, which cannot fail. */
	tell(name: string, ...args: unknown[]): void {
		this.#port.postMessage([0, name, args], []);
	}

	/** Is tell with a last argument that moves there if it is an ArrayBuffer. */
	pass(name: string, id: number, data: string | ArrayBuffer): void {
		this.#port.postMessage([0, name, [id, data]], typeof data === 'string' ? [] : [data]);
	}

	#receive([number, what, value]: Message): void {
		if (number < 0) {
			const pending = this.#pending.get(-number) as Pending;
			this.#pending.delete(-number);
			what ? pending.resolve(value) : pending.reject(this.#errors.unpack(value as PackedError));
			return;
		}
		const handler = this.#handlers[what as string] as Handlers[string];
		if (number === 0) {
			handler(...value as unknown[]);
			return;
		}
		new Promise((resolve) => resolve(handler(...value as unknown[]))).then(
			(result) => this.#port.postMessage([-number, true, result], []),
			(error: unknown) => this.#port.postMessage([-number, false, this.#errors.pack(error)], []),
		);
	}
}

/** An error on its way. Copies that the browser makes have neither a code nor a class of their own. */
interface PackedError {
	readonly name?: string;
	readonly message: string;
	readonly code?: string;
	readonly documentId?: string | undefined;
	readonly cause?: PackedError;
	/** Names the original at the end where it was thrown: above 0 there, below 0 at the other end. */
	readonly original: number;
}

/** So many errors are kept for when they come back: those of an application's functions do, as the cause of what became of them. */
const maxOriginals = 64;

/** So many causes of causes are told. */
const maxCauses = 8;

/** Packs errors. One that comes back to where it was thrown is that object again. */
class Errors {
	readonly #originals = new Map<number, unknown>();
	readonly #numbers = new WeakMap<object, number>(); // of errors from the other end
	#last = 0;

	pack(thrown: unknown, causes = maxCauses): PackedError {
		const original = this.#number(thrown);
		try {
			return { ...this.#describe(thrown, causes), original };
		} catch { // its properties, or making a text of it, threw
			return { message: 'an object that is not an Error was thrown', original };
		}
	}

	#describe(thrown: unknown, causes: number): Omit<PackedError, 'original'> {
		if (!(thrown instanceof Error)) {
			return { message: String(thrown) };
		}
		const { name, message, code, documentId, cause } = thrown as Partial<ShoalError> & Error;
		return {
			name: String(name), message: String(message),
			...(typeof code === 'string' && { code }),
			...(typeof documentId === 'string' && { documentId }),
			...(cause !== undefined && causes > 0 && { cause: this.pack(cause, causes - 1) }),
		};
	}

	#number(thrown: unknown): number {
		const known = typeof thrown === 'object' && thrown !== null && this.#numbers.get(thrown);
		if (known) {
			return -known;
		}
		this.#originals.set(++this.#last, thrown);
		this.#originals.delete(this.#last - maxOriginals);
		return this.#last;
	}

	unpack(packed: PackedError): unknown {
		const { name, message, code, documentId, original } = packed;
		if (this.#originals.has(-original)) {
			return this.#originals.get(-original);
		}
		const details = packed.cause && { cause: this.unpack(packed.cause) };
		const error = name === 'ShoalError' ? new ShoalError(code as ErrorCode, message, { documentId, ...details })
			: name === 'TypeError' ? new TypeError(message, details)
			: Object.assign(new Error(message, details), { name: name ?? '', ...(code && { code }) });
		this.#numbers.set(error, original);
		return error;
	}
}
