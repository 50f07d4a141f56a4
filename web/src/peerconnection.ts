import { sizeOf, type ChannelState, type ConnectionState, type Method } from './connections.js';
import type { Wire } from './wire.js';

/**
 * @internal Stands in, within the Worker, for the RTCPeerConnection of the page. It has what the program uses of it (shared/transport/rtc/pc_js.go), and no
 * more; connections.ts does the work. With what the constructor throws there, the first promise here is rejected.
 */
export function standIn(wire: () => Wire) {
	const connections = new Map<number, PeerConnection>();
	const channels = new Map<number, Channel>();
	let last = 0;

	class PeerConnection extends EventTarget implements ConnectionState {
		readonly #id = ++last;
		#configuration: RTCConfiguration;
		connectionState: RTCPeerConnectionState = 'new';
		currentLocalDescription: RTCSessionDescriptionInit | undefined;
		currentRemoteDescription: RTCSessionDescriptionInit | undefined;

		constructor(configuration: RTCConfiguration) {
			super();
			this.#configuration = configuration;
			connections.set(this.#id, this);
			wire().tell('connect', this.#id, configuration);
		}

		createDataChannel(label: string, options?: RTCDataChannelInit): Channel {
			const channel = new Channel(++last, this, { ordered: true, maxRetransmits: null, maxPacketLifeTime: null, readyState: 'connecting' });
			wire().tell('openChannel', channel.id, this.#id, label, options);
			return channel;
		}

		createOffer(options: RTCOfferOptions) { return this.#negotiate('createOffer', options); }
		createAnswer(options: RTCAnswerOptions) { return this.#negotiate('createAnswer', options); }
		setLocalDescription(description: RTCLocalSessionDescriptionInit) { return this.#negotiate('setLocalDescription', description); }
		setRemoteDescription(description: RTCSessionDescriptionInit) { return this.#negotiate('setRemoteDescription', description); }
		addIceCandidate(candidate: RTCIceCandidateInit) { return this.#negotiate('addIceCandidate', candidate); }

		async #negotiate(method: Method, argument: object): Promise<RTCSessionDescriptionInit | undefined> {
			type Outcome = { description?: RTCSessionDescriptionInit; state: ConnectionState };
			const { description, state } = await wire().call<Outcome>('negotiate', this.#id, method, argument);
			Object.assign(this, state);
			return description;
		}

		getConfiguration(): RTCConfiguration {
			return this.#configuration;
		}

		setConfiguration(configuration: RTCConfiguration): void {
			this.#configuration = configuration;
			wire().tell('configure', this.#id, configuration);
		}

		/** Resolves to a map, as an RTCStatsReport is one. */
		async getStats(): Promise<Map<string, RTCStats>> {
			const list = await wire().call<RTCStats[]>('statistics', this.#id);
			return new Map(list.map((statistics) => [statistics.id, statistics]));
		}

		close(): void {
			wire().tell('disconnect', this.#id);
			connections.delete(this.#id);
			for (const [id, { of }] of channels) {
				if (of === this) {
					channels.delete(id);
				}
			}
		}
	}

	class Channel extends EventTarget implements ChannelState {
		readonly id: number;
		readonly of: PeerConnection;
		readonly ordered: boolean;
		readonly maxRetransmits: number | null;
		readonly maxPacketLifeTime: number | null;
		readyState: RTCDataChannelState;
		binaryType = 'arraybuffer'; // of the page's channel too
		#given = 0;
		#drained = 0;
		#threshold = 0;

		constructor(id: number, of: PeerConnection, { ordered, maxRetransmits, maxPacketLifeTime, readyState }: ChannelState) {
			super();
			this.id = id;
			this.of = of;
			this.ordered = ordered;
			this.maxRetransmits = maxRetransmits;
			this.maxPacketLifeTime = maxPacketLifeTime;
			this.readyState = readyState;
			channels.set(id, this);
		}

		/** Counts what is on its way to the page, too. */
		get bufferedAmount(): number {
			return this.#given - this.#drained;
		}

		set bufferedAmountLowThreshold(bytes: number) {
			this.#threshold = bytes;
			wire().tell('threshold', this.id, bytes);
		}

		send(data: string | Uint8Array<ArrayBuffer>): void {
			if (this.readyState !== 'open') {
				throw new DOMException('The channel is not open.', 'InvalidStateError');
			}
			const own = typeof data === 'string' ? data : data.slice().buffer;
			this.#given += sizeOf(own);
			wire().pass('send', this.id, own);
		}

		drained(total: number): void {
			const before = this.bufferedAmount;
			this.#drained = total;
			if (before > this.#threshold && this.bufferedAmount <= this.#threshold) {
				this.dispatchEvent(new Event('bufferedamountlow'));
			}
		}
	}

	/** What the page calls. What is closed here may be told of for a moment more. */
	const handlers = {
		connectionEvent(id: number, type: string, fields: object, state: ConnectionState) {
			const connection = connections.get(id);
			connection && Object.assign(connection, state).dispatchEvent(Object.assign(new Event(type), fields));
		},
		channelOfPeer(id: number, of: number, state: ChannelState) {
			const connection = connections.get(of);
			connection?.dispatchEvent(Object.assign(new Event('datachannel'), { channel: new Channel(id, connection, state) }));
		},
		channelEvent(id: number, type: string, readyState: RTCDataChannelState) {
			const channel = channels.get(id);
			channel && Object.assign(channel, { readyState }).dispatchEvent(new Event(type));
		},
		message: (id: number, data: string | ArrayBuffer) => channels.get(id)?.dispatchEvent(Object.assign(new Event('message'), { data })),
		drained: (id: number, total: number) => channels.get(id)?.drained(total),
	};
	return { PeerConnection, handlers };
}
