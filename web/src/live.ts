import { ShoalError, toShoalError } from './errors.js';
import type { Batch, Feed } from './feed.js';
import { Observable } from './observable.js';

/** @internal Starts what is shown: calls show with the first result and each later one, or fail. Returns what stops it. */
export type Begin<R> = (show: (result: R) => void, fail: (error: unknown) => void) => () => void;

/** @internal Makes an observable of a result and of each that follows it. All its subscribers share one. */
export function live<R>(closed: Observable<void>, begin: Begin<R>): Observable<R> {
	const shared = new Live(closed, begin);
	return new Observable((next, complete, error) => shared.subscribe({ next, complete, error }));
}

interface Subscriber<R> {
	next(result: R): void;
	complete(): void;
	error(error: unknown): void;
}

class Live<R> {
	readonly #closed: Observable<void>;
	readonly #begin: Begin<R>;
	readonly #subscribers = new Set<Subscriber<R>>();
	#run: Run<R> | undefined;

	constructor(closed: Observable<void>, begin: Begin<R>) {
		this.#closed = closed;
		this.#begin = begin;
	}

	subscribe(subscriber: Subscriber<R>): () => void {
		this.#subscribers.add(subscriber);
		if (this.#run) {
			this.#run.greet(subscriber);
		} else {
			this.#run = new Run(this.#closed, this.#begin, this.#subscribers);
		}
		return () => {
			this.#subscribers.delete(subscriber);
			if (this.#subscribers.size === 0) {
				this.#run?.stop();
				this.#run = undefined;
			}
		};
	}
}

/** From the first subscriber to the last. */
class Run<R> {
	readonly #subscribers: ReadonlySet<Subscriber<R>>;
	readonly #stops: (() => void)[] = [];
	#shown: { result: R } | undefined;
	#told = true;
	#stopped = false;

	constructor(closed: Observable<void>, begin: Begin<R>, subscribers: ReadonlySet<Subscriber<R>>) {
		this.#subscribers = subscribers;
		const closing = closed.subscribe(null, undefined, () => this.#each((s) => s.complete()));
		this.#stops.push(() => closing.unsubscribe());
		this.#stops.push(begin((result) => this.#show(result), (error) => this.#fail(toShoalError(error))));
	}

	stop(): void {
		this.#stopped = true;
		for (const stop of this.#stops.splice(0)) {
			stop();
		}
	}

	/** Gives a subscriber that comes later what the others have. */
	greet(subscriber: Subscriber<R>): void {
		const { result } = this.#shown ?? {};
		if (this.#shown && this.#told) {
			queueMicrotask(() => !this.#stopped && this.#subscribers.has(subscriber) && subscriber.next(result as R));
		}
	}

	/** Results that come together are told as one. */
	#show(result: R): void {
		this.#shown = { result };
		if (this.#told) {
			this.#told = false;
			queueMicrotask(() => {
				this.#told = true;
				this.#each((s) => s.next((this.#shown as { result: R }).result));
			});
		}
	}

	/** What had just begun when the database was closed completes, as everything else does then. */
	#fail(error: Error): void {
		const closed = error instanceof ShoalError && error.code === 'closed';
		this.#each((s) => closed ? s.complete() : s.error(error));
	}

	#each(tell: (subscriber: Subscriber<R>) => void): void {
		if (this.#stopped) {
			return; // the subscribers, if there are any again, belong to another run
		}
		for (const subscriber of [...this.#subscribers]) {
			if (this.#subscribers.has(subscriber)) {
				tell(subscriber);
			}
		}
	}
}

/** @internal What is read once and then follows the changes of a collection. */
export interface View<T, R> {
	/** Reads all there is. The position of the log that it is of comes with it. */
	read(): Promise<{ tail: number; result: R }>;
	/** Takes over a batch and returns the new result, or the same one when nothing about it has changed. */
	apply(batch: Batch<T>, result: R): R;
}

/** @internal */
export function following<T, R>(feed: Feed<T>, view: View<T, R>): Begin<R> {
	return (show, fail) => {
		let early: Batch<T>[] | undefined = []; // until the result has been read
		let result: R;
		const take = (batch: Batch<T>) => {
			const next = view.apply(batch, result);
			if (next !== result) {
				show(result = next);
			}
		};
		const stop = feed.listen(false, (batch) => early ? early.push(batch) : take(batch));
		view.read().then((read) => {
			result = read.result;
			for (const batch of early ?? []) {
				if (batch.tail > read.tail) {
					result = view.apply(batch, result);
				}
			}
			early = undefined;
			show(result);
		}).catch(fail);
		return stop;
	};
}
