import { recordsOf, type Collection, type WithDeleted } from './collection.js';
import { versionOf, type Document } from './document.js';
import { ShoalError, type ErrorCode } from './errors.js';
import { signalingOf, type ConnectionHandler, type ConnectionHandlerCreator, type Signaling } from './handlers.js';
import { serveNetwork } from './network.js';
import { Source, ValueSource, type Observable, type Value } from './observable.js';
import type { Records } from './records.js';
import type { DeepReadonly } from './schema.js';
import type { Leadership, Member, News } from './tabs.js';

/** How documents go one way. */
export interface DirectionOptions<T> {
	/** How many documents are sent together in a first sync. Default: as many as fit well. */
	batchSize?: number;
	/**
	 * Changes a document on its way; null or undefined holds it back. What it does must depend on the document alone, and it must leave the
	 * primary key as it is.
	 */
	modifier?: (document: WithDeleted<T>) => WithDeleted<T> | null | undefined | Promise<WithDeleted<T> | null | undefined>;
}

/** A peer that wants to take part. */
export interface PeerInfo {
	/** The id under which the network knows it; another one each time that it comes. */
	readonly id: string;
	/** Names its copy of the collection; undefined for an RxDB client. */
	readonly replicaId: string | undefined;
	/** It is an RxDB client. */
	readonly rxdb: boolean;
}

/** What {@link replicateP2P} takes. */
export interface ReplicationOptions<T, Peer = any> {
	collection: Collection<T>;
	/** Who replicates a collection of that name in the same topic is a peer. 6 to 99 characters. */
	topic: string;
	connectionHandlerCreator: ConnectionHandlerCreator<Peer>;
	/**
	 * What all users of the topic know and nobody else, the signaling server included. Peers prove to each other that they know it before they
	 * say anything else, so that the server can neither join nor listen. It may be a phrase: what crosses the network does not help to guess it,
	 * each connection is one guess. Not with custom connection handlers. Default: none.
	 */
	secret?: string;
	/** Takes documents from peers. Left out, nothing is taken. */
	pull?: DirectionOptions<T>;
	/** Sends documents to peers. Left out, nothing is sent. */
	push?: DirectionOptions<T>;
	/** Decides whether a peer may take part, before it learns anything of the documents. */
	isPeerValid?: (peer: PeerInfo) => boolean | Promise<boolean>;
	/** How long to wait after a failure with a peer, in milliseconds. Default: 5000. */
	retryTime?: number;
	/**
	 * Replicates with the RxDB clients of the topic as well, in the protocol of RxDB's WebRTC plugin. One collection of a topic can have this, and
	 * it needs a connection handler of getConnectionHandlerSimplePeer or getConnectionHandlerWebRTC. Not with a `secret`. Default: false.
	 */
	rxdb?: boolean | RxDBOptions;
}

/** How to replicate with RxDB clients. */
export interface RxDBOptions {
	/** The storage token that they see; by it RxDB chooses which side is master. Default: made once and stored. */
	token?: string;
	/** This replica is meant to stay: RxDB clients are to connect to it rather than to others. Default: false. */
	alwaysOn?: boolean;
}

/** How far the replication with a peer is. */
export interface PeerProgress {
	/** Its documents are being read for the first time since it came. */
	readonly pulling: boolean;
	/** Documents that came that way. */
	readonly received: number;
	/** Documents that are still to come that way, about. */
	readonly remaining: number;
	/** Writes known here that the peer has not confirmed. */
	readonly backlog: number;
	/** Both have all that the other has. */
	readonly inSync: boolean;
}

/** Another replica of the topic. */
export interface PeerState {
	readonly id: string;
	/** Known once the state is `open`; RxDB clients have none. */
	readonly replicaId: string | undefined;
	/** It is an RxDB client. */
	readonly rxdb: boolean;
	/** `failed` is tried again by itself. */
	readonly state: 'connecting' | 'open' | 'failed';
	/** Why it failed. */
	readonly error: string | undefined;
	/** While the state is `open`. */
	readonly progress: PeerProgress | undefined;
	/** How the connection is made up, while the state is `open`; some seconds old at most. */
	readonly path: PeerPath | undefined;
}

/** The way to the signaling server. Connections that are open do not depend on it. */
export interface SignalingState {
	/** `none` in a standby tab and with custom connection handlers. */
	readonly state: 'none' | 'connecting' | 'open' | 'failed' | 'closed';
	readonly error: string | undefined;
}

