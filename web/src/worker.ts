// The script of the Worker that the program runs in.
import { PeerConnection, Peers } from './peerconnection.js';
import { startProgram, type Call } from './program.js';
import { Wire, type Port } from './wire.js';

let call: Call;
const peers = new Peers(() => wire);
const wire = new Wire(globalThis as unknown as Port, {
	start,
	call: (method, args) => call(method, args),
	shown: () => dispatchEvent(new Event('pageshow')), // no event of a page comes here by itself
	...peers.handlers,
});
wire.tell('ready');

/** Starts the program. has says what there is in the page. */
async function start(module: WebAssembly.Module, has: { connections: boolean; persist: boolean }): Promise<void> {
	if (has.connections) {
		Object.assign(globalThis, { RTCPeerConnection: PeerConnection.bind(null, peers) });
	}
	if (has.persist) {
		Object.defineProperty(navigator.storage, 'persist', { value: () => wire.call<boolean>('persist') });
	}
	const begin = await startProgram(module, (message) => wire.tell('fatal', message));
	call = begin((...event) => wire.tell('event', ...event), (...request) => wire.call('request', ...request));
}
