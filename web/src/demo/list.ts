import type { Collection, Document } from './shoal.js';
import type { Todo } from './demo.js';
import { element, log, show, template } from './panel.js';

/** So many to-dos are on the page; it says how many more there are. */
const most = 200;

/** The list and what is done with it. */
export class List {
	readonly #todos: Collection<Todo>;
	readonly #items = new Map<string, Item>();
	readonly #list = element('todos', HTMLUListElement);
	#documents: readonly Document<Todo>[] = [];

	constructor(todos: Collection<Todo>) {
		this.#todos = todos;
		const title = element('title', HTMLInputElement);
		element('add', HTMLFormElement).addEventListener('submit', (event) => {
			event.preventDefault();
			const text = title.value.trim();
			title.value = '';
			if (text) {
				attempt(this.#todos.insert(todo(text, Date.now())));
			}
		});
		element('clear', HTMLButtonElement).addEventListener('click', () => {
			attempt(this.#todos.bulkRemove(this.#documents.filter(({ done }) => done)));
			title.focus();
		});
		element('bulk', HTMLButtonElement).addEventListener('click', ({ currentTarget }) => attempt(this.#addMany(currentTarget as HTMLButtonElement)));
	}

	/** Lets the user begin. */
	enable(): void {
		for (const control of document.querySelectorAll<HTMLInputElement | HTMLButtonElement>('#add input, #add button, #bulk')) {
			control.disabled = false;
		}
		if (matchMedia('(hover: hover)').matches) {
			element('title', HTMLInputElement).focus();
		}
	}

	async #addMany(button: HTMLButtonElement): Promise<void> {
		button.disabled = true;
		const now = Date.now();
		const start = performance.now();
		const { success } = await this.#todos.bulkInsert(Array.from({ length: 1000 }, (_, i) => todo(`To-do ${i + 1}`, now + i)));
		show('bulk-time', `${success.length.toLocaleString()} in ${Math.round(performance.now() - start)} ms`);
		button.disabled = false;
	}

	/** Shows the documents. Those that are the same objects as before are as they were. */
	render(documents: Document<Todo>[]): void {
		this.#documents = [...documents].sort((a, b) => Number(a.done) - Number(b.done) || b.created - a.created || (a.id < b.id ? -1 : 1));
		const shown = this.#documents.slice(0, most);
		const ids = new Set(shown.map(({ id }) => id));
		for (const [id, item] of this.#items) {
			if (!ids.has(id)) {
				item.leave(this.#list);
				this.#items.delete(id);
			}
		}
		let place = this.#list.firstElementChild;
		for (const document of shown) {
			let item = this.#items.get(document.id);
			if (!item) {
				item = new Item();
				this.#items.set(document.id, item);
			}
			item.show(document);
			if (item.element === place) {
				place = place.nextElementSibling;
			} else {
				item.moveTo(this.#list, place);
			}
		}
		this.#summary();
	}

	#summary(): void {
		const all = this.#documents.length;
		const open = this.#documents.filter(({ done }) => !done).length;
		show('left', all === 0 ? '' : open === 0 ? 'all done' : `${open.toLocaleString()} of ${all.toLocaleString()} left`);
		show('more', `and ${(all - most).toLocaleString()} more`);
		element('more', HTMLElement).hidden = all <= most;
		element('clear', HTMLElement).hidden = open === all;
		element('empty', HTMLElement).hidden = all > 0;
	}
}

function todo(title: string, created: number): Todo {
	const id = Array.from(crypto.getRandomValues(new Uint8Array(10)), (byte) => byte.toString(16).padStart(2, '0')).join('');
	return { id, title, done: false, created };
}

function attempt(work: Promise<unknown>): void {
	work.catch((error: unknown) => log('error', error instanceof Error ? error.message : String(error)));
}

/** One to-do on the page. */
class Item {
	readonly element = template('todo-template');
	readonly #done = this.element.querySelector('.done') as HTMLInputElement;
	readonly #text = this.element.querySelector('.text') as HTMLButtonElement;
	readonly #edit = this.element.querySelector('.edit') as HTMLInputElement;
	readonly #remove = this.element.querySelector('.remove') as HTMLButtonElement;
	#document!: Document<Todo>;
	#before = ''; // the title when editing began

	constructor() {
		this.#done.addEventListener('change', () => attempt(this.#document.patch({ done: this.#done.checked })));
		this.#remove.addEventListener('click', () => attempt(this.#document.remove()));
		this.#text.addEventListener('click', () => this.#begin());
		this.#edit.addEventListener('keydown', (event) => {
			const { key, isComposing } = event;
			if ((key === 'Enter' || key === 'Escape') && !isComposing) {
				event.preventDefault(); // else it would press the button that gets the focus
				this.#end(key === 'Enter', true);
			}
		});
		this.#edit.addEventListener('blur', () => this.#end(true, false));
	}

	show(document: Document<Todo>): void {
		if (document === this.#document) {
			return;
		}
		this.#document = document;
		const { title, done } = document;
		this.element.dataset.id = document.id;
		this.#done.checked = done;
		this.#done.setAttribute('aria-label', `Done: ${title}`);
		this.#text.textContent = title;
		this.#text.setAttribute('aria-label', `Edit: ${title}`);
		this.#edit.setAttribute('aria-label', `Title of: ${title}`);
		this.#remove.setAttribute('aria-label', `Remove: ${title}`);
		this.#remove.title = 'Remove';
	}

	/** Puts it at a place, with the focus where it was. */
	moveTo(list: HTMLElement, before: Element | null): void {
		const focus = this.element.contains(document.activeElement) ? document.activeElement as HTMLElement : null;
		list.insertBefore(this.element, before);
		focus?.focus();
	}

	/** Takes it away. The focus goes to a neighbour. */
	leave(list: HTMLElement): void {
		const neighbour = this.element.nextElementSibling ?? this.element.previousElementSibling;
		const focused = this.element.contains(document.activeElement);
		list.removeChild(this.element);
		if (focused) {
			((neighbour?.querySelector('.text') ?? document.getElementById('title')) as HTMLElement).focus();
		}
	}

	#begin(): void {
		this.#before = this.#document.title;
		this.#edit.value = this.#before;
		this.#text.hidden = true;
		this.#edit.hidden = false;
		this.#edit.focus();
		this.#edit.select();
	}

	#end(save: boolean, focus: boolean): void {
		if (this.#edit.hidden) {
			return;
		}
		this.#edit.hidden = true;
		this.#text.hidden = false;
		if (focus) {
			this.#text.focus();
		}
		const title = this.#edit.value.trim();
		if (save && title && title !== this.#before) {
			this.#text.textContent = title;
			attempt(this.#document.patch({ title }));
		}
	}
}
