import { sizeOf, type ChannelState, type ConnectionState, type Method } from './connections.js';
import type { Wire } from './wire.js';

/** @internal The connections and channels of the page that the program in the Worker uses, by their numbers; connections.ts has the other end. */
export class Peers {
	readonly #wire: () => Wire;
	readonly connections = new Map<number, PeerConnection>();
	readonly channels = new Map<number, Channel>();
	#last = 0;

	constructor(wire: () => Wire) {
		this.#wire = wire;
	}

	get wire(): Wire {
		return this.#wire();
	}

	nextNumber(): number {
		return ++this.#last;
	}

	/** What the page calls. What is closed here may be told of for a moment more. */
	readonly handlers = {
		connectionEvent: (id: number, type: string, fields: object, state: ConnectionState) => {
			const connection = this.connections.get(id);
			connection && Object.assign(connection, state).dispatchEvent(Object.assign(new Event(type), fields));
		},
		channelOfPeer: (id: number, of: number, state: ChannelState) => {
			const connection = this.connections.get(of);
			connection?.dispatchEvent(Object.assign(new Event('datachannel'), { channel: new Channel(this, id, connection, state) }));
		},
		channelEvent: (id: number, type: string, readyState: RTCDataChannelState) => {
			const channel = this.channels.get(id);
			channel && Object.assign(channel, { readyState }).dispatchEvent(new Event(type));
		},
		message: (id: number, data: string | ArrayBuffer) => this.channels.get(id)?.dispatchEvent(Object.assign(new Event('message'), { data })),
		drained: (id: number, total: number) => this.channels.get(id)?.drained(total),
	};
}

/**
 * @internal Stands in, within the Worker, for an RTCPeerConnection of the page. It has what the program uses of one (shared/transport/rtc/pc_js.go), and no
 * more. With what the constructor throws there, the first promise here is rejected.
 */
export class PeerConnection extends EventTarget implements ConnectionState {
	readonly #peers: Peers;
	readonly #id: number;
	#configuration: RTCConfiguration;
	connectionState: RTCPeerConnectionState = 'new';
	currentLocalDescription: RTCSessionDescriptionInit | undefined;
	currentRemoteDescription: RTCSessionDescriptionInit | undefined;

	constructor(peers: Peers, configuration: RTCConfiguration) {
		super();
		this.#peers = peers;
		this.#id = peers.nextNumber();
		this.#configuration = configuration;
		peers.connections.set(this.#id, this);
		peers.wire.tell('connect', this.#id, configuration);
	}

	createDataChannel(label: string, options?: RTCDataChannelInit): Channel {
		const id = this.#peers.nextNumber();
		this.#peers.wire.tell('openChannel', id, this.#id, label, options);
		return new Channel(this.#peers, id, this, { ordered: true, maxRetransmits: null, maxPacketLifeTime: null, readyState: 'connecting' });
	}

	createOffer(options: RTCOfferOptions) { return this.#negotiate('createOffer', options); }
	createAnswer(options: RTCAnswerOptions) { return this.#negotiate('createAnswer', options); }
	setLocalDescription(description: RTCLocalSessionDescriptionInit) { return this.#negotiate('setLocalDescription', description); }
	setRemoteDescription(description: RTCSessionDescriptionInit) { return this.#negotiate('setRemoteDescription', description); }
	addIceCandidate(candidate: RTCIceCandidateInit) { return this.#negotiate('addIceCandidate', candidate); }

	async #negotiate(method: Method, argument: object): Promise<RTCSessionDescriptionInit | undefined> {
		type Outcome = { description?: RTCSessionDescriptionInit; state: ConnectionState };
		const { description, state } = await this.#peers.wire.call<Outcome>('negotiate', this.#id, method, argument);
		Object.assign(this, state);
		return description;
	}

	getConfiguration(): RTCConfiguration {
		return this.#configuration;
	}

	setConfiguration(configuration: RTCConfiguration): void {
		this.#configuration = configuration;
		this.#peers.wire.tell('configure', this.#id, configuration);
	}

	/** Resolves to a map, as an RTCStatsReport is one. */
	async getStats(): Promise<Map<string, RTCStats>> {
		const list = await this.#peers.wire.call<RTCStats[]>('statistics', this.#id);
		return new Map(list.map((statistics) => [statistics.id, statistics]));
	}

	close(): void {
		const { wire, connections, channels } = this.#peers;
		wire.tell('disconnect', this.#id);
		connections.delete(this.#id);
		for (const [id, { of }] of channels) {
			if (of === this) {
				channels.delete(id);
			}
		}
	}
}

/** Stands in for an RTCDataChannel. */
class Channel extends EventTarget implements ChannelState {
	readonly of: PeerConnection;
	readonly ordered: boolean;
	readonly maxRetransmits: number | null;
	readonly maxPacketLifeTime: number | null;
	readyState: RTCDataChannelState;
	binaryType = 'arraybuffer'; // of the page's channel too
	readonly #peers: Peers;
	readonly #id: number;
	#given = 0;
	#drained = 0;
	#threshold = 0;

	constructor(peers: Peers, id: number, of: PeerConnection, { ordered, maxRetransmits, maxPacketLifeTime, readyState }: ChannelState) {
		super();
		this.#peers = peers;
		this.#id = id;
		this.of = of;
		this.ordered = ordered;
		this.maxRetransmits = maxRetransmits;
		this.maxPacketLifeTime = maxPacketLifeTime;
		this.readyState = readyState;
		peers.channels.set(id, this);
	}

	/** Counts what is on its way to the page, too. */
	get bufferedAmount(): number {
		return this.#given - this.#drained;
	}

	set bufferedAmountLowThreshold(bytes: number) {
		this.#threshold = bytes;
		this.#peers.wire.tell('threshold', this.#id, bytes);
	}

	send(data: string | Uint8Array<ArrayBuffer>): void {
		if (this.readyState !== 'open') {
			throw new DOMException('The channel is not open.', 'InvalidStateError');
		}
		const own = typeof data === 'string' ? data : data.slice().buffer;
		this.#given += sizeOf(own);
		this.#peers.wire.pass('send', this.#id, own);
	}

	/** Takes the word of the page of how much the channel does not hold any more, of all that it was given. */
	drained(total: number): void {
		const before = this.bufferedAmount;
		this.#drained = total;
		if (before > this.#threshold && this.bufferedAmount <= this.#threshold) {
			this.dispatchEvent(new Event('bufferedamountlow'));
		}
	}
}
