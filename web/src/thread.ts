import { Connections } from './connections.js';
import type { Begin } from './program.js';
import { Wire } from './wire.js';

/** @internal A Worker that waits for the program. */
export interface Thread {
	/** Starts the program there. */
	start(module: WebAssembly.Module): Promise<Begin>;
	/** Ends the Worker, and its connections, without a word. */
	end(): void;
}

/**
 * @internal Makes the Worker in which the program runs, so that the page stays responsive whatever it does. It resolves to undefined where there
 * are none, as in Node.js, and where the page must not have one, and says why on the console. Whatever ends the program later is told to fatal.
 */
export async function startThread(fatal: (message: string) => void): Promise<Thread | undefined> {
	if (typeof Worker !== 'function' || typeof document === 'undefined') {
		return undefined; // within a Worker of the application, the program has that
	}
	let worker: Worker | undefined;
	try {
		const mine = worker = newWorker();
		return await new Promise<Thread>((resolve, reject) => {
			mine.onerror = ({ message }) => reject(new Error(message || 'its script could not be loaded'));
			const thread = serve(mine, fatal, () => {
				mine.onerror = ({ message }) => fatal(message || 'its Worker failed');
				resolve(thread);
			});
		});
	} catch (error) {
		worker?.terminate();
		console.warn('Shoal: there can be no Worker here, so all work is done in the page itself:', error);
		return undefined;
	}
}

/** A Worker's script must be of the page's origin; what that imports need not be. */
function newWorker(): Worker {
	const url = new URL('./worker.js', import.meta.url);
	if (url.origin === location.origin) {
		return new Worker(url, { type: 'module', name: 'shoal' });
	}
	const script = URL.createObjectURL(new Blob([`import ${JSON.stringify(url.href)};`], { type: 'text/javascript' }));
	return new Worker(script, { type: 'module', name: 'shoal' });
}

/** Does for a Worker what only a page can. */
function serve(worker: Worker, fatal: (message: string) => void, ready: () => void): Thread {
	let [onEvent, onRequest] = [] as unknown as Parameters<Begin>;
	const connections = new Connections(() => wire);
	const wire: Wire = new Wire(worker, {
		ready, fatal,
		event: (kind, of, text) => onEvent(kind, of, text),
		request: (kind, of, text, bytes) => onRequest(kind, of, text, bytes),
		persist: () => navigator.storage.persist(),
		...connections.handlers,
	});
	return {
		async start(module) {
			await wire.call('start', module, {
				connections: typeof RTCPeerConnection === 'function',
				persist: typeof navigator.storage?.persist === 'function',
			});
			const shown = () => wire.tell('shown');
			addEventListener('pageshow', shown);
			document.addEventListener('resume', shown); // after a freeze (Page Lifecycle)
			document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && shown());
			return (...handlers) => {
				[onEvent, onRequest] = handlers;
				return (method, args) => wire.call('call', method, args);
			};
		},
		end() {
			worker.terminate();
			connections.close();
		},
	};
}
