let warned = false;

/** How often a standby tab asks the leader for a sign of life, in milliseconds. */
const beat = 400;

/** So many questions in a row without an answer, and the leader counts as frozen. With the beat it makes for a take-over within 2 s. */
const maxMisses = 3;

/** How much longer a tab waits that nobody looks at: one that somebody sees comes first. */
const hiddenDelay = 300;

/** Who wants to know whether this tab leads. */
export interface Member {
	/** Told of each change after join. */
	leadershipChanged(leads: boolean): void;
	/** Given what the tab that leads told. */
	heard(news: News): void;
}

/** What the tab that leads tells the others. */
export interface News {
	readonly collection: string;
	readonly topic: string;
	/** The text of a conflict, as the core told it. */
	readonly conflict: string;
}

/**
 * @internal Which tab of a database replicates: the one that holds a Web Lock (https://w3c.github.io/web-locks/). The browser gives the lock on when
 * that tab closes or crashes, and a tab whose program crashed gives it up. From one that does not answer for a while, the others take it.
 */
export class Leadership {
	readonly #lock: string;
	readonly #members = new Set<Member>();
	#candidate: Candidate | undefined;

	/** From when crashed resolves, this tab leaves it to others. */
	constructor(lock: string, crashed: Promise<void>) {
		this.#lock = lock;
		void crashed.then(() => this.#end());
	}

	/** Takes part, until leave. Resolves, as soon as the browser answers, to whether this tab leads at present. */
	async join(member: Member): Promise<boolean> {
		this.#members.add(member);
		this.#candidate ??= candidate(this.#lock, {
			leadershipChanged: (leads) => [...this.#members].forEach((member) => member.leadershipChanged(leads)),
			heard: (news) => [...this.#members].forEach((member) => member.heard(news)),
		});
		const mine = this.#candidate;
		await mine.answered;
		return mine.leads;
	}

	/** Tells the members in other tabs. */
	tell(news: News): void {
		this.#candidate?.tell(news);
	}

	leave(member: Member): void {
		this.#members.delete(member);
		if (this.#members.size === 0) {
			this.#end();
		}
	}

	#end(): void {
		this.#candidate?.end();
		this.#candidate = undefined;
	}
}

interface Candidate {
	/** Resolves when it is known whether the lock was free. */
	readonly answered: Promise<void>;
	readonly leads: boolean;
	tell(news: News): void;
	/** Gives the lock, or the place in the queue, to others. */
	end(): void;
}

function candidate(name: string, members: Member): Candidate {
	const locks = (globalThis.navigator as Navigator | undefined)?.locks as LockManager | undefined;
	if (locks) {
		return new Tab(locks, name, members);
	}
	if (!warned) {
		warned = true;
		console.warn('Shoal: no Web Locks here (is the page served over https or from localhost?), so every tab replicates by itself.');
	}
	return { answered: Promise.resolve(), leads: true, tell: () => {}, end: () => {} };
}

/** A request for the lock, from when it is made until the lock is given up, lost, or not wanted any more. */
interface Request {
	readonly abort: AbortController;
	release(): void;
}

/** This tab among those that want the lock. */
class Tab implements Candidate {
	readonly answered: Promise<void>;
	leads = false;
	readonly #locks: LockManager;
	readonly #name: string;
	readonly #members: Member;
	readonly #channel: BroadcastChannel | undefined;
	readonly #events = new AbortController();
	#current: Request | undefined; // undefined while this tab is frozen, and at the end
	#watch: ReturnType<typeof setInterval> | undefined;
	#misses = 0;

