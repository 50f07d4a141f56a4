import { toShoalError } from './errors.js';
import type { Batch, Feed } from './feed.js';
import { Observable } from './observable.js';

/** @internal What a live query shows and how it is kept up to date. */
export interface View<T, R> {
	/** Reads all there is. The position of the log that it is of comes with it. */
	read(): Promise<{ tail: number; apply: Apply<T, R>; result: R }>;
}

/** @internal Takes over a batch and returns the new result, or the same one when nothing about it has changed. */
export type Apply<T, R> = (batch: Batch<T>, result: R) => R;

/** @internal Makes an observable of a result and of each that follows it. All its subscribers share one. */
export function live<T, R>(feed: Feed<T>, closed: Observable<void>, view: View<T, R>): Observable<R> {
	const shared = new Live(feed, closed, view);
	return new Observable((next, complete, error) => shared.subscribe({ next, complete, error }));
}

interface Subscriber<R> {
	next(result: R): void;
	complete(): void;
	error(error: unknown): void;
}

class Live<T, R> {
	readonly #feed: Feed<T>;
	readonly #closed: Observable<void>;
	readonly #view: View<T, R>;
	readonly #subscribers = new Set<Subscriber<R>>();
	#run: Run<T, R> | undefined;

	constructor(feed: Feed<T>, closed: Observable<void>, view: View<T, R>) {
		this.#feed = feed;
		this.#closed = closed;
		this.#view = view;
	}

	subscribe(subscriber: Subscriber<R>): () => void {
		this.#subscribers.add(subscriber);
		if (this.#run) {
			this.#run.greet(subscriber);
		} else {
			this.#run = new Run(this.#feed, this.#closed, this.#view, this.#subscribers);
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
class Run<T, R> {
	readonly #subscribers: ReadonlySet<Subscriber<R>>;
	readonly #stops: (() => void)[] = [];
	#early: Batch<T>[] | undefined = []; // until the result has been read
	#apply!: Apply<T, R>;
	#result!: R;
	#told = true;
	#stopped = false;

	constructor(feed: Feed<T>, closed: Observable<void>, view: View<T, R>, subscribers: ReadonlySet<Subscriber<R>>) {
		this.#subscribers = subscribers;
		this.#stops.push(feed.listen(false, (batch) => this.#take(batch)));
		const closing = closed.subscribe(null, undefined, () => this.#each((s) => s.complete()));
		this.#stops.push(() => closing.unsubscribe());
		view.read().then(
			({ tail, apply, result }) => {
				this.#apply = apply;
				this.#result = result;
				const early = this.#early ?? [];
				this.#early = undefined;
				for (const batch of early) {
					if (batch.tail > tail) {
						this.#take(batch);
					}
				}
				this.#told = true;
				this.#each((s) => s.next(this.#result));
			},
			(error: unknown) => this.#each((s) => s.error(toShoalError(error))),
		);
	}

	stop(): void {
		this.#stopped = true;
		for (const stop of this.#stops.splice(0)) {
			stop();
		}
	}

	/** Gives a subscriber that comes later what the others have. */
	greet(subscriber: Subscriber<R>): void {
		if (!this.#early) {
			queueMicrotask(() => !this.#stopped && this.#subscribers.has(subscriber) && subscriber.next(this.#result));
		}
	}

	#take(batch: Batch<T>): void {
		if (this.#early) {
			this.#early.push(batch);
			return;
		}
		const result = this.#apply(batch, this.#result);
		if (result === this.#result) {
			return;
		}
		this.#result = result;
		if (this.#told) { // batches that come together are told as one result
			this.#told = false;
			queueMicrotask(() => {
				if (!this.#told) {
					this.#told = true;
					this.#each((s) => s.next(this.#result));
				}
			});
		}
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
