// The demo: a to-do list that all who know the address of the page share. It uses what every application has, shoal.js, and nothing else.
import {
	createDatabase, getConnectionHandlerSimplePeer, replicateP2P, ShoalError,
	type ConflictEvent, type Document, type DocumentOf, type PeerState, type ReplicationPool,
} from './shoal.js';
import { log, Peers, setStatus, show, element } from './panel.js';
import { List } from './list.js';

const schema = {
	version: 0,
	primaryKey: 'id',
	type: 'object',
	properties: {
		id: { type: 'string' },
		title: { type: 'string' },
		done: { type: 'boolean' },
		created: { type: 'number' },
	},
	required: ['id', 'title', 'done', 'created'],
} as const;

export type Todo = DocumentOf<typeof schema>;

/** The list of all who open the page without naming one. */
const everyone = 'everyone';

/** The topic is what comes after the # of the address. */
function topic(): string {
	const text = location.hash.slice(1);
	let name = text || everyone;
	try {
		name = decodeURIComponent(name);
	} catch {
		// taken as it is
	}
	if (name.length < 6 || name.length > 99) {
		throw new Error(`The name of a list has 6 to 99 characters, “${name}” has ${name.length}.`);
	}
	return name;
}

/** Nobody guesses it, so who has it was given it. */
function newTopic(): string {
	return `list-${crypto.getRandomValues(new Uint32Array(2)).reduce((text, n) => text + n.toString(36).padStart(7, '0'), '')}`;
}

async function open(name: string) {
	const database = (storage: 'indexeddb' | 'memory') => createDatabase({ name: `demo/${name}`, storage });
	try {
		return await database('indexeddb');
	} catch (error) {
		if (error instanceof ShoalError && error.code === 'unsupported') {
			log('error', 'This browser has no IndexedDB here, so the list is gone with the page.');
			return database('memory');
		}
		throw error;
	}
}

function status(pool: ReplicationPool<Todo>, online: boolean): void {
	const { pulling, received, remaining, backlog, inSync } = pool.progress;
	const open = [...pool.peerStates$.value.values()].filter(({ state }) => state === 'open').length;
	const others = open === 1 ? '1 other' : `${open} others`;
	if (!pool.isLeader) {
		setStatus('good', 'Another tab replicates');
	} else if (open === 0) {
		setStatus(online ? 'busy' : 'bad', online ? 'Waiting for others' : 'Offline, changes are kept');
	} else if (pulling && remaining > 0) {
		setStatus('busy', `Receiving, ${received.toLocaleString()} of ${(received + remaining).toLocaleString()}`);
	} else if (inSync) {
		setStatus('good', `In sync with ${others}`);
	} else {
		setStatus('busy', backlog > 0 ? `Sending, ${backlog.toLocaleString()} left` : `Syncing with ${others}`);
	}
}

async function main(): Promise<void> {
	const link = element('link', HTMLInputElement);
	link.value = location.href;
	addEventListener('hashchange', () => location.reload());
	element('new', HTMLButtonElement).addEventListener('click', () => (location.hash = newTopic()));
	const name = topic();
	show('whose', name === everyone ? 'Shared by all who open this page from this server.' : 'Shared by all who have the link.');
	element('copy', HTMLButtonElement).addEventListener('click', async ({ currentTarget }) => {
		const button = currentTarget as HTMLButtonElement;
		link.select();
		await navigator.clipboard.writeText(link.value).catch(() => document.execCommand('copy'));
		button.textContent = 'Copied';
		setTimeout(() => (button.textContent = 'Copy link'), 1500);
	});

	const db = await open(name);
	const { todos } = await db.addCollections({ todos: { schema } });
	const list = new List(todos);
	todos.find().$.subscribe((documents: Document<Todo>[]) => list.render(documents));
	list.enable();

	const stored = async () => {
		const info = await todos.info();
		show('replica', info.replicaId.slice(0, 8), info.replicaId);
		show('documents', info.documents.toLocaleString());
		show('tombstones', info.tombstones.toLocaleString());
		show('bytes', bytes(info.bytes));
		const { usage } = await navigator.storage?.estimate?.() ?? {};
		show('estimate', usage === undefined ? 'not known' : bytes(usage));
	};
	let due: ReturnType<typeof setTimeout> | undefined;
	const storedSoon = () => {
		due ??= setTimeout(() => {
			due = undefined;
			void stored();
		}, 300);
	};
	await stored();
	todos.$.subscribe(storedSoon);

	const pool = await replicateP2P({
		collection: todos,
		topic: name,
		connectionHandlerCreator: getConnectionHandlerSimplePeer(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/signal`),
		pull: {},
		push: {},
	});
	const peers = new Peers((id) => pool.stats(id));
	let online = false;
	const update = () => status(pool, online);
	pool.error$.subscribe((error) => log('error', error.message, error.peer));
	pool.conflict$.subscribe((conflict) => log('conflict', describe(conflict), conflict.peer));
	pool.peerStates$.subscribe((states: ReadonlyMap<string, PeerState>) => {
		peers.render([...states.values()]);
		storedSoon();
		update();
	});
	pool.progress$.subscribe(update);
	pool.isLeader$.subscribe((leads) => {
		show('role', leads
			? 'Who opens this page in another browser appears here.'
			: 'Another tab of this browser has the connections. This one takes over when that is closed.');
		update();
	});
	pool.signaling$.subscribe(({ state, error }) => {
		online = state === 'open';
		show('signaling', { none: 'not in use', connecting: 'connecting…', open: 'connected', failed: 'not reached', closed: 'not connected' }[state], error);
		update();
	});
}

function describe({ documentId, local, remote, result }: ConflictEvent<Todo>): string {
	const text = ({ _deleted, title, done }: { _deleted: boolean; title?: string; done?: boolean }) =>
		_deleted ? 'removed' : `“${title ?? documentId}”${done ? ', done' : ''}`;
	return `${text(local)} here, ${text(remote)} there: now ${text(result)}`;
}

function bytes(n: number): string {
	if (n < 1000) {
		return `${n} bytes`;
	}
	return n < 1e6 ? `${(n / 1e3).toFixed(1)} KB` : `${(n / 1e6).toFixed(1)} MB`;
}

main().catch((error: unknown) => {
	const notice = element('notice', HTMLElement);
	notice.textContent = error instanceof Error ? error.message : String(error);
	notice.hidden = false;
	setStatus('bad', 'Stopped');
});