	constructor(locks: LockManager, name: string, members: Member) {
		this.#locks = locks;
		this.#name = name;
		this.#members = members;
		if (typeof BroadcastChannel === 'function') {
			this.#channel = new BroadcastChannel(`${name}/leader`);
			this.#channel.onmessage = ({ data }) => this.#hear(data);
		}
		const { signal } = this.#events;
		globalThis.document?.addEventListener('freeze', () => this.#giveUp(), { signal });
		globalThis.document?.addEventListener('resume', () => this.#resume(), { signal });
		this.answered = new Promise((resolve) => this.#request({ ifAvailable: true }, resolve));
	}

	tell(news: News): void {
		this.#channel?.postMessage(news);
	}

	end(): void {
		this.#events.abort();
		this.#giveUp();
		this.#lead(false);
		this.#channel?.close();
	}

	/** Asks for the lock in place of any request before. answered is called once the browser has said whether it was free. */
	#request(options: LockOptions, answered?: () => void): void {
		this.#drop();
		const abort = new AbortController();
		const request: Request = { abort, release: () => {} };
		this.#current = request;
		const granted = (lock: Lock | null): Promise<void> | undefined => {
			if (this.#current !== request) {
				answered?.();
				return undefined; // it came too late
			}
			if (!lock) {
				this.#request({});
				answered?.();
				return undefined;
			}
			const held = new Promise<void>((resolve) => (request.release = resolve));
			this.#lead(true);
			answered?.();
			return held;
		};
		// A signal goes only with a request that waits in the queue.
		this.#locks.request(this.#name, options.ifAvailable || options.steal ? options : { ...options, signal: abort.signal }, granted)
			.catch(() => this.#lost(request, answered));
		this.#attend();
	}

	/** The lock was taken from this tab, or the browser refuses to give any. */
	#lost(request: Request, answered: (() => void) | undefined): void {
		if (this.#current !== request) {
			answered?.();
			return;
		}
		if (this.leads) {
			this.#lead(false);
			this.#request({});
			return;
		}
		this.#lead(true); // a page without storage of its own cannot share any with other tabs
		answered?.();
	}

	#lead(leads: boolean): void {
		if (this.leads === leads) {
			return;
		}
		this.leads = leads;
		this.#attend();
		if (leads) {
			this.#channel?.postMessage('alive');
		}
		this.#members.leadershipChanged(leads);
	}

	/**
	 * Lets others lead. A page that is about to be frozen can still do so; nobody is told before it goes on, lest they begin to write what
	 * they cannot end, and others have to wait for.
	 */
	#giveUp(): void {
		this.#drop();
		this.#current = undefined;
		this.#attend();
	}

	#resume(): void {
		if (!this.#current) {
			this.#lead(false);
			this.#request({});
		}
	}

	#drop(): void {
		this.#current?.abort.abort();
		this.#current?.release();
	}

	#hear(message: unknown): void {
		if (message === 'alive') {
			this.#misses = 0;
		} else if (message === 'alive?' && this.leads) {
			this.#channel?.postMessage('alive'); // events come also to pages in the background, whose timers are slow
		} else if (typeof message === 'object') {
			this.#members.heard(message as News);
		}
	}

	/** Watches the leader, for as long as that is another tab. */
	#attend(): void {
		const standby = this.#channel !== undefined && this.#current !== undefined && !this.leads;
		if (standby && this.#watch === undefined) {
			this.#misses = 0;
			this.#watch = setInterval(() => this.#ask(), beat);
		} else if (!standby && this.#watch !== undefined) {
			clearInterval(this.#watch);
			this.#watch = undefined;
		}
	}

	/** Counts questions, not time: a tab that was frozen itself has asked none meanwhile. */
	#ask(): void {
		if (this.#misses === maxMisses) {
			const delay = Math.random() * 100 + (globalThis.document?.visibilityState === 'hidden' ? hiddenDelay : 0);
			setTimeout(() => this.#takeOver(), delay);
		}
		this.#misses++;
		this.#channel?.postMessage('alive?');
	}

	#takeOver(): void {
		if (this.#misses < maxMisses || this.leads || !this.#current) {
			return;
		}
		this.#misses = 0;
		this.#request({ steal: true });
	}
}
