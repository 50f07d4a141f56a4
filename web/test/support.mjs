// What the tests share: the built library, with shoal.wasm from the disk, and networks within this process.
import { readFileSync } from 'node:fs';
import * as shoal from '../dist/shoal.js';

export const wasm = readFileSync(new URL('../dist/shoal.wasm', import.meta.url));

export const schema = {
	version: 0,
	primaryKey: 'id',
	type: 'object',
	properties: {
		id: { type: 'string' },
		title: { type: 'string' },
		done: { type: 'boolean' },
		place: { type: 'object' },
	},
};

let databases = 0;

/** Opens a database in memory that is closed after the test. */
export async function open(t, creators = { todos: { schema } }) {
	const db = await shoal.createDatabase({ name: `test-${++databases}`, storage: 'memory', wasm });
	t.after(() => db.close());
	return { db, ...await db.addCollections(creators) };
}

/** Returns what an observable says next, from the first value that meets the condition on. */
export async function first(observable, condition = () => true) {
	for await (const value of observable) {
		if (condition(value)) {
			return value;
		}
	}
	throw new Error('the observable completed');
}

/** A minimal subject, as any library has one. */
export class Subject {
	#listeners = new Set();

	subscribe(next) {
		this.#listeners.add(next);
		return { unsubscribe: () => this.#listeners.delete(next) };
	}

	next(value) {
		for (const listener of [...this.#listeners]) {
			listener(value);
		}
	}
}

/** A network in which all handlers of a topic are connected. */
export class Network {
	handlers = new Map();
	#last = 0;
	/** Called with each message; what it returns is delivered in its place, unless it is undefined. */
	filter = (message) => message;
	/** What messages wait for. */
	gate = undefined;

	creator = ({ topic }) => {
		const handler = {
			id: `${topic}#${++this.#last}`,
			connect$: new Subject(), disconnect$: new Subject(), message$: new Subject(), error$: new Subject(),
			send: async (peer, message) => {
				const copy = this.filter(message.slice());
				await new Promise((resolve) => setImmediate(resolve));
				await this.gate;
				if (copy) {
					this.handlers.get(peer)?.message$.next({ peer: handler.id, message: copy });
				}
			},
			close: () => {
				this.handlers.delete(handler.id);
				for (const other of this.others(handler, topic)) {
					other.disconnect$.next(handler.id);
				}
			},
		};
		setImmediate(() => {
			for (const other of this.others(handler, topic)) {
				other.connect$.next(handler.id);
				handler.connect$.next(other.id);
			}
			this.handlers.set(handler.id, handler);
		});
		return handler;
	};

	others(handler, topic) {
		return [...this.handlers.values()].filter((other) => other !== handler && other.id.startsWith(`${topic}#`));
	}
}

/** Replicates a collection over a network; the pool is cancelled after the test at the latest. */
export async function replicate(t, network, collection, options = {}) {
	const pool = await shoal.replicateP2P({
		collection, topic: 'a topic', connectionHandlerCreator: network.creator, pull: {}, push: {}, ...options,
	});
	t.after(() => pool.cancel());
	return pool;
}
