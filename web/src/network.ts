import { ShoalError } from './errors.js';
import type { ConnectionHandler, Subscribable } from './handlers.js';
import type { Core } from './core.js';

/** @internal Has the core use the connections of a handler of the application, and returns the number of that network. */
export async function serveNetwork<Peer>(core: Core, handler: ConnectionHandler<Peer>, report: (error: ShoalError) => void): Promise<number> {
	check(handler);
	const number = await core.call<number>('addNetwork');
	const names = new Names<Peer>();
	const tell = (kind: string, peer: Peer, ...bytes: Uint8Array[]) => {
		core.call('networkEvent', number, kind, names.of(peer), ...bytes).catch((error: unknown) => report(asError(error)));
	};
	const subscriptions: { unsubscribe(): void }[] = [];
	const listen = <V>(observable: Subscribable<V>, take: (value: V) => void) => {
		subscriptions.push(observable.subscribe(take));
	};
	core.receive(number, {
		async request(kind, text, bytes) {
			if (kind === 'send') {
				const peer = names.peer(text);
				if (peer === undefined || !bytes) {
					throw new ShoalError('network', `peer ${text} is gone`);
				}
				await handler.send(peer, bytes);
			} else {
				subscriptions.forEach((subscription) => subscription.unsubscribe());
				core.forget(number);
				await handler.close();
			}
			return undefined;
		},
	});
	listen(handler.error$, (error) => report(asError(error)));
	listen(handler.disconnect$, (peer) => {
		tell('disconnect', peer);
		names.forget(peer);
	});
	listen(handler.message$, ({ peer, message }) => {
		if (message instanceof Uint8Array) {
			tell('message', peer, message);
		} else {
			report(new ShoalError('network', 'message$ of the connection handler must deliver a Uint8Array, as it was given to send'));
		}
	});
	listen(handler.connect$, (peer) => tell('connect', peer));
	return number;
}

function check(handler: unknown): void {
	const h = handler as Partial<Record<string, unknown>> | null | undefined;
	for (const name of ['connect$', 'disconnect$', 'message$', 'error$']) {
		if (typeof (h?.[name] as { subscribe?: unknown } | undefined)?.subscribe !== 'function') {
			throw new TypeError(`connection handler: ${name} must be an observable`);
		}
	}
	for (const name of ['send', 'close']) {
		if (typeof h?.[name] !== 'function') {
			throw new TypeError(`connection handler: ${name} must be a function`);
		}
	}
}

function asError(error: unknown): ShoalError {
	if (error instanceof ShoalError) {
		return error;
	}
	return new ShoalError('network', error instanceof Error ? error.message : String(error), { cause: error });
}

/** The names of peers, which a handler may know as anything. */
class Names<Peer> {
	readonly #names = new Map<Peer, string>();
	readonly #peers = new Map<string, Peer>();
	#last = 0;

	of(peer: Peer): string {
		let name = this.#names.get(peer);
		if (name === undefined) {
			name = typeof peer === 'string' ? peer : `peer-${++this.#last}`;
			this.#names.set(peer, name);
			this.#peers.set(name, peer);
		}
		return name;
	}

	peer(name: string): Peer | undefined {
		return this.#peers.get(name);
	}

	forget(peer: Peer): void {
		this.#peers.delete(this.of(peer));
		this.#names.delete(peer);
	}
}
