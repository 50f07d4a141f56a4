/** What {@link Observable.subscribe} takes, besides a function for `next`. */
export interface Observer<T> {
	next?(value: T): void;
	error?(error: unknown): void;
	complete?(): void;
}

/** Ends the delivery of values. */
export interface Subscription {
	unsubscribe(): void;
	readonly closed: boolean;
}

/** Starts a source for one subscriber, and returns what stops it. */
type Producer<T> = (next: (value: T) => void, complete: () => void, error: (error: unknown) => void) => () => void;

/**
 * Values over time. RxJS takes it in `from()`, Svelte as a store, and `for await` reads it.
 *
 * Values come in the order in which they happened, never while `subscribe` still runs unless the observable says that it
 * has a current value. An error that a subscriber throws is reported to the page and disturbs nobody else.
 */
export class Observable<T> implements AsyncIterable<T> {
	readonly #producer: Producer<T>;

	/** @internal */
	constructor(producer: Producer<T>) {
		this.#producer = producer;
	}

	subscribe(observer?: Observer<T> | ((value: T) => void) | null, error?: (error: unknown) => void, complete?: () => void): Subscription {
		const to: Observer<T> = typeof observer === 'object' && observer ? observer : only(observer, error, complete);
		let stop: (() => void) | undefined;
		let closed = false;
		const end = () => {
			closed = true;
			stop?.();
			stop = undefined;
		};
		stop = this.#producer(
			(value) => closed || guard(() => to.next?.(value)),
			() => closed || (end(), guard(() => to.complete?.())),
			(thrown) => closed || (end(), guard(() => to.error ? to.error(thrown) : report(thrown))),
		);
		if (closed) {
			stop();
		}
		return { unsubscribe: end, get closed() { return closed; } };
	}

	/**
	 * Reads the values. Those that come while the loop is busy wait for it, all of them; of an observable with a current value
	 * only the last one does.
	 */
	[Symbol.asyncIterator](): AsyncIterator<T> {
		return iterate(this, Infinity);
	}

	/** For libraries that take observables of others (https://github.com/tc39/proposal-observable). */
	'@@observable'(): this {
		return this;
	}
}

const symbol = (Symbol as { observable?: symbol }).observable;
if (symbol) {
	Object.defineProperty(Observable.prototype, symbol, { value: Observable.prototype['@@observable'] });
}

/** An Observable with a current value, which each subscriber gets at once. */
export class Value<T> extends Observable<T> {
	readonly #current: () => T;

	/** @internal */
	constructor(current: () => T, producer: Producer<T>) {
		super(producer);
		this.#current = current;
	}

	get value(): T {
		return this.#current();
	}

	getValue(): T {
		return this.#current();
	}

	override [Symbol.asyncIterator](): AsyncIterator<T> {
		return iterate(this, 1);
	}
}

function only<T>(next?: ((value: T) => void) | null, error?: (error: unknown) => void, complete?: () => void): Observer<T> {
	return { ...(next && { next }), ...(error && { error }), ...(complete && { complete }) };
}

function guard(call: () => void): void {
	try {
		call();
	} catch (thrown) {
		report(thrown);
	}
}

function report(thrown: unknown): void {
	if (typeof reportError === 'function') {
		reportError(thrown);
	} else {
		setTimeout(() => {
			throw thrown;
		});
	}
}

/** Iterates over an observable; of the values that wait, the last `keep` are kept. */
function iterate<T>(source: Observable<T>, keep: number): AsyncIterator<T> {
	const waiting: T[] = [];
	const readers: { resolve(result: IteratorResult<T>): void; reject(error: unknown): void }[] = [];
	let over: { error?: unknown } | undefined;
	const finish = (outcome: { error?: unknown }) => {
		over ??= outcome;
		for (const reader of readers.splice(0)) {
			'error' in outcome ? reader.reject(outcome.error) : reader.resolve({ done: true, value: undefined });
		}
	};
	const subscription = source.subscribe({
		next(value) {
			const reader = readers.shift();
			if (reader) {
				reader.resolve({ done: false, value });
				return;
			}
			if (waiting.length >= keep) {
				waiting.shift();
			}
			waiting.push(value);
		},
		error: (error) => finish({ error }),
		complete: () => finish({}),
	});
	return {
		next: () => new Promise((resolve, reject) => {
			if (waiting.length > 0) {
				resolve({ done: false, value: waiting.shift() as T });
			} else if (over) {
				'error' in over ? reject(over.error) : resolve({ done: true, value: undefined });
			} else {
				readers.push({ resolve, reject });
			}
		}),
		return: async () => {
			subscription.unsubscribe();
			waiting.length = 0;
			finish({});
			return { done: true, value: undefined };
		},
	};
}

interface Target<T> {
	next(value: T): void;
	complete(): void;
}

/** @internal The inner side of an observable whose values come whether or not anybody listens. */
export class Source<T> {
	#targets: readonly Target<T>[] = [];
	#completed = false;
	readonly #used: ((used: boolean) => void) | undefined;
	readonly observable: Observable<T>;

	/** used is called with true when the first subscriber comes, and with false when the last has left. */
	constructor(used?: (used: boolean) => void) {
		this.#used = used;
		this.observable = new Observable((next, complete) => this.listen(next, complete));
	}

	listen(next: (value: T) => void, complete: () => void): () => void {
		if (this.#completed) {
			complete();
			return () => {};
		}
		const target = { next, complete };
		this.#targets = [...this.#targets, target];
		if (this.#targets.length === 1) {
			this.#used?.(true);
		}
		return () => {
			const left = this.#targets.filter((other) => other !== target);
			const last = this.#targets.length > 0 && left.length === 0;
			this.#targets = left;
			if (last) {
				this.#used?.(false);
			}
		};
	}

	next(value: T): void {
		for (const target of this.#targets) {
			target.next(value);
		}
	}

	complete(): void {
		this.#completed = true;
		const targets = this.#targets;
		for (const target of targets) {
			target.complete();
		}
		this.#targets = [];
	}
}

/** @internal The inner side of a Value. */
export class ValueSource<T> {
	#value: T;
	readonly #source = new Source<T>();
	readonly observable: Value<T>;

	constructor(value: T) {
		this.#value = value;
		this.observable = new Value(() => this.#value, (next, complete) => {
			next(this.#value);
			return this.#source.listen(next, complete);
		});
	}

	get value(): T {
		return this.#value;
	}

	next(value: T): void {
		this.#value = value;
		this.#source.next(value);
	}

	complete(): void {
		this.#source.complete();
	}
}
