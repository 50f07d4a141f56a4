import type { Collection } from './collection.js';

/** As RxDB has it. */
export interface ConnectionHandlerOptions {
	/** `ws://…` or `wss://…`; Shoal's server takes `/signal`, and `/` for clients that know only a host. */
	signalingServerUrl: string;
	/** Further servers that serve the same rooms, as the nodes of a cluster do: each attempt to connect goes to the next. */
	fallbackServerUrls?: readonly string[];
	/** The RTCConfiguration of the connections: `iceServers` and `iceTransportPolicy` of it are used. */
	config?: { iceServers?: RTCIceServer[]; iceTransportPolicy?: RTCIceTransportPolicy };
	/**
	 * What the signaling server wants to see before it lets anybody into a topic: the token, or a function that gets one for a topic. The
	 * function is called for each topic when it is joined, after each reconnect, and in time before the token that it gave ends. What
	 * it throws comes on `error$`, and it is called again a little later.
	 */
	token?: string | ((topic: string) => string | Promise<string>);
	/**
	 * Whether peers that find no direct path may talk through the signaling server meanwhile. It cannot read what they say, only see how much
	 * and when. Default: true; Shoal's server has to allow it as well.
	 */
	relay?: boolean;
	/** Taken for the sake of programs that were written for RxDB, and not used: this library needs no polyfill. */
	wrtc?: unknown;
	/** Taken and not used, like `wrtc`. */
	webSocketConstructor?: unknown;
}

/** What a custom handler has to offer of an observable; those of RxJS have it. */
export interface Subscribable<T> {
	subscribe(next: (value: T) => void): { unsubscribe(): void };
}

/**
 * Connections to peers that the application makes itself. A message arrives whole, once, and in the order in which messages were sent to
 * that peer. It has some 60 KB most of the time, and up to 20 MB.
 */
export interface ConnectionHandler<Peer = any> {
	/** Peers to which there is a connection now. Both ends have to tell. */
	readonly connect$: Subscribable<Peer>;
	/** Peers to which there is none any more. */
	readonly disconnect$: Subscribable<Peer>;
	readonly message$: Subscribable<{ peer: Peer; message: Uint8Array }>;
	readonly error$: Subscribable<unknown>;
	/** Resolves when the connection can take the next message. */
	send(peer: Peer, message: Uint8Array): Promise<void> | void;
	close(): Promise<void> | void;
}

/** Makes the connections of a pool. */
export type ConnectionHandlerCreator<Peer = any> = (options: { topic: string; collection: Collection<any> }) =>
	| ConnectionHandler<Peer>
	| Promise<ConnectionHandler<Peer>>;

/** @internal How the core finds peers. */
export interface Signaling {
	readonly url: string;
	readonly fallbacks: readonly string[];
	readonly iceServers: readonly RTCIceServer[];
	readonly relayOnly: boolean;
	readonly noRelay: boolean;
	readonly token: string | ((topic: string) => string | Promise<string>) | undefined;
}

const built = new WeakMap<object, Signaling>();

/** @internal Returns what a creator or handler of this library stands for. */
export function signalingOf(creatorOrHandler: object): Signaling | undefined {
	return built.get(creatorOrHandler);
}

/**
 * Connects browsers over WebRTC; they find each other through Shoal's signaling server. All pools of a database for which the
 * options are the same share their connections.
 */
export function getConnectionHandlerWebRTC(urlOrOptions: string | ConnectionHandlerOptions): ConnectionHandlerCreator {
	const options = typeof urlOrOptions === 'string' ? { signalingServerUrl: urlOrOptions } : urlOrOptions;
	if (typeof options !== 'object' || options === null) {
		throw new TypeError('getConnectionHandlerWebRTC takes the address of a signaling server, or options');
	}
	const { iceServers = [], iceTransportPolicy = 'all' } = options.config ?? {};
	if (!Array.isArray(iceServers)) {
		throw new TypeError('config.iceServers must be an array');
	}
	if (iceTransportPolicy !== 'all' && iceTransportPolicy !== 'relay') {
		throw new TypeError(`config.iceTransportPolicy must be 'all' or 'relay'`);
	}
	checkServers(iceServers);
	const { relay = true, token } = options;
	if (token !== undefined && typeof token !== 'function' && (typeof token !== 'string' || token === '')) {
		throw new TypeError('token must be a string that is not empty, or a function that returns one');
	}
	if (typeof relay !== 'boolean') {
		throw new TypeError('relay must be true or false');
	}
	const { fallbackServerUrls = [] } = options;
	if (!Array.isArray(fallbackServerUrls)) {
		throw new TypeError('fallbackServerUrls must be an array');
	}
	const url = webSocketURL(options.signalingServerUrl, 'signalingServerUrl');
	const fallbacks = fallbackServerUrls.map((text: unknown, i: number) => webSocketURL(text, `fallbackServerUrls[${i}]`));
	const signaling = { url, fallbacks, iceServers, relayOnly: iceTransportPolicy === 'relay', noRelay: !relay, token };
	const handler = {} as ConnectionHandler;
	const creator: ConnectionHandlerCreator = () => handler;
	built.set(creator, signaling);
	built.set(handler, signaling);
	return creator;
}

/** Has the browser say what is wrong with servers, when there is somebody yet who can mend it. */
function checkServers(iceServers: RTCIceServer[]): void {
	if (iceServers.length === 0 || typeof RTCPeerConnection !== 'function') {
		return;
	}
	try {
		new RTCPeerConnection({ iceServers }).close();
	} catch (cause) {
		throw new TypeError(`config.iceServers: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
	}
}

/** The name that RxDB gave to what is {@link getConnectionHandlerWebRTC} here: it needs no simple-peer. */
export const getConnectionHandlerSimplePeer = getConnectionHandlerWebRTC;

function webSocketURL(text: unknown, name: string): string {
	let url: URL;
	try {
		url = new URL(text as string);
	} catch {
		throw new TypeError(`${name} must be an address like wss://example.com, got ${String(text)}`);
	}
	if (url.protocol !== 'ws:' && url.protocol !== 'wss:') {
		throw new TypeError(`${name} must begin with ws:// or wss://, got ${String(text)}`);
	}
	return url.href;
}