/** How far the first sync is, over all peers. */
export interface SyncProgress {
	readonly pulling: boolean;
	readonly received: number;
	readonly remaining: number;
	readonly backlog: number;
	/** There is a peer, and everything is the same on all of them. */
	readonly inSync: boolean;
}

/** How the connection to a peer is made up. What is not known is empty or 0. */
export interface PeerPath {
	/** `host`, `srflx`, `prflx` or `relay` (W3C WebRTC; `relay` is through a TURN server), or `server`: through the signaling server. */
	readonly localCandidate: string;
	readonly remoteCandidate: string;
	/** Through a server, of either kind. */
	readonly relayed: boolean;
	/** In milliseconds. */
	readonly roundTripTime: number;
}

/** How the connection to a peer is made up at the moment, and what went over it. */
export interface PeerStats extends PeerPath {
	readonly bytesSent: number;
	readonly bytesReceived: number;
}

/** A conflict that was resolved. */
export interface ConflictEvent<T> {
	readonly documentId: string;
	readonly peer: string;
	/** The version that was here. */
	readonly local: DeepReadonly<WithDeleted<T>>;
	/** The version that came. */
	readonly remote: DeepReadonly<WithDeleted<T>>;
	/** What is here now. */
	readonly result: DeepReadonly<WithDeleted<T>>;
}

/** The replication of a collection in a topic. It goes on until `cancel`. */
export interface ReplicationPool<T = any> {
	readonly topic: string;
	readonly collection: Collection<T>;
	/** What went wrong. The pool goes on and tries again by itself. */
	readonly error$: Observable<ShoalError>;
	/** Each conflict that came up here, in this tab or in the one that replicates for it, when it has been resolved. */
	readonly conflict$: Observable<ConflictEvent<T>>;
	/** The peers by id. Changes come at most ten times a second. */
	readonly peerStates$: Value<ReadonlyMap<string, PeerState>>;
	readonly signaling$: Value<SignalingState>;
	readonly progress$: Value<SyncProgress>;
	/** The current value of `progress$`. */
	readonly progress: SyncProgress;
	/**
	 * Whether this tab replicates. Of the tabs of a database one does; the others see what it brings through the storage, and one of
	 * them takes over when it closes or does not answer for a second or two. With memory storage every tab does.
	 */
	readonly isLeader: boolean;
	readonly isLeader$: Value<boolean>;
	readonly canceled: boolean;

	/** Resolves when there is a connection to a peer. In a standby tab, this is after it took over. */
	awaitFirstPeer(): Promise<void>;
	/** Resolves when there is a peer, and all peers have what is here and the other way round. */
	awaitInSync(): Promise<void>;
	/** Resolves when at least so many of the peers that are connected (1 by default) hold this version of a document, or a later one. */
	awaitReplicated(document: Document<T>, options?: { peers?: number }): Promise<void>;
	/** How the connection to a peer is made up; undefined where there is none. */
	stats(peerId: string): Promise<PeerStats | undefined>;
	/** Ends the replication. What was not sent by then is sent when the collection is replicated again. */
	cancel(): Promise<void>;
}

const idle: SyncProgress = { pulling: false, received: 0, remaining: 0, backlog: 0, inSync: false };

/** The core's text, see states in wasm/pool_js.go. */
interface States {
	server: { state: '' | 'connecting' | 'open' | 'failed' | 'closed'; error?: string };
	peers: { id: string; replicaId?: string; rxdb?: boolean; state: PeerState['state']; error?: string; progress?: PeerProgress; path?: PeerPath }[];
}

/** A version at the border. */
interface Wire {
	deleted: boolean;
	doc: Record<string, unknown>;
}

/** @internal Makes one object of a version and whether it is deleted. */
export function withDeleted<T>({ deleted, doc }: Wire): WithDeleted<T> {
	return { ...doc, _deleted: deleted } as unknown as WithDeleted<T>;
}

/** @internal Undoes withDeleted for what the application made, which must be of that document. */
export function toWire<T>(version: WithDeleted<T>, records: Records<any>, id: string, name: string, validate: boolean): string {
	if (typeof version !== 'object' || version === null) {
		throw new TypeError(`${name} must return a document`);
	}
	const { _deleted: deleted = false, ...doc } = version;
	if (records.drafts.version(doc, `what ${name} returns`, validate && !deleted).id !== id) {
		throw new TypeError(`${name} must leave the primary key ${JSON.stringify(id)} as it is`);
	}
	return JSON.stringify({ deleted, doc });
}

