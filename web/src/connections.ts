import type { Wire } from './wire.js';

/** @internal What the Worker is told of a data channel. */
export type ChannelState = Pick<RTCDataChannel, 'ordered' | 'maxRetransmits' | 'maxPacketLifeTime' | 'readyState'>;

/** @internal The properties of a connection that the Worker is told of with each event and outcome. */
export interface ConnectionState {
	readonly connectionState: RTCPeerConnectionState;
	readonly currentLocalDescription: RTCSessionDescriptionInit | undefined;
	readonly currentRemoteDescription: RTCSessionDescriptionInit | undefined;
}

/** @internal The methods that the Worker calls by their names. */
export type Method = 'createOffer' | 'createAnswer' | 'setLocalDescription' | 'setRemoteDescription' | 'addIceCandidate';

/** A channel, of the connection with that number, and how much it was given to send. */
interface Channel {
	readonly of: number;
	readonly channel: RTCDataChannel;
	given: number;
}

/**
 * @internal The connections that the program in the Worker makes, which only a page can have: see exposure in
 * https://www.w3.org/TR/webrtc/#interface-definition. Numbers stand for them and for channels, those of the peers' channels are below 0.
 */
export class Connections {
	readonly #wire: () => Wire;
	readonly #connections = new Map<number, RTCPeerConnection>();
	readonly #refused = new Map<number, unknown>();
	readonly #channels = new Map<number, Channel>();
	#lastOfPeers = 0;

	constructor(wire: () => Wire) {
		this.#wire = wire;
	}

	/** What the Worker calls. */
	readonly handlers = {
		connect: (id: number, configuration: RTCConfiguration) => this.#connect(id, configuration),
		configure: (id: number, configuration: RTCConfiguration) => {
			try {
				this.#connections.get(id)?.setConfiguration(configuration);
			} catch {
				// without it a restart uses the servers of before
			}
		},
		negotiate: (id: number, method: Method, argument: object) => this.#negotiate(id, method, argument),
		statistics: async (id: number) => [...(await this.#connection(id).getStats()).values()],
		disconnect: (id: number) => this.#disconnect(id),
		openChannel: (id: number, of: number, label: string, options?: RTCDataChannelInit) => {
			const channel = this.#connections.get(of)?.createDataChannel(label, options);
			channel && this.#serve(id, of, channel);
		},
		threshold: (id: number, bytes: number) => {
			const { channel } = this.#channels.get(id) ?? {};
			channel && (channel.bufferedAmountLowThreshold = bytes);
		},
		send: (id: number, data: string | ArrayBuffer) => this.#send(id, data),
	};

	/** Closes all that there are. */
	close(): void {
		for (const id of this.#connections.keys()) {
			this.#disconnect(id);
		}
	}

	#connect(id: number, configuration: RTCConfiguration): void {
		let connection: RTCPeerConnection;
		try {
			connection = new RTCPeerConnection(configuration);
		} catch (error) {
			this.#refused.set(id, error); // the first call is told
			return;
		}
		this.#connections.set(id, connection);
		const tell = (type: string, fields: object = {}) => this.#wire().tell('connectionEvent', id, type, fields, stateOf(connection));
		connection.onicecandidate = ({ candidate }) => tell('icecandidate', { candidate: candidate && candidate.toJSON() });
		connection.onicecandidateerror = ({ url, errorCode, errorText }) => tell('icecandidateerror', { url, errorCode, errorText });
		connection.onconnectionstatechange = () => tell('connectionstatechange');
		connection.ondatachannel = ({ channel }) => {
			const { ordered, maxRetransmits, maxPacketLifeTime, readyState } = channel;
			const number = --this.#lastOfPeers;
			this.#wire().tell('channelOfPeer', number, id, { ordered, maxRetransmits, maxPacketLifeTime, readyState } satisfies ChannelState);
			this.#serve(number, id, channel);
		};
	}

	#connection(id: number): RTCPeerConnection {
		const connection = this.#connections.get(id);
		if (!connection) {
			throw this.#refused.get(id) ?? new DOMException('The connection is closed.', 'InvalidStateError');
		}
		return connection;
	}

	async #negotiate(id: number, method: Method, argument: object): Promise<{ description?: RTCSessionDescriptionInit | undefined; state: ConnectionState }> {
		const connection = this.#connection(id);
		const call = connection[method].bind(connection) as (argument: object) => Promise<RTCSessionDescriptionInit | void>;
		const description = descriptionOf(await call(argument) ?? null);
		return { description, state: stateOf(connection) };
	}

	#disconnect(id: number): void {
		this.#connections.get(id)?.close();
		this.#connections.delete(id);
		this.#refused.delete(id);
		for (const [number, { of }] of this.#channels) {
			if (of === id) {
				this.#channels.delete(number);
			}
		}
	}

	#serve(id: number, of: number, channel: RTCDataChannel): void {
		const held: Channel = { of, channel, given: 0 };
		this.#channels.set(id, held);
		const tell = (type: string) => this.#wire().tell('channelEvent', id, type, channel.readyState);
		channel.binaryType = 'arraybuffer';
		channel.onopen = () => tell('open');
		channel.onclose = () => tell('close');
		channel.onmessage = ({ data }) => this.#wire().pass('message', id, data);
		channel.onbufferedamountlow = () => this.#drained(id, held);
	}

	#send(id: number, data: string | ArrayBuffer): void {
		const held = this.#channels.get(id);
		if (!held) {
			return; // closed meanwhile
		}
		held.given += sizeOf(data);
		try {
			held.channel.send(data as string);
		} catch {
			held.channel.close(); // what was sent before arrives, and nothing after what is missing
			return;
		}
		if (held.channel.bufferedAmount <= held.channel.bufferedAmountLowThreshold) {
			this.#drained(id, held); // no event will say so
		}
	}

	/** Tells how much of what the channel was given it does not hold any more. */
	#drained(id: number, { channel, given }: Channel): void {
		this.#wire().tell('drained', id, given - channel.bufferedAmount);
	}
}

/** @internal How much a channel counts for what it holds; of texts this is near enough. */
export function sizeOf(data: string | ArrayBuffer): number {
	return typeof data === 'string' ? data.length : data.byteLength;
}

function stateOf({ connectionState, currentLocalDescription, currentRemoteDescription }: RTCPeerConnection): ConnectionState {
	return {
		connectionState,
		currentLocalDescription: descriptionOf(currentLocalDescription),
		currentRemoteDescription: descriptionOf(currentRemoteDescription),
	};
}

function descriptionOf(description: RTCSessionDescriptionInit | null): RTCSessionDescriptionInit | undefined {
	return description ? { type: description.type, sdp: description.sdp ?? '' } : undefined;
}
