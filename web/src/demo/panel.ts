import type { PeerState, PeerStats } from './shoal.js';

/** Returns the element of the page with that id. */
export function element<E extends HTMLElement>(id: string, type: new () => E): E {
	const found = document.getElementById(id);
	if (!(found instanceof type)) {
		throw new Error(`the page has no ${type.name} with the id ${id}`);
	}
	return found;
}

/** Makes the element of a template. */
export function template(id: string): HTMLElement {
	return element(id, HTMLTemplateElement).content.firstElementChild!.cloneNode(true) as HTMLElement;
}

/** Writes a text where it differs: what is read aloud is not to be repeated. */
export function show(id: string, text: string, title = ''): void {
	const target = element(id, HTMLElement);
	if (target.textContent !== text) {
		target.textContent = text;
	}
	target.title = title;
}

/** How things are, in a few words at the top of the page. */
export function setStatus(state: 'good' | 'busy' | 'bad', text: string): void {
	element('status', HTMLElement).dataset.state = state;
	show('status-text', text);
}

/** So many entries are kept. */
const maxLog = 100;

/** Adds an entry to the log, or counts one up that comes again and again. */
export function log(kind: 'error' | 'conflict', text: string, peer?: string): void {
	const entries = element('log', HTMLOListElement);
	const key = `${kind} ${peer ?? ''} ${text}`;
	const last = entries.firstElementChild as HTMLElement | null;
	const count = last?.dataset.key === key ? Number(last.dataset.count) + 1 : 1;
	if (count > 1) {
		last?.remove();
	}
	const entry = document.createElement('li');
	Object.assign(entry.dataset, { kind, key, count });
	const time = document.createElement('time');
	const now = new Date();
	time.dateTime = now.toISOString();
	time.textContent = now.toLocaleTimeString();
	const label = document.createElement('span');
	label.className = 'kind';
	label.textContent = kind === 'error' ? 'Error' : 'Conflict';
	entry.append(time, label, peer ? ` with ${peer}: ` : ': ', text, count > 1 ? ` (${count} times)` : '');
	entries.prepend(entry);
	entries.hidden = false;
	element('log-empty', HTMLElement).hidden = true;
	while (entries.childElementCount > maxLog) {
		entries.lastElementChild?.remove();
	}
}

/** The list of peers. */
export class Peers {
	readonly #rows = new Map<string, HTMLElement>();
	readonly #list = element('peers', HTMLUListElement);
	readonly #stats: (id: string) => Promise<PeerStats | undefined>;

	constructor(stats: (id: string) => Promise<PeerStats | undefined>) {
		this.#stats = stats;
		setInterval(() => this.#paths(), 3000);
	}

	render(peers: readonly PeerState[]): void {
		const ids = new Set(peers.map(({ id }) => id));
		for (const [id, row] of this.#rows) {
			if (!ids.has(id)) {
				row.remove();
				this.#rows.delete(id);
			}
		}
		for (const peer of peers) {
			let row = this.#rows.get(peer.id);
			if (!row) {
				row = template('peer-template');
				this.#rows.set(peer.id, row);
				this.#list.append(row);
				void this.#path(peer.id, row);
			}
			this.#show(row, peer);
		}
		const open = peers.filter(({ state }) => state === 'open').length;
		show('peer-count', String(open));
		element('peer-count', HTMLElement).hidden = open === 0;
	}

	#show(row: HTMLElement, { id, replicaId, state, error, progress }: PeerState): void {
		const part = <E extends HTMLElement>(name: string) => row.querySelector(`.${name}`) as E;
		row.dataset.state = state === 'failed' ? 'bad' : progress?.inSync ? 'good' : 'busy';
		row.dataset.link = state;
		part('peer-id').textContent = replicaId?.slice(0, 8) ?? id;
		part('peer-id').title = replicaId ? `replica ${replicaId}` : `peer ${id}`;
		part('peer-state').textContent = words(state, progress);
		part('peer-state').title = error ?? '';
		const bar = part<HTMLProgressElement>('peer-progress');
		bar.hidden = !(progress?.pulling && progress.remaining > 0);
		if (progress && !bar.hidden) {
			bar.max = progress.received + progress.remaining;
			bar.value = progress.received;
			bar.setAttribute('aria-label', `Received from ${replicaId?.slice(0, 8) ?? id}`);
		}
	}

	#paths(): void {
		for (const [id, row] of this.#rows) {
			void this.#path(id, row);
		}
	}

	async #path(id: string, row: HTMLElement): Promise<void> {
		const stats = await this.#stats(id).catch(() => undefined);
		const path = row.querySelector('.peer-path') as HTMLElement;
		path.textContent = stats ? describe(stats) : '';
	}
}

function words(state: PeerState['state'], progress: PeerState['progress']): string {
	if (state !== 'open' || !progress) {
		return state === 'failed' ? 'not reached, tries again' : 'connecting…';
	}
	if (progress.pulling && progress.remaining > 0) {
		return `receiving, ${progress.remaining.toLocaleString()} left`;
	}
	if (progress.inSync) {
		return 'in sync';
	}
	return progress.backlog > 0 ? `sending, ${progress.backlog.toLocaleString()} left` : 'syncing…';
}

function describe({ localCandidate, remoteCandidate, relayed, roundTripTime, bytesSent, bytesReceived }: PeerStats): string {
	const route = relayed ? 'relayed' : localCandidate && remoteCandidate ? 'direct' : '';
	const time = roundTripTime > 0 ? `${roundTripTime < 10 ? roundTripTime.toFixed(1) : Math.round(roundTripTime)} ms` : '';
	const amount = (n: number) => (n < 1e6 ? `${Math.round(n / 1e3)} KB` : `${(n / 1e6).toFixed(1)} MB`);
	return [route, time, `${amount(bytesSent)} out`, `${amount(bytesReceived)} in`].filter(Boolean).join(' · ');
}