/** @internal The pool that replicateP2P returns. */
export class PoolObject<T> implements ReplicationPool<T>, Member {
	readonly topic: string;
	readonly collection: Collection<T>;
	readonly #records: Records<T>;
	readonly #options: ReplicationOptions<T>;
	readonly #leadership: Leadership | undefined;
	readonly #errors = new Source<ShoalError>();
	readonly #conflicts = new Source<ConflictEvent<T>>();
	readonly #peers = new ValueSource<ReadonlyMap<string, PeerState>>(new Map());
	readonly #signaling = new ValueSource<SignalingState>({ state: 'none', error: undefined });
	readonly #progress = new ValueSource<SyncProgress>(idle);
	readonly #leads = new ValueSource(false);
	#started!: Promise<number>; // the core's number, while this tab leads
	#token: Signaling['token'];
	#start!: (number: Promise<number>) => void;
	#stop!: (reason: ShoalError) => void;
	#wanted = false; // whether this tab is to lead
	#turn: Promise<void> = Promise.resolve(); // it starts and stops in turns
	#canceled: Promise<void> | undefined;

	constructor(options: ReplicationOptions<T>, records: Records<T>, leadership: Leadership | undefined) {
		this.topic = options.topic;
		this.collection = options.collection;
		this.#options = options;
		this.#records = records;
		this.#leadership = leadership;
		this.#await();
	}

