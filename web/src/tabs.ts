let warned = false;

/** A place in the queue for a lock, or the lock. */
interface Claim {
	/** Whether the lock was free. Nobody waits for it longer than the browser takes to answer. */
	readonly free: Promise<boolean>;
	/** Resolves when the lock is held. */
	readonly held: Promise<void>;
	/** Gives the lock, or the place, to others. */
	release(): void;
}

/** @internal Which tab of a database replicates: the one that holds a Web Lock (https://w3c.github.io/web-locks/). */
export class Leadership {
	readonly #lock: string;
	#claim: Claim | undefined;
	#users = 0;

	constructor(lock: string) {
		this.#lock = lock;
	}

	/** Takes part, until leave. Resolves at once, to whether this tab leads already and to a promise that it will. */
	async join(): Promise<{ leads: boolean; leading: Promise<void> }> {
		this.#users++;
		this.#claim ??= claim(this.#lock);
		const { free, held } = this.#claim;
		return { leads: await free, leading: held };
	}

	leave(): void {
		if (--this.#users === 0) {
			this.#claim?.release();
			this.#claim = undefined;
		}
	}
}

function claim(name: string): Claim {
	const locks = (globalThis.navigator as Navigator | undefined)?.locks as LockManager | undefined;
	if (!locks) {
		if (!warned) {
			warned = true;
			console.warn('Shoal: no Web Locks here (is the page served over https or from localhost?), so every tab replicates by itself.');
		}
		return { free: Promise.resolve(true), held: Promise.resolve(), release: () => {} };
	}
	let release = () => {};
	const released = new Promise<void>((resolve) => (release = resolve));
	let hold = () => {};
	const held = new Promise<void>((resolve) => (hold = resolve));
	const abort = new AbortController();
	const free = new Promise<boolean>((answer) => {
		const refused = () => {
			answer(true); // a page without storage of its own cannot share any with other tabs
			hold();
		};
		locks.request(name, { ifAvailable: true }, (lock) => {
			answer(lock !== null);
			if (lock) {
				hold();
				return released;
			}
			locks.request(name, { signal: abort.signal }, () => {
				hold();
				return released;
			}).catch(() => {}); // aborted
			return undefined;
		}).catch(refused);
	});
	return {
		free,
		held,
		release() {
			release();
			abort.abort();
		},
	};
}