	/** Has those who need the core's pool wait for the next one. */
	#await(): void {
		this.#started = new Promise((resolve, reject) => {
			this.#start = resolve;
			this.#stop = reject;
		});
		this.#started.catch(() => {}); // whoever waits for it says so
	}

	get error$(): Observable<ShoalError> {
		return this.#errors.observable;
	}

	get conflict$(): Observable<ConflictEvent<T>> {
		return this.#conflicts.observable;
	}

	get peerStates$(): Value<ReadonlyMap<string, PeerState>> {
		return this.#peers.observable;
	}

	get signaling$(): Value<SignalingState> {
		return this.#signaling.observable;
	}

	get progress$(): Value<SyncProgress> {
		return this.#progress.observable;
	}

	get progress(): SyncProgress {
		return this.#progress.value;
	}

	get isLeader(): boolean {
		return this.#leads.value;
	}

	get isLeader$(): Value<boolean> {
		return this.#leads.observable;
	}

	get canceled(): boolean {
		return this.#canceled !== undefined;
	}

	/** Starts it, or, if another tab leads, has it start later. */
	async begin(): Promise<void> {
		await this.#change(this.#leadership ? await this.#leadership.join(this) : true);
	}

	/** @internal */
	leadershipChanged(leads: boolean): void {
		this.#change(leads).catch((error: unknown) => this.#errors.next(asPoolError(error)));
	}

	#change(wanted: boolean): Promise<void> {
		this.#wanted = wanted;
		const turn = this.#turn.then(() => {
			if (this.canceled || this.#wanted === this.isLeader) {
				return undefined;
			}
			return this.#wanted ? this.#lead() : this.#standBy();
		});
		this.#turn = turn.catch(() => {});
		return turn;
	}

	async #lead(): Promise<void> {
		const number = this.#connect();
		this.#start(number);
		try {
			await number;
		} catch (error) {
			this.#await(); // this tab may be asked to lead again
			throw error;
		}
		this.#leads.next(true);
	}

	/** Leaves it to the tab that leads now. */
	async #standBy(): Promise<void> {
		const started = this.#started;
		this.#await();
		this.#idle();
		await this.#end(await started);
	}

	async #end(number: number): Promise<void> {
		const { core } = this.#records;
		try {
			await core.call('cancel', number);
		} finally {
			core.forget(number);
		}
	}

	#idle(): void {
		this.#peers.next(new Map());
		this.#signaling.next({ state: 'none', error: undefined });
		this.#progress.next(idle);
		this.#leads.next(false);
	}

	/** Calls a method of the core's pool: another one where this tab has stopped leading meanwhile and leads again. */
	async #ask<R = void>(method: 'awaitFirstPeer' | 'awaitInSync' | 'awaitReplicated', ...args: number[]): Promise<R> {
		for (;;) {
			const started = this.#started;
			try {
				return await this.#records.core.call<R>(method, await started, ...args);
			} catch (error) {
				if (this.canceled || this.#started === started) {
					throw error;
				}
			}
		}
	}

	async #connect(): Promise<number> {
		const { core, number: collection } = this.#records;
		core.wakeWithPage();
		const { pull, push, isPeerValid, retryTime = 0, topic, rxdb = false } = this.#options;
		const connection = await this.#connection();
		const direction = (options: DirectionOptions<T> | undefined) => options && { batchSize: options.batchSize ?? 0, modifier: !!options.modifier };
		const number = await core.call<number>('replicate', collection, JSON.stringify({
			topic, retryTime, connection, pull: direction(pull), push: direction(push), valid: !!isPeerValid,
			rxdb: rxdb === true ? {} : rxdb || null,
		}));
		core.receive(number, {
			event: (kind, text) => this.#event(kind, text),
			request: (kind, text) => this.#answer(kind, text),
		});
		return number;
	}

	async #connection(): Promise<object> {
		const { connectionHandlerCreator: create, topic, collection } = this.#options;
		let signaling: Signaling | undefined = signalingOf(create);
		if (!signaling) {
			const handler: ConnectionHandler = await create({ topic, collection });
			signaling = signalingOf(handler);
			if (!signaling) {
				if (this.#options.secret) {
					throw new ShoalError('unsupported', 'a secret needs connections that it can be bound to, which custom connection handlers do not have');
				}
				return { network: await serveNetwork(this.#records.core, handler, (error) => this.#errors.next(error)) };
			}
		}
		this.#token = signaling.token;
		const token = typeof signaling.token === 'string' ? signaling.token : '';
		return { ...signaling, token, askToken: typeof signaling.token === 'function', secret: this.#options.secret ?? '' };
	}

	#event(kind: string, text: string): void {
		if (this.canceled) {
			return;
		}
		switch (kind) {
			case 'peers':
				this.#show(JSON.parse(text) as States);
				break;
			case 'failed': {
				const { peer, code, message } = JSON.parse(text) as { peer?: string; code: ErrorCode; message: string };
				this.#errors.next(new ShoalError(code, message, { peer }));
				break;
			}
			case 'conflict':
				this.#conflict(text);
				this.#leadership?.tell({ collection: this.collection.name, topic: this.topic, conflict: text });
		}
	}

	#conflict(text: string): void {
		const { id, peer, local, remote, result } = JSON.parse(text) as { id: string; peer: string; local: Wire; remote: Wire; result: Wire };
		this.#conflicts.next({
			documentId: id,
			peer,
			local: withDeleted<T>(local) as DeepReadonly<WithDeleted<T>>,
			remote: withDeleted<T>(remote) as DeepReadonly<WithDeleted<T>>,
			result: withDeleted<T>(result) as DeepReadonly<WithDeleted<T>>,
		});
	}

	/** @internal */
	heard({ collection, topic, conflict }: News): void {
		if (!this.canceled && collection === this.collection.name && topic === this.topic) {
			this.#conflict(conflict);
		}
	}

	#show({ server, peers }: States): void {
		const states = new Map(peers.map(({ id, replicaId, rxdb = false, state, error, progress, path }) => [id, { id, replicaId, rxdb, state, error, progress, path }]));
		const signaling: SignalingState = { state: server.state || 'none', error: server.error };
		this.#peers.next(states);
		if (signaling.state !== this.#signaling.value.state || signaling.error !== this.#signaling.value.error) {
			this.#signaling.next(signaling);
		}
		const open = [...states.values()].flatMap(({ progress }) => progress ?? []);
		this.#progress.next({
			pulling: open.some(({ pulling }) => pulling),
			received: open.reduce((sum, { received }) => sum + received, 0),
			remaining: open.reduce((most, { remaining }) => Math.max(most, remaining), 0),
			backlog: open.reduce((most, { backlog }) => Math.max(most, backlog), 0),
			inSync: open.length > 0 && open.every(({ inSync }) => inSync),
		});
	}

	/** Answers what the core asks: the token for the topic, whether a peer may come in, or what becomes of a document. */
	async #answer(kind: string, text: string): Promise<string | undefined> {
		if (kind === 'token') {
			const token: unknown = typeof this.#token === 'function' ? await this.#token(text) : this.#token;
			return typeof token === 'string' ? token : undefined;
		}
		const question: unknown = JSON.parse(text);
		if (kind === 'valid') {
			return String((await this.#options.isPeerValid?.({ replicaId: undefined, rxdb: false, ...question as Partial<PeerInfo> & { id: string } })) === true);
		}
		const modifier = (kind === 'pull' ? this.#options.pull : this.#options.push)?.modifier;
		const version = question as Wire;
		const id = version.doc[this.#records.key] as string;
		const modified = await modifier?.(withDeleted<T>(version));
		return modified ? toWire(modified, this.#records, id, `${kind}.modifier`, kind === 'pull') : undefined;
	}

	async awaitFirstPeer(): Promise<void> {
		await this.#ask('awaitFirstPeer');
	}

	async awaitInSync(): Promise<void> {
		await this.#ask('awaitInSync');
	}

	async awaitReplicated(document: Document<T>, { peers = 1 }: { peers?: number } = {}): Promise<void> {
		const version = document && versionOf(document);
		if (!version || document.collection !== this.collection) {
			throw new TypeError('document must be a document of the collection');
		}
		if (!(Number.isInteger(peers) && peers >= 0)) {
			throw new TypeError('peers must be a whole number');
		}
		await this.#ask('awaitReplicated', version.replica, version.counter, peers);
	}

	async stats(peerId: string): Promise<PeerStats | undefined> {
		if (typeof peerId !== 'string') {
			throw new TypeError('peerId must be a string');
		}
		if (!this.isLeader || this.canceled) {
			return undefined;
		}
		const text = await this.#records.core.call<string | null>('stats', await this.#started, peerId);
		return text ? JSON.parse(text) as PeerStats : undefined;
	}

	cancel(): Promise<void> {
		this.#canceled ??= this.#cancel();
		return this.#canceled;
	}

	async #cancel(): Promise<void> {
		await undefined; // canceled is true by then
		this.#stop(new ShoalError('closed', 'the pool was cancelled'));
		await this.#turn;
		const number = await this.#started.catch(() => undefined);
		try {
			if (number !== undefined) {
				await this.#end(number);
			}
		} finally {
			this.#leadership?.leave(this);
			this.#idle();
			for (const source of [this.#errors, this.#conflicts, this.#peers, this.#signaling, this.#progress, this.#leads]) {
				source.complete();
			}
		}
	}
}

function asPoolError(error: unknown): ShoalError {
	return error instanceof ShoalError ? error : new ShoalError('error', error instanceof Error ? error.message : String(error), { cause: error });
}

/** @internal Checks what users can get wrong. */
export function checkOptions<T>(options: ReplicationOptions<T>): Records<T> {
	if (typeof options !== 'object' || options === null) {
		throw new TypeError('replicateP2P takes an object with options');
	}
	const { collection, topic, connectionHandlerCreator, pull, push, isPeerValid, retryTime, rxdb, secret } = options;
	const records = typeof collection === 'object' && collection !== null ? recordsOf(collection) : undefined;
	if (!records) {
		throw new TypeError('collection must be a collection of a Shoal database');
	}
	if (typeof topic !== 'string' || [...topic].length < 6 || topic.length > 99) {
		throw new TypeError('topic must be a string of 6 to 99 characters');
	}
	if (typeof connectionHandlerCreator !== 'function') {
		throw new TypeError('connectionHandlerCreator must be a function, such as getConnectionHandlerSimplePeer(…) returns');
	}
	for (const [name, direction] of Object.entries({ pull, push })) {
		if (direction === undefined) {
			continue;
		}
		if (typeof direction !== 'object' || direction === null) {
			throw new TypeError(`${name} must be an object`);
		}
		if (direction.batchSize !== undefined && !(Number.isInteger(direction.batchSize) && direction.batchSize > 0)) {
			throw new TypeError(`${name}.batchSize must be a whole number greater than 0`);
		}
		if (direction.modifier !== undefined && typeof direction.modifier !== 'function') {
			throw new TypeError(`${name}.modifier must be a function`);
		}
	}
	if (secret !== undefined && (typeof secret !== 'string' || secret === '')) {
		throw new TypeError('secret must be a string that is not empty');
	}
	if (isPeerValid !== undefined && typeof isPeerValid !== 'function') {
		throw new TypeError('isPeerValid must be a function');
	}
	if (retryTime !== undefined && !(Number.isInteger(retryTime) && retryTime > 0)) {
		throw new TypeError('retryTime must be a whole number of milliseconds greater than 0');
	}
	if (rxdb !== undefined && typeof rxdb !== 'boolean' && (typeof rxdb !== 'object' || rxdb === null)) {
		throw new TypeError('rxdb must be true, false or an object with options');
	}
	if (typeof rxdb === 'object' && (rxdb.token !== undefined && (typeof rxdb.token !== 'string' || rxdb.token === '') || rxdb.alwaysOn !== undefined && typeof rxdb.alwaysOn !== 'boolean')) {
		throw new TypeError('rxdb.token must be a string that is not empty, and rxdb.alwaysOn true or false');
	}
	return records as Records<T>;
}
